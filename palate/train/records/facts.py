"""The facts of a run: its data, its curve, its samples, the versions and the machine.

Curves are pure; they read Trainer's log, a list of dicts with one entry per step.
"""

import math
import os
import platform
import resource
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from palate import __version__
from palate.core import ledger
from palate.core.project import Project
from palate.core.rounds import weights_of
from palate.core.schema import Preference, Prompt, Unpaired
from palate.generate import models, samples, window
from palate.label import agreement, preferences
from palate.train.job import Clock, Job
from palate.train.records.points import DPOPoint, KTOPoint, RLPoint, SFTPoint
from palate.train.records.record import (
    VERSION,
    DataFacts,
    Hardware,
    KTODataFacts,
    SFTDataFacts,
    SplitPrompts,
    SplitRows,
)
from palate.train.rows import feedback
from palate.train.rows.data import Answer, Rows, preference_sentence, read_preferences
from palate.train.rows.people import PartOfPeople
from palate.train.rows.unpaired import Weights

if TYPE_CHECKING:
    from transformers import Trainer

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "huggingface_hub")
DPO_KEYS = {  # of TRL's log → of the record
    "loss": "loss",
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "eval_loss": "test_loss",
    "eval_rewards/accuracies": "test_reward_accuracy",
    "eval_rewards/margins": "test_reward_margin",
    "eval_rewards/chosen": "test_reward_chosen",
    "eval_rewards/rejected": "test_reward_rejected",
    "eval_logps/chosen": "test_logp_chosen",
    "eval_logps/rejected": "test_logp_rejected",
}
SFT_KEYS = {
    "loss": "loss",
    "mean_token_accuracy": "token_accuracy",
    "eval_loss": "test_loss",
    "eval_mean_token_accuracy": "test_token_accuracy",
}
KTO_KEYS = {
    "loss": "loss",
    "kl": "kl",
    "rewards/chosen": "reward_good",
    "rewards/rejected": "reward_bad",
    "eval_loss": "test_loss",
    "eval_rewards/chosen": "test_reward_good",
    "eval_rewards/rejected": "test_reward_bad",
}
RL_KEYS = {
    "loss": "loss",
    "reward": "reward",
    "kl_answer": "kl",
    "characters": "characters",
    "completions/clipped_ratio": "cut",
    "eval_reward": "check_reward",
    "eval_held_out": "check_held_out",
}
Point = TypeVar("Point", DPOPoint, SFTPoint, KTOPoint, RLPoint)


def dpo_curve(log: Sequence[dict]) -> tuple[DPOPoint, ...]:
    """Return one point per step, with test figures where the test split was evaluated."""
    points = _curve(log, DPO_KEYS, DPOPoint)
    # before anything is learned all margins are 0, which TRL counts as wrong
    return tuple(replace(p, reward_accuracy=None) if p.reward_margin == 0 else p for p in points)


def sft_curve(log: Sequence[dict]) -> tuple[SFTPoint, ...]:
    """Return one point per step, with test figures where the test split was evaluated."""
    return tuple(_curve(log, SFT_KEYS, SFTPoint))


def kto_curve(log: Sequence[dict]) -> tuple[KTOPoint, ...]:
    """Return one point per step, with test figures where the test split was evaluated."""
    return tuple(_curve(log, KTO_KEYS, KTOPoint))


def rl_curve(log: Sequence[dict]) -> tuple[RLPoint, ...]:
    """Return one point per step, with both rewards where the model was checked."""
    return tuple(_curve(log, RL_KEYS, RLPoint))


def _curve(log: Sequence[dict], keys: Mapping[str, str], point: type[Point]) -> list[Point]:
    steps: dict[int, dict[str, Any]] = {}
    for entry in log:
        if keys.keys().isdisjoint(entry):
            continue  # Trainer's summary of the whole run
        figures = steps.setdefault(entry["step"], {"step": entry["step"], "epoch": entry["epoch"]})
        figures |= {
            keys[k]: v for k, v in entry.items() if k in keys and v is not None and math.isfinite(v)
        }
    return [point(**steps[step]) for step in sorted(steps)]


def dpo_data(project: Project, rows: Rows[Preference], aspect: str | None) -> DataFacts:
    """Return what DPO records of its data; without an `aspect` it learned all together."""
    judged = [r for r in rows.train if r.source == "ai"]
    if not judged:
        return DataFacts(**_data(project, rows, aspect))
    panel = feedback.usable(project)
    said = feedback.together(panel, ledger.standing_judgements(project.labels))
    several = len(panel.used) > 1
    return DataFacts(
        **_data(project, rows, aspect),
        ai=len(judged),
        judge=said.judge,
        judge_agreement=said.agreement,
        judges={j.judge: j.agreement for j in panel.used} if several else {},
        judges_agree=panel.among if several else None,
    )


def sft_data(project: Project, rows: Rows[Answer], aspect: str | None) -> SFTDataFacts:
    """Return what SFT records of its data: the answers, and the preferences behind them."""
    compared = read_preferences(project, implied=False, together=not aspect)
    facts = _data(project, compared, aspect)
    facts["prompts"] = replace(
        facts["prompts"], train=_prompts(rows.train), test=_prompts(rows.test)
    )
    facts |= {"train": len(rows.train), "test": len(rows.test), "dropped": dict(rows.dropped)}
    return SFTDataFacts(**facts, comparisons=SplitRows(len(compared.train), len(compared.test)))


