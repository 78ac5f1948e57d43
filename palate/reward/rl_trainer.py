"""TRL's RLOO against a reward model: the reference is the model that it starts from.

RLOO is REINFORCE with the mean of a prompt's other answers as baseline: A. Ahmadian et al., "Back
to Basics" (2024). The divergence from the reference is taken off the reward, per answer.
"""

import copy
import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import cast

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, TrainerState
from trl import RLOOConfig, RLOOTrainer
from trl.trainer.utils import add_fused_lm_head

from palate.core import paths
from palate.core.schema import Message, Prompt
from palate.generate.models import Loaded
from palate.reward.best import Plan, Writer, Written
from palate.reward.guards import Norm
from palate.reward.scoring import Judge
from palate.reward.shared_prompts import SharedPromptsMixin
from palate.train.config import RLArguments
from palate.train.recipes.recipe import Recipe
from palate.train.records.choice import KEEPS
from palate.train.records.rl_results import CHECKED, checks, opened
from palate.train.rows.data import Rows
from palate.train.trainers.stopped import StaysStoppedMixin
from palate.train.trainers.trainer import adapter, schedule

CHECKS = 10  # in a run, about
CLIP = 5.0  # deviations of the reward: more says that it is wrong
NORMS = "eval_norms"  # of Trainer's log: the units of both rewards
SHOWN = 80  # characters of a sample


@dataclass(frozen=True)
class Monitor:
    """Lets a model answer the same train prompts at each check, with the same seeds.

    The answers are added to `file`, a line per prompt. With `stops`, a check can end the run.
    """

    prompts: Sequence[Prompt]
    plan: Plan
    reward: Judge
    held_out: Judge
    file: Path
    tell: Callable[[str], None]
    stops: bool

    def write(self, loaded: Loaded) -> tuple[list[Written], list[np.ndarray]]:
        return answered(loaded, self.prompts, self.plan, self.reward, self.held_out)

    def keep(self, step: int, written: Sequence[Written], held: Sequence[np.ndarray]) -> None:
        """Add the answers of a step; those of later steps are of a process that was killed."""
        text = self.file.read_text("utf-8") if self.file.exists() else ""
        before = text[: text.rfind("\n") + 1].split("\n")[:-1]
        lines = [line for line in before if json.loads(line)["step"] < step]
        for w, scores in zip(written, held, strict=True):
            row = {"step": step, "prompt_id": w.prompt.id, "texts": w.texts}
            row["ended"] = [c.ended for c in w.completions]
            row |= {"rewards": w.scores.tolist(), "held_out": scores.tolist()}
            lines.append(json.dumps(row, ensure_ascii=False))
        paths.replace(self.file, "".join(f"{line}\n" for line in lines))


def answered(
    loaded: Loaded, prompts: Sequence[Prompt], plan: Plan, reward: Judge, held_out: Judge
) -> tuple[list[Written], list[np.ndarray]]:
    """Let the model write `plan.n` answers to each prompt; return them with both rewards."""
    writer = Writer(loaded, reward, plan)
    written = [w for part in writer.write(prompts, ()) for w in part]
    chats = [w.prompt.prompt for w in written for _ in w.texts]
    scores = held_out.scores(chats, [text for w in written for text in w.texts])
    return written, np.split(scores, len(written))


