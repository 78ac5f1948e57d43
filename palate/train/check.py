"""What a training looks at before it starts and when it is over, beside the steps themselves."""

import errno
import random
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from palate.audit import findings, measure
from palate.audit import rows as audit_rows
from palate.audit.baselines import Accuracy
from palate.collect.splits import check_no_overlap, check_training
from palate.core.errors import PalateError, UsageError
from palate.core.project import Project
from palate.generate import models
from palate.label import agreement
from palate.train import data, samples, taste, view
from palate.train.config import DPOArguments
from palate.train.sizes import Sizes, halved


def audit(
    console: Console, project: Project, rows: data.Rows, *, ignore: bool
) -> tuple[findings.Finding, ...]:
    """Audit the labels, print what is serious and return all of it; raise at what is fatal."""
    figures = measure.measure(audit_rows.of_project(project), learn=False)
    found = findings.findings(figures)
    try:
        check_no_overlap(project.prompts)
        check_training(rows.train, project.prompts)
    except PalateError as error:
        found.insert(0, findings.Finding("fatal", str(error), "Correct it before training."))
    for f in found:
        if f.level != "note":
            console.print(f"  {f.level}: {f.text} {f.advice}", style="yellow", markup=False)
    fatal = [f for f in found if f.level == "fatal"]
    if fatal and not ignore:
        raise PalateError(
            f"{fatal[0].text} {fatal[0].advice} All that was found: palate audit {project.id}."
            " To train all the same: --ignore-audit"
        )
    return tuple(found)


def flip_rate(args: DPOArguments, project: Project) -> float | None:
    """Return how often labels are wrong, where the loss has to know it."""
    if args.loss != "robust" or args.flip_rate is not None:
        return args.flip_rate
    report = agreement.report(project.labels, project.candidates)
    return round(taste.flip_rate(report), 4)


def positions(trainer: Any) -> view.Positions:
    """Return the token positions of an epoch, with the trainer's batches and with TRL's."""
    rows, size = trainer.train_dataset, trainer.args.per_device_train_batch_size
    columns = (rows[name][:] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    pairs = list(zip(*columns, strict=True))
    order = list(pairs)
    random.Random(0).shuffle(order)
    theirs = sum(_padded(order[i : i + size]) for i in range(0, len(order), size))
    ours = theirs
    if trainer.mode != "trl":
        ours = view.positions(pairs, size, share_prompt=trainer.mode == "tree")
    return view.Positions(ours, theirs, trainer.mode)


def _padded(batch: list) -> int:
    return 2 * len(batch) * max(len(p) + max(len(c), len(r)) for p, c, r in batch)


def full_disk(error: Exception, folder: Path, command: str) -> PalateError | None:
    """Return what to say where a disk that is full was the cause, else None.

    Safetensors and torch have words of their own for it.
    """
    if isinstance(error, OSError):
        full = error.errno == errno.ENOSPC
    else:
        words = r"os error 28|No space left|PytorchStreamWriter|inline_container"
        full = bool(re.search(words, str(error)))
    if not full:
        return None
    return PalateError(
        f"No space is left on the disk of {folder} to save a checkpoint ({error}). The one before"
        " it is kept. Free some space, and run the same command again:"
        f" {command}"
    )


def smaller(sizes: Sizes) -> Sizes:
    """Return the sizes to go on with where memory ran out; raise where nothing can be smaller.

    Of several processes one cannot go back alone: the others wait for it where it ran out.
    """
    made = halved(sizes)
    if made is None:
        raise PalateError(
            f"Memory ran out on a single {sizes.unit}. Lower --max-length, or use a lighter"
            " --method."
        )
    if made.processes > 1:
        raise PalateError(
            "Memory ran out in one of the processes. Run the same command again with"
            f" --accumulate {made.accumulate}: it continues from the last checkpoint."
        )
    return made


def mergeable(method: str, parted: bool) -> None:
    """Raise UsageError where an adapter could not be merged: no process would hold all weights."""
    if method != "full" and parted:
        raise UsageError(
            "SFT merges an adapter into its base model at the end, which no GPU can do that holds"
            " only a part of it. Use --method full, or leave --accelerate out."
        )


def fit(
    console: Console, rows: data.Rows, tokenizer: Any, max_length: int, window: int
) -> data.Rows:
    """Return the rows that can be trained on, and say which cannot."""
    usable = data.usable(rows, tokenizer, max_length, window)
    for reason, n in usable.dropped.items():
        console.print(f"  left out: {n:,} rows, {reason}")
    for name in usable.too_long[:10]:
        console.print(f"    {name}", markup=False)
    return usable


def kept_step(trainer: Any, guard: Any) -> int:
    """Return the step that the weights are of; raise if there is no good one."""
    if best := trainer.state.best_model_checkpoint:
        return int(best.rpartition("-")[2])
    if guard.failed_at is not None:
        raise PalateError(
            f"The loss was not a number at step {guard.failed_at}, and no good checkpoint came"
            " before it. Nothing was pushed. Run again with a lower --learning-rate."
        )
    return trainer.state.global_step


def to_beat(rows: data.Rows) -> dict[str, Accuracy]:
    said = [r for r in rows.train if r.source == "human"]
    return taste.to_beat(said or rows.train, rows.test)


def compared(base: models.Source, trainer: Any, loaded: models.Loaded, job: Any) -> samples.Samples:
    """Return what base and tuned model write on test prompts; eval prompts stay blind.

    `job` has project, arguments and the folder of the saved model.
    """
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    prompts = job.project.prompts
    held = [p.prompt for p in prompts if p.split == "test"]
    asked = held or [p.prompt for p in prompts if p.split == "train"]
    adapter = hasattr(trainer.model, "disable_adapter")
    model, parted = trainer.model, trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if parted:  # the other processes, which hold the rest of it, are done
        unset_hf_deepspeed_config()  # or what is loaded would be parted again, among all of them
        saved = replace(base, folder=job.work.model, base=base if adapter else base.base)
        model = models.load(saved, dtype=loaded.model.dtype).model
    tuned = replace(loaded, model=model)

    @contextmanager
    def before() -> Generator[models.Loaded]:
        if adapter and not parted:
            with trainer.model.disable_adapter():
                yield tuned
        else:
            yield models.load(base, dtype=loaded.model.dtype)

    return samples.compare(before, tuned, asked, job.args.seed, held_out=bool(held))
