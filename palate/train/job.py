"""One training, from its first step or its last checkpoint to the push; DPO and SFT alike.

A job prepares a `Job`. `train` has its steps taken, `leave` writes what came out, `push` ends it.
"""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.console import Console

from palate.audit.findings import Finding
from palate.core.project import Project
from palate.generate import models
from palate.train import check, data
from palate.train.config import TrainArguments
from palate.train.record import RunRecord
from palate.train.sizes import Sizes
from palate.train.workdir import Clock, WorkDir

if TYPE_CHECKING:
    from palate.train.callbacks import Guard


A = TypeVar("A", bound=TrainArguments)


@dataclass
class Job(Generic[A]):
    """One training run: its arguments with everything decided, its rows and its folder."""

    args: A
    sizes: Sizes
    project: Project
    rows: data.Rows
    base: models.Source
    audit: tuple[Finding, ...]
    work: WorkDir

    @property
    def repo(self) -> str:
        """The model repo to push to, which a prepared job always has."""
        assert self.args.output
        return self.args.output


@dataclass(frozen=True)
class Beginning:
    """The checkpoint to continue from, if any, and what watches the training."""

    checkpoint: Path | None
    clock: Clock
    guard: "Guard"
    callbacks: list[Any]
    say: Callable[[str], None]


def is_main_process() -> bool:
    """Tell whether this process prints and pushes: of several, the one of rank 0."""
    return os.environ.get("RANK", "0") == "0"


def is_sharded() -> bool:
    """Tell whether each process holds only a part of the model, by accelerate's variables."""
    names = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    return "true" in (os.environ.get(name, "false") for name in names)


def console_of() -> Console:
    """Return the console of a job, which is quiet in all processes but the first."""
    return Console(highlight=False, soft_wrap=True, quiet=not is_main_process())


@contextmanager
def resumable(console: Console, args: TrainArguments) -> Generator[None]:
    """On Ctrl-C print how to continue, then raise it again."""
    try:
        yield
    except KeyboardInterrupt:
        by_torchrun = args.processes == 1 and "LOCAL_RANK" in os.environ
        command = "" if by_torchrun else f": {args.command()}"
        console.print(
            f"Stopped; checkpoints are kept. To continue, run the same command again{command}"
        )
        raise


def train(console: Console, job: Job[A], steps: Callable[[Console, Job[A]], None]) -> None:
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
            if full := check.full_disk(error, job.work.path, job.args.command()):
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
        if args.checkpoint_to_hub and hubpoint.restore(job.repo, work):
            console.print(f"Took the last checkpoint from {job.repo}")
        checkpoint = work.checkpoint()
    clock = Clock(work)
    guard = Guard(clock)
    callbacks: list[Any] = [guard, Ending(), Metrics(work.path / "metrics.jsonl")]
    if args.checkpoint_to_hub:
        callbacks.insert(1, hubpoint.HubCheckpoint(job.repo, work, args.public, say))
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


def leave(job: Job, loaded: models.Loaded, run: RunRecord) -> None:
    """Write what lies beside the saved weights; the record comes last."""
    model = job.work.model
    loaded.tokenizer.save_pretrained(model)
    (model / "training_args.bin").unlink()  # a pickle, which nobody should have to trust
    (model / "metrics.jsonl").write_bytes((job.work.path / "metrics.jsonl").read_bytes())
    run.save(model)


@contextmanager
def first_here() -> Generator[None]:
    """Let one process of this machine do what follows before the others do it."""
    import torch
    from accelerate import PartialState

    with PartialState(cpu=not torch.cuda.is_available()).local_main_process_first():
        yield
