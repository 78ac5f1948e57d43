"""One training, from its first step or its last checkpoint to the push; DPO and SFT alike.

A job prepares a `Job`. `train` has its steps taken, `leave` writes what came out, `push` ends it.
"""

import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from palate.core.project import Project
from palate.generate import models
from palate.train import check, data
from palate.train.sizes import Sizes
from palate.train.workdir import Clock, WorkDir, save_run


@dataclass
class Job:
    """One training: its arguments with everything decided, its rows and where it lies."""

    args: Any
    sizes: Sizes
    project: Project
    rows: data.Rows
    base: models.Source
    audit: list[dict[str, str]]
    work: WorkDir


@dataclass(frozen=True)
class Beginning:
    """What a training goes on from, if anything, and what watches it."""

    checkpoint: Path | None
    clock: Clock
    guard: Any
    callbacks: list[Any]
    say: Callable[[str], None]


@contextmanager
def resumable(console: Console) -> Generator[None]:
    """Say after Ctrl-C how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(
            "Stopped; checkpoints are kept. To continue, run the same command again:"
            f" {shlex.join(['python', *sys.argv])}"
        )
        raise


def train(console: Console, job: Job, steps: Callable[[Console, Job], None]) -> None:
    """Train from the last checkpoint or from the start; leave model and record in `work.model`.

    `steps` does so; it is called again where memory ran out, with smaller parts of a batch.
    """
    import torch
    from safetensors import SafetensorError

    if job.work.finished():
        console.print(f"Training is done; the model lies in {job.work.model}")
        return None
    for reason in job.sizes.reasons:
        console.print(f"  {reason}")
    while True:
        try:
            return steps(console, job)
        except torch.OutOfMemoryError:
            job.sizes = check.smaller(job.sizes)
            console.print(
                f"  memory ran out: from here on a batch of {job.sizes.batch_size} is computed in"
                f" {job.sizes.accumulate} parts",
                style="yellow",
            )
        except (OSError, RuntimeError, SafetensorError) as error:
            if full := check.full_disk(error, job.work.path):
                raise full from None
            raise
        torch.cuda.empty_cache()


def begin(console: Console, job: Job) -> Beginning:
    """Find the last checkpoint, here or on the Hub, and make what watches the training."""
    from palate.train import hubpoint
    from palate.train.callbacks import Ending, Guard, Metrics

    args, work = job.args, job.work

    def say(text: str) -> None:
        console.print(f"  {text}", style="yellow")

    with first_here():
        if args.checkpoint_to_hub and hubpoint.restore(args.output, work):
            console.print(f"Took the last checkpoint from {args.output}")
        checkpoint = work.checkpoint()
    clock = Clock(work)
    guard = Guard(clock)
    callbacks: list[Any] = [guard, Ending(), Metrics(work.path / "metrics.jsonl")]
    if args.checkpoint_to_hub:
        callbacks.insert(1, hubpoint.HubCheckpoint(args.output, work, args.public, say))
    return Beginning(checkpoint, clock, guard, callbacks, say)


def load(console: Console, job: Job) -> tuple[models.Loaded, data.Rows]:
    """Return the base model and the rows that fit it."""
    from palate.train.setup import weights_type

    args, base = job.args, job.base
    loaded = models.load(base, dtype=weights_type(job.sizes), four_bits=args.method == "qlora")
    window = getattr(loaded.model.config, "max_position_embeddings", args.max_length)
    rows = check.fit(console, job.rows, loaded.tokenizer, args.max_length, window)
    console.print(
        f"{base.repo} at {base.revision[:7]}, {base.parameters:,} parameters, {args.method}:"
        f" {len(rows.train):,} rows to train on, {len(rows.test):,} to test with"
    )
    return loaded, rows


def go(console: Console, trainer: Any, begun: Beginning, accuracy: tuple[str, str]) -> None:
    """Take the steps that are left, with a bar; `accuracy` is its key in the log and its name."""
    from palate.train.callbacks import Bar

    checkpoint = begun.checkpoint
    if checkpoint:
        console.print(f"Continuing after step {checkpoint.name.split('-')[1]}")
    with Bar(console, *accuracy) as bar:
        trainer.add_callback(bar)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def leave(job: Job, loaded: models.Loaded, run: dict[str, Any]) -> None:
    """Write what lies beside the saved weights; the record comes last."""
    model = job.work.model
    loaded.tokenizer.save_pretrained(model)
    (model / "training_args.bin").unlink()  # a pickle, which nobody should have to trust
    (model / "metrics.jsonl").write_bytes((job.work.path / "metrics.jsonl").read_bytes())
    save_run(model, run)


@contextmanager
def first_here() -> Generator[None]:
    """Let one process of this machine do what follows before the others do it."""
    import torch
    from accelerate import PartialState

    with PartialState(cpu=not torch.cuda.is_available()).local_main_process_first():
        yield
