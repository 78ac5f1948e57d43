"""Reference log-probabilities before training, and reward margins of test rows during it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from rich.console import Console
from safetensors.torch import load_file, save
from torch.utils.data import DataLoader
from trl import DPOConfig, DPOTrainer

from palate.core import paths
from palate.train.packed import packed_forward
from palate.train.records.choice import KEEPS, LOGGED
from palate.train.trainers.looks import watched

Batch = dict[str, Any]  # tensors, and what TRL adds
COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")


def with_references(
    trainer: DPOTrainer,
    dataset: Dataset,
    batch_size: int,
    folder: Path | None,
    origin: str,
    console: Console | None,
) -> Dataset:
    """Return the rows with the reference's log-probabilities, from `folder` if they are known.

    A column `margin` becomes an offset of them. Every process returns all rows. A `console` shows
    the progress.
    """
    file = folder and folder / f"{_key(trainer, dataset, origin)}.safetensors"
    if file and file.exists():
        logps = load_file(file)
    else:
        logps = _compute(trainer, dataset, batch_size, console)
        if file and trainer.accelerator.is_main_process:
            file.parent.mkdir(parents=True, exist_ok=True)
            paths.replace(file, save(logps))
    for column in COLUMNS:
        dataset = dataset.add_column(column, logps[column].tolist())
    return _offset(dataset, trainer.beta) if "margin" in dataset.column_names else dataset


def _key(trainer: DPOTrainer, dataset: Dataset, origin: str) -> str:
    """Return a hash of these tokens under these weights."""
    args = cast("DPOConfig", trainer.args)
    settings = (origin, args.max_length, args.truncation_mode, trainer.ld_alpha)
    tokens = hashlib.sha256(repr(settings).encode())
    for column in ("prompt_ids", "chosen_ids", "rejected_ids"):
        tokens.update(repr(dataset[column][:]).encode())
    return tokens.hexdigest()[:32]


def _compute(
    trainer: DPOTrainer, dataset: Dataset, batch_size: int, console: Console | None
) -> dict[str, torch.Tensor]:
    """Return both columns, shape (rows,), in every process; TRL would write them to one's files."""
    accelerator, rows = trainer.accelerator, cast(Any, dataset)
    loader = accelerator.prepare(
        DataLoader(rows, batch_size=batch_size, collate_fn=trainer.data_collator)
    )
    model = reference_model(trainer)
    parts: Sequence[Any] = [
        accelerator.gather_for_metrics(trainer.compute_ref_log_probs(model, batch))
        for batch in watched(loader, "reference", console)
    ]
    both = zip(*parts, strict=True)
    return {c: torch.cat(p).float().cpu() for c, p in zip(COLUMNS, both, strict=True)}


def reference_model(trainer: Any) -> Any:
    if trainer.ref_model is None and trainer.is_deepspeed_enabled:
        from trl.models import prepare_deepspeed

        # one engine for the train and the test rows
        if trainer._precompute_engine is None:
            trainer._precompute_engine = prepare_deepspeed(trainer.model, trainer.accelerator)
        return trainer._precompute_engine
    return trainer.ref_model or trainer.model


def _offset(dataset: Dataset, beta: float) -> Dataset:
    """Return the rows with the reference preferring the chosen answer by its margin more."""
    raised = [
        logps + margin / beta
        for logps, margin in zip(dataset["ref_chosen_logps"], dataset["margin"], strict=True)
    ]
    without = dataset.remove_columns(["ref_chosen_logps", "margin"])
    return without.add_column("ref_chosen_logps", raised)


class MarginsMixin(DPOTrainer):
    """Logs the reward margin of each test row at each evaluation, which batch averages hide.

    It comes before TRL's trainer among a class's bases, and `observe` gets the model's outputs. A
    column `place` names the test rows.
    """

    _log_probs: Any  # of the last output
    _margins: list[float]  # of the evaluation so far

    def observe(self, out: object) -> None:
        model: Any = self.model
        if not model.training:
            self._log_probs = getattr(out, "log_probs", None)  # writing texts computes none

    def _compute_loss(self, model: torch.nn.Module, inputs: Batch, return_outputs: bool) -> Any:
        loss = super()._compute_loss(model, inputs, return_outputs)
        policy: Any = self.model
        if not policy.training and self.precompute_ref_logps:
            self._margins += self._reward_margins(inputs)
        return loss

    def _reward_margins(self, inputs: Batch) -> list[float]:
        """Return β · (log-ratio of chosen − log-ratio of rejected) of each row of an evaluation."""
        mask = inputs["completion_mask"][:, 1:]
        logps = packed_forward.sequence_log_probs(self._log_probs, mask, self.ld_alpha)
        chosen, rejected = logps.chunk(2)
        ratios = chosen - inputs["ref_chosen_logps"], rejected - inputs["ref_rejected_logps"]
        margins = self.beta * (ratios[0] - ratios[1])
        return self.accelerator.gather_for_metrics(margins).tolist()

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate as TRL does; the log also gets each row's reward margin, by its place."""
        self._margins = []
        return super().evaluate(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        evaluated = "eval_loss" in logs and self.precompute_ref_logps
        if evaluated:
            logs[KEEPS] = float(self.state.global_step)
        super().log(logs, start_time)
        if evaluated:  # rows are not numbers that a tracker can draw
            rows = cast("Dataset", self.eval_dataset)
            entry = cast("dict[str, object]", self.state.log_history[-1])
            entry[LOGGED] = dict(zip(map(str, rows["place"]), self._margins, strict=True))
