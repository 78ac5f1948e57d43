"""What the trainers of DPO, SFT and KTO share, and SFT's trainer.

Rows are drawn and models saved so that several processes train what one process trains.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from torch.utils.data import Sampler
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
)
from trl import SFTConfig, SFTTrainer

from palate.core.schema import Preference, Prompt, Unpaired
from palate.generate.models import Loaded
from palate.train.config import SFTArguments, TrainArguments
from palate.train.recipes.recipe import Recipe
from palate.train.records.choice import LOGGED_SUMS
from palate.train.rows.data import Answer, Rows, answer_dataset
from palate.train.trainers.stopped import PATIENCE, StaysStoppedMixin, lost_patience

EVALUATIONS_PER_EPOCH = 4
WARMUP_FRACTION = 0.1  # of the steps
LORA_RANK = 16
LOG_POINTS = 100  # per run, about


class GroupSampler(Sampler[int]):
    """Draws the rows of a group together; the order of groups is new in every epoch.

    The same seed and epoch give the same order, so that a resumed run continues where it stopped.
    The epoch's last batch is filled up with the epoch's first rows: every step has `batch` rows,
    however many processes compute it.
    """

    def __init__(self, keys: Sequence[Hashable], seed: int, batch: int = 1):
        groups: dict[Hashable, list[int]] = {}
        for i, key in enumerate(keys):
            groups.setdefault(key, []).append(i)
        self._groups, self._seed, self._epoch = list(groups.values()), seed, 0
        self._rows = len(keys) + -len(keys) % batch

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[int]:
        random = torch.Generator().manual_seed(1_000_003 * self._seed + self._epoch)
        order = torch.randperm(len(self._groups), generator=random).tolist()
        rows = [i for group in order for i in self._groups[group]]
        yield from islice(cycle(rows), self._rows)


class ReproducibleTrainerMixin(Trainer):
    """Makes a step's rows independent of the number of processes, and saves whole models.

    It comes before TRL's trainer among a class's bases.
    """

    def groups(self, rows: Dataset) -> list[Hashable]:
        """Return a key for each row; rows with the same key share a batch."""
        return list(range(len(rows)))

    def _get_train_sampler(self, train_dataset: Any = None) -> GroupSampler:
        rows = cast("Dataset", self.train_dataset if train_dataset is None else train_dataset)
        args: Any = self.args
        parts = args.gradient_accumulation_steps * self.accelerator.num_processes
        batch = args.per_device_train_batch_size * parts
        return GroupSampler(self.groups(rows), args.data_seed or args.seed, batch)

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None
    ) -> None:
        policy: Any = self.model
        if state_dict is not None and getattr(policy.config, "tie_word_embeddings", False):
            # gathered from several processes, a shared weight would be saved under both names
            for name in policy._tied_weights_keys or ():
                state_dict.pop(name, None)
        super()._save(output_dir, state_dict)


class AnswerTrainer(StaysStoppedMixin, ReproducibleTrainerMixin, SFTTrainer):
    """SFTTrainer that evaluates by the mean over all tokens of the test answers.

    Trainer averages the means of batches, which hold different numbers of tokens: its figure
    depends on the batch size and on the number of processes.
    """

    def had_stopped(self, state: TrainerState) -> str | None:
        return "the test loss had stopped falling" if lost_patience(state) else None

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        sums = self.token_sums()
        loss, right, tokens = sums.sum(0).tolist()
        metrics = {"eval_loss": loss / tokens, "eval_mean_token_accuracy": right / tokens}
        self.log(metrics)
        entry = cast("dict[str, object]", self.state.log_history[-1])
        entry[LOGGED_SUMS] = sums.tolist()
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def token_sums(self) -> torch.Tensor:
        """Return sums of loss, right tokens and tokens of each test row, shape (rows, 3)."""
        assert self.model
        model = self.model.eval()
        rows = []
        for batch in self.get_eval_dataloader():
            with torch.no_grad(), self.compute_loss_context_manager():
                out = model(**batch, fused_lm_head=True)
            per_token = (-out.log_probs.float(), out.is_top1, out.label_mask)
            sums = torch.stack([x.sum(-1).double() for x in per_token], dim=1)
            rows.append(self.accelerator.gather_for_metrics(sums))
        return torch.cat(rows)

    def merge(self) -> None:
        """Merge an adapter, if there is one, into the weights, so that a whole model is saved."""
        if isinstance(self.model, PeftModel):
            self.model = self.model.merge_and_unload()


def make_sft_trainer(
    args: SFTArguments,
    recipe: Recipe,
    loaded: Loaded,
    rows: Rows[Answer],
    folder: Path,
    callbacks: Sequence[TrainerCallback],
    *,
    fresh: bool,
) -> AnswerTrainer:
    """Return the trainer of SFT; a `fresh` run is also evaluated before its first step."""
    trainer = AnswerTrainer(
        model=loaded.model,
        args=SFTConfig(
            **schedule(args, recipe, rows, folder),
            eval_on_start=fresh and bool(rows.test),
            report_to="none",
        ),
        train_dataset=answer_dataset(rows.train),
        eval_dataset=answer_dataset(rows.test) if rows.test else None,
        processing_class=loaded.tokenizer,
        peft_config=adapter(recipe, loaded.revision),
        callbacks=with_early_stopping(callbacks, rows),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def schedule(
    args: TrainArguments,
    recipe: Recipe,
    rows: Rows[Preference] | Rows[Answer] | Rows[Unpaired] | Rows[Prompt],
    folder: Path,
) -> dict[str, Any]:
    """Return TRL's options for batches, steps, evaluations and checkpoints."""
    cuda = torch.cuda.is_available()
    steps = math.ceil(len(rows.train) / recipe.batch_size)
    log_steps = max(1, int(steps * args.epochs) // LOG_POINTS)
    eval_steps = log_steps * max(1, round(steps / EVALUATIONS_PER_EPOCH / log_steps))
    return {
        "output_dir": str(folder),
        "learning_rate": recipe.learning_rate,
        "num_train_epochs": args.epochs,
        "per_device_train_batch_size": recipe.part,
        "per_device_eval_batch_size": even_batch(len(rows.test), 2 * recipe.part, recipe.processes),
        "gradient_accumulation_steps": recipe.accumulate,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "max_length": args.max_length,
        "warmup_steps": int(WARMUP_FRACTION * steps * args.epochs),
        "seed": args.seed,
        "bf16": recipe.bf16,
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        "eval_strategy": "steps" if rows.test else "no",
        "eval_steps": eval_steps,
        "save_steps": eval_steps,
        "save_total_limit": 2,
        "load_best_model_at_end": bool(rows.test),
        "metric_for_best_model": "eval_loss" if rows.test else None,
        "greater_is_better": False if rows.test else None,
        "restore_callback_states_from_checkpoint": True,  # early stopping keeps its count
        "logging_steps": log_steps,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "log_level_replica": "error",  # as `models.quiet` sets it in the first process
    }


def even_batch(rows: int, largest: int, processes: int = 1) -> int:
    """Return the batch size that leaves the last batches fullest: TRL averages over batches."""
    sizes = range(largest, max(1, largest // 2) - 1, -1)
    return min(sizes, key=lambda size: -rows % (size * processes) / (size * processes))


def with_early_stopping(
    callbacks: Sequence[TrainerCallback], rows: Rows[Answer]
) -> list[TrainerCallback]:
    """Return the callbacks, and with test rows one that stops when these get no better."""
    stop = [EarlyStoppingCallback(early_stopping_patience=PATIENCE)] if rows.test else []
    return [*callbacks, *stop]


def adapter(recipe: Recipe, revision: str) -> LoraConfig | None:
    """Return the configuration of a new adapter, None where all weights are trained."""
    if recipe.method == "full":
        return None
    return LoraConfig(
        r=LORA_RANK,
        lora_alpha=2 * LORA_RANK,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        revision=revision,
    )


def weights_dtype(recipe: Recipe) -> torch.dtype:
    """Return the type of the weights: steps of 1e-6 would vanish when rounded to bfloat16."""
    return torch.bfloat16 if recipe.bf16 and recipe.method != "full" else torch.float32