class RewardRLOOTrainer(SharedPromptsMixin, StaysStoppedMixin, RLOOTrainer):
    """RLOOTrainer with a given reference, a guarded reward, and checks by a held-out reward."""

    def __init__(
        self,
        loaded: Loaded,
        monitor: Monitor,
        args: RLOOConfig,
        beta: float,
        origin: Path,
        rows: Dataset,
        lora: LoraConfig | None,
        callbacks: Sequence[TrainerCallback],
    ):
        reference = None if lora else copy.deepcopy(loaded.model)
        self.monitor, self.tell, self._loaded = monitor, monitor.tell, loaded
        loaded.model.name_or_path = str(origin)  # vLLM starts from these files
        self._norms: tuple[Norm, Norm] | None = None
        # TRL would load the reference by the model's name, whatever its commit or adapter
        args.beta = 0.0
        super().__init__(
            model=loaded.model,
            reward_funcs=self.rewards,
            args=args,
            train_dataset=rows,
            eval_dataset=rows.select([0]),  # Trainer wants one; checks are on `monitor.prompts`
            processing_class=loaded.tokenizer,
            peft_config=lora,
            callbacks=list(callbacks),
        )
        loaded.model.name_or_path = loaded.repo
        self.beta = args.beta = beta
        policy = self.policy().model
        base = policy.get_base_model() if isinstance(policy, PeftModel) else policy
        models = [cast("PreTrainedModel", base)]
        if reference is not None:
            add_fused_lm_head(reference, temperature=self.temperature)
            self.ref_model = self.accelerator.prepare_model(reference, evaluation_mode=True)
            models.append(self.ref_model)
        self.share_prompts(*models)

    @property
    def norms(self) -> tuple[Norm, Norm]:
        """The units of both rewards; they are in the log, so that a run continues with them."""
        if self._norms is None:
            first = next(e for e in self.state.log_history if NORMS in e)
            ours, other = cast("list[dict[str, float]]", first[NORMS])
            self._norms = Norm(**ours), Norm(**other)
        return self._norms

    def rewards(
        self,
        prompts: Sequence[list[Message]],
        completions: Sequence[list[Message]],
        completion_ids: Sequence[Sequence[int]],
        log_metric: Callable[[str, float], None],
        **_: object,
    ) -> list[float | None]:
        """Return the guarded rewards of a batch, as TRL asks for them."""
        texts = [c[-1]["content"].strip() for c in completions]
        scores = self.monitor.reward.scores(prompts, texts)
        ended = [bool(ids) and ids[-1] in self.eos_token_ids for ids in completion_ids]
        log_metric("characters", float(np.mean([len(t) for t in texts])))
        return self.norms[0].guarded(scores, texts, ended).tolist()

    def _generate_and_score_completions(
        self, inputs: list[dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        output = super()._generate_and_score_completions(inputs)
        metrics = self._metrics["train"]
        # TRL logs the divergence per token
        metrics["kl_answer"].append(metrics["kl"][-1] * metrics["completions/mean_length"][-1])
        return output

    def policy(self) -> Loaded:
        return replace(self._loaded, model=self.accelerator.unwrap_model(self.model))

    @contextmanager
    def reference(self) -> Generator[Loaded]:
        """Yield the model that the run started from."""
        model = self.policy().model
        if isinstance(model, PeftModel):
            with model.disable_adapter():
                yield replace(self._loaded, model=model)
        else:
            yield replace(self._loaded, model=self.accelerator.unwrap_model(self.ref_model))

    def had_stopped(self, state: TrainerState) -> str | None:
        is_open = self.monitor.stops and opened(checks(state.log_history))
        return "the gap had opened" if is_open else None

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        """Check the model: both rewards of its answers to the monitored prompts."""
        step = self.state.global_step
        with self.accelerator.autocast():
            written, held = self.monitor.write(self.policy())
        self.monitor.keep(step, written, held)
        texts = [text for w in written for text in w.texts]
        if not any(NORMS in e for e in self.state.log_history):
            self._norms = Norm.of([w.scores for w in written], texts), Norm.of(held, texts)
        ours, other = self.norms
        by_prompt = {
            "reward": [float(ours.normalised(w.scores).mean()) for w in written],
            "held_out": [float(other.normalised(scores).mean()) for scores in held],
        }
        metrics = {f"eval_{name}": float(np.mean(values)) for name, values in by_prompt.items()}
        metrics["eval_characters"] = float(np.mean([len(t) for t in texts]))
        metrics["eval_cut"] = float(np.mean([not c.ended for w in written for c in w.completions]))
        metrics[KEEPS] = float(step)
        self.log(metrics)
        entry = cast("dict[str, object]", self.state.log_history[-1])
        entry |= {CHECKED: by_prompt, NORMS: [asdict(ours), asdict(other)]}
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        self._tell(metrics, written[0])
        if self.monitor.stops and opened(checks(self.state.log_history)):
            self.control.should_training_stop = True
        return metrics

    def _tell(self, metrics: dict[str, float], written: Written) -> None:
        """Print the figures of a check, and the answer to its first prompt."""
        state = self.state
        since = takewhile(lambda e: CHECKED not in e, reversed(state.log_history[:-1]))
        kl = [e["kl_answer"] for e in since if e.get("kl_answer") is not None]
        figures = (
            f"reward {metrics['eval_reward']:+.2f}",
            f"held-out reward {metrics['eval_held_out']:+.2f}",
            f"KL {np.mean(kl) if kl else 0:.2f} nats an answer",
            f"{metrics['eval_characters']:.0f} characters",
            f"{100 * metrics['eval_cut']:.0f}% cut",
        )
        self.monitor.tell(f"  step {state.global_step:>4}/{state.max_steps}: {', '.join(figures)}")
        sample = " ".join(written.texts[0].split())
        self.monitor.tell(f"    {sample[:SHOWN]}{'…' * (len(sample) > SHOWN)}")


def make_rl_trainer(
    args: RLArguments,
    recipe: Recipe,
    loaded: Loaded,
    prompts: Sequence[Prompt],
    monitor: Monitor,
    folder: Path,
    origin: Path,
    callbacks: Sequence[TrainerCallback],
    *,
    fresh: bool,
) -> RewardRLOOTrainer:
    """Return the trainer; a `fresh` run is also checked before its first step.

    `origin` is the folder of the model's files.
    The weights with the highest held-out reward are kept, those of the last step where the
    held-out reward cannot decide.
    """
    answers = [p for p in prompts for _ in range(args.n)]
    options = schedule(args, recipe, Rows(answers, answers[: args.n]), folder)
    steps = int(len(answers) // recipe.batch_size * args.epochs)
    every = max(1, round(steps / CHECKS))
    rows = Dataset.from_list([{"prompt": p.prompt} for p in prompts])
    del options["max_length"]
    options |= {
        "per_device_eval_batch_size": args.n,
        "eval_steps": every,
        "save_steps": every,
        "metric_for_best_model": "eval_held_out" if monitor.stops else KEEPS,
        "greater_is_better": True,
        "eval_on_start": fresh,
    }
    trainer = RewardRLOOTrainer(
        loaded,
        monitor,
        RLOOConfig(
            **options,
            num_generations=args.n,
            max_completion_length=args.max_new_tokens,
            reward_clip_range=(-CLIP, CLIP),
            use_vllm=args.engine == "vllm",
            vllm_max_model_length=args.max_length,
            report_to="none",
        ),
        args.beta,
        origin,
        rows,
        adapter(recipe, loaded.revision),
        callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