def kto_data(
    project: Project, rows: Rows[Unpaired], weights: Weights, sources: Mapping[str, int]
) -> KTODataFacts:
    """Return what KTO records of its data; the taste is that of people's comparisons, if any."""
    compared = [p for p in project.preferences if p.source == "human"]
    splits = {p.id: p.split for p in project.prompts}
    train = [p for p in compared if splits.get(p.prompt_id) == "train"]
    facts = _data(project, Rows(train, []), project.aspect)
    facts["prompts"] = replace(
        facts["prompts"], train=_prompts(rows.train), test=_prompts(rows.test)
    )
    good = sum(r.label for r in rows.train)
    facts |= {
        "train": len(rows.train),
        "test": len(rows.test),
        "annotators": len({r.annotator for r in (*rows.train, *rows.test)}),
        "dropped": dict(rows.dropped),
        "good": good,
        "bad": len(rows.train) - good,
        "good_weight": weights.good,
        "bad_weight": weights.bad,
        "sources": dict(sources),
    }
    return KTODataFacts(**facts)


def rl_data(project: Project, rows: Rows[Prompt]) -> DataFacts:
    """Return what RL records of its data: its prompts, and the labels behind the reward."""
    compared = read_preferences(project, implied=False)
    facts = _data(project, compared, project.aspect)
    facts |= {"train": len(rows.train), "test": len(rows.test), "dropped": dict(rows.dropped)}
    facts["prompts"] = replace(facts["prompts"], train=len(rows.train), test=len(rows.test))
    return DataFacts(**facts)


def _data(project: Project, rows: Rows[Preference], aspect: str | None) -> dict[str, Any]:
    prompts, labels = project.prompts, project.labels
    rebuilt = preferences.rebuild(prompts, project.candidates, labels)
    people = agreement.report(labels, project.candidates)
    blind = sum(p.split == "eval" for p in prompts)
    return {
        "train": len(rows.train),
        "test": len(rows.test),
        "prompts": SplitPrompts(_prompts(rows.train), _prompts(rows.test), blind),
        "annotators": len({r.annotator for r in (*rows.train, *rows.test) if r.source == "human"}),
        "implied": sum(r.source == "implied" for r in rows.train),
        "implied_checks": people.implied,
        "labels": sum(e.kind == "label" for e in ledger.standing_judgements(labels)),
        "agreement": people.agreement,
        "alpha": people.alpha,
        "alpha_interval": people.alpha_interval,
        "self_consistency": people.self_consistency,
        "guidelines": project.guidelines,
        "question": project.settings.question,
        "taste": preference_sentence(rows.train),
        "people_chosen": len(project.only) if isinstance(project, PartOfPeople) else 0,
        "people_in_all": project.people_in_all if isinstance(project, PartOfPeople) else 0,
        "left_out": dict(rebuilt.left_out),
        "dropped": dict(rows.dropped),
        "aspects": {aspect: 1.0} if aspect else weights_of(project.settings),
    }


def _prompts(rows: Iterable[Preference | Answer | Unpaired]) -> int:
    return len({r.prompt_id for r in rows})


def common(name: str, job: Job, clock: Clock, trainable: int) -> dict[str, Any]:
    """Return what every training job records in the same way; `trainable` counts parameters."""
    args, project, base = job.args, job.project, job.base
    return {
        "version": VERSION,
        "job": name,
        "palate": __version__,
        "project": project.id,
        "data_revision": project.revision,
        "base_model": base.repo,
        "base_revision": base.revision,
        "model": job.repo,
        "round": project.settings.round,
        "license": project.settings.license,
        "command": args.command(),
        "arguments": asdict(args),
        "seed": args.seed,
        "method": job.recipe.method,
        "why": job.recipe.reasons,
        "audit": job.audit,
        "versions": versions(),
        "hardware": hardware(),
        "started": clock.started,
        "seconds": round(clock.seconds, 1),
        "parameters": base.parameters,
        "trainable_parameters": trainable,
    }


def trainable_parameters(trainer: "Trainer") -> int:
    assert trainer.model
    model = trainer.model
    return sum(w.numel() for w in model.parameters() if w.requires_grad)


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}}


def hardware() -> Hardware:
    """Return the device and the peak of its memory, in GiB; on a CPU that of this process."""
    import torch

    if torch.cuda.is_available():
        device, peak = torch.cuda.get_device_name(), torch.cuda.max_memory_allocated() / 2**30
    else:
        unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, Linux KiB
        device, peak = "cpu", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return Hardware(device, _cores(), round(peak, 2))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def compare_models(
    job: Job, trainer: "Trainer", loaded: models.Loaded, condition: str = ""
) -> samples.Samples:
    """Return what base and tuned model write on test prompts, or on train prompts without any.

    Eval prompts stay blind. `trainer` holds the tuned model, `loaded` its tokenizer; the tuned
    model is asked with the words of `condition` after each prompt.
    """
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    base, prompts = job.base, job.project.prompts
    model: Any = trainer.model
    adapter = hasattr(model, "disable_adapter")
    sharded = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if sharded:  # the other processes, which hold the rest of it, are done
        unset_hf_deepspeed_config()  # or the model loaded here would be sharded over all of them
        saved = replace(base, folder=job.run_dir.model, base=base if adapter else base.base)
        model = models.load(saved, dtype=loaded.model.dtype).model
    tuned = replace(loaded, model=model, condition=condition)

    @contextmanager
    def base_model() -> Generator[models.Loaded]:
        if adapter and not sharded:
            with model.disable_adapter():
                yield replace(loaded, model=model)
        else:
            yield models.load(base, dtype=loaded.model.dtype)

    held_out, known = ([p.prompt for p in prompts if p.split == s] for s in ("test", "train"))
    held_out = window.fitting(tuned, held_out)  # rows of the others were left out
    shown = held_out or window.fitting(tuned, known)
    enough = samples.tokens_enough(loaded, [c.text for c in job.project.candidates])
    return samples.compare(base_model, tuned, shown, job.args.seed, enough, held_out=bool(held_out))
