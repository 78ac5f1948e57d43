"""Reference log-probabilities, computed once before training, and reward margins after it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from safetensors.torch import load_file, save
from torch.utils.data import DataLoader

from palate.core import paths

COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")


def with_references(
    trainer: Any, dataset: Dataset, batch_size: int, folder: Path | None, origin: str
) -> Dataset:
    """Return the rows with the reference's log-probabilities, from `folder` if they are known.

    A column `margin` becomes an offset of them. Every process returns all rows.
    """
    file = folder and folder / f"{_key(trainer, dataset, origin)}.safetensors"
    if file and file.exists():
        logps = load_file(file)
    else:
        logps = _compute(trainer, dataset, batch_size)
        if file and trainer.accelerator.is_main_process:
            file.parent.mkdir(parents=True, exist_ok=True)
            paths.replace(file, save(logps))
    for column in COLUMNS:
        dataset = dataset.add_column(column, logps[column].tolist())
    return _offset(dataset, trainer.beta) if "margin" in dataset.column_names else dataset


def _key(trainer: Any, dataset: Dataset, origin: str) -> str:
    """Return a hash of these tokens under these weights."""
    args = trainer.args
    settings = (origin, args.max_length, args.truncation_mode, trainer.ld_alpha)
    tokens = hashlib.sha256(repr(settings).encode())
    for column in ("prompt_ids", "chosen_ids", "rejected_ids"):
        tokens.update(repr(dataset[column][:]).encode())
    return tokens.hexdigest()[:32]


def _compute(trainer: Any, dataset: Dataset, batch_size: int) -> dict[str, torch.Tensor]:
    """Return both columns, shape (rows,), in every process; TRL would write them to one's files."""
    accelerator, rows = trainer.accelerator, cast(Any, dataset)
    loader = accelerator.prepare(
        DataLoader(rows, batch_size=batch_size, collate_fn=trainer.data_collator)
    )
    model = _reference_model(trainer)
    parts: Sequence[Any] = [
        accelerator.gather_for_metrics(trainer.compute_ref_log_probs(model, batch))
        for batch in loader
    ]
    both = zip(*parts, strict=True)
    return {c: torch.cat(p).float().cpu() for c, p in zip(COLUMNS, both, strict=True)}


def _reference_model(trainer: Any) -> Any:
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


def reward_margins(trainer: Any) -> list[float]:
    """Return β · (log-ratio of chosen − log-ratio of rejected) for each row of the test split.

    Batch averages cannot give these exactly. The reference's log-probabilities are those that the
    trainer computed before its first step.
    """
    margins: list[float] = []
    trainer.model.eval()
    for batch in trainer.get_eval_dataloader():
        with torch.no_grad(), trainer.accelerator.autocast():
            chosen, rejected = _log_probabilities(trainer.model, batch).chunk(2)
        reference = batch["ref_chosen_logps"] - batch["ref_rejected_logps"]
        batch_margins = trainer.beta * (chosen - rejected - reference.to(chosen))
        margins += trainer.accelerator.gather_for_metrics(batch_margins).tolist()
    return margins


def _log_probabilities(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the summed log-probability of each completion, shape (2 · rows,): chosen first."""
    tokens, mask = batch["input_ids"], batch["completion_mask"][:, 1:]
    logits = model(input_ids=tokens, attention_mask=batch["attention_mask"]).logits[:, :-1]
    per_token = logits.float().log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return (per_token * mask).sum(-1)
