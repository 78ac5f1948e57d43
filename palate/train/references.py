"""What the reference makes of every row, computed once before training and kept for other runs."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")


def with_references(
    trainer: Any, dataset: Any, batch_size: int, folder: Path | None, origin: str
) -> Any:
    """Return the rows with the reference's log-probabilities, known ones from `folder`.

    A column `margin` becomes an offset of them. Every process returns all rows.
    """
    file = folder and folder / f"{_name(trainer, dataset, origin)}.safetensors"
    if file and file.exists():
        known = load_file(file)
    else:
        known = _ask(trainer, dataset, batch_size)
        if file and trainer.accelerator.is_main_process:
            file.parent.mkdir(parents=True, exist_ok=True)
            scratch = file.with_suffix(f".{os.getpid()}")
            save_file(known, scratch)
            scratch.replace(file)
    for column in COLUMNS:
        dataset = dataset.add_column(column, known[column].tolist())
    return _offset(dataset, trainer.beta) if "margin" in dataset.column_names else dataset


def _name(trainer: Any, dataset: Any, origin: str) -> str:
    """Return a hash of these very tokens under these weights."""
    args = trainer.args
    what = (origin, args.max_length, args.truncation_mode, trainer.ld_alpha)
    tokens = hashlib.sha256(repr(what).encode())
    for column in ("prompt_ids", "chosen_ids", "rejected_ids"):
        tokens.update(repr(dataset[column][:]).encode())
    return tokens.hexdigest()[:32]


def _ask(trainer: Any, dataset: Any, batch_size: int) -> dict[str, torch.Tensor]:
    """Return both columns, shape (rows,). TRL's own way passes them on in one process's files."""
    accelerator = trainer.accelerator
    loader = accelerator.prepare(
        DataLoader(dataset, batch_size=batch_size, collate_fn=trainer.data_collator)
    )
    model = _placed(trainer)
    parts: Sequence[Any] = [
        accelerator.gather_for_metrics(trainer.compute_ref_log_probs(model, batch))
        for batch in loader
    ]
    both = zip(*parts, strict=True)
    return {c: torch.cat(p).float().cpu() for c, p in zip(COLUMNS, both, strict=True)}


def _placed(trainer: Any) -> Any:
    if trainer.ref_model is None and trainer.is_deepspeed_enabled:
        from trl.models import prepare_deepspeed

        # one for the train and the test rows
        if trainer._precompute_engine is None:
            trainer._precompute_engine = prepare_deepspeed(trainer.model, trainer.accelerator)
        return trainer._precompute_engine
    return trainer.ref_model or trainer.model


def _offset(dataset: Any, beta: float) -> Any:
    """Return the rows with the reference preferring the chosen one by its margin more."""
    raised = [
        logps + margin / beta
        for logps, margin in zip(dataset["ref_chosen_logps"], dataset["margin"], strict=True)
    ]
    without = dataset.remove_columns(["ref_chosen_logps", "margin"])
    return without.add_column("ref_chosen_logps", raised)
