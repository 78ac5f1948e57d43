"""One training run, from its first step or its last checkpoint to a saved model; DPO and SFT alike.

`dpo.prepare` or `sft.prepare` makes a `Job`, `train` runs it, and `save` writes what came out.
"""

import errno
import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.console import Console

from palate.audit.findings import Finding
from palate.core.errors import PalateError
from palate.core.project import Project
from palate.core.schema import Preference
from palate.generate import models
from palate.train import samples
from palate.train.config import TrainArguments
from palate.train.recipe import Recipe, halved
from palate.train.record import RunRecord
from palate.train.rows import Answer, Rows, usable
from palate.train.run_dir import Clock, RunDir, restore_checkpoint

if TYPE_CHECKING:
    from transformers import TrainerCallback

    from palate.train.callbacks import LossGuard

SHOWN_TOO_LONG = 10
A = TypeVar("A", bound=TrainArguments)
R = TypeVar("R", Preference, Answer)


@dataclass
class Job(Generic[A, R]):
    """One training run: its arguments with everything decided, its rows and its folder."""

    args: A
    recipe: Recipe
    project: Project
    rows: Rows[R]
    base: models.Source
    audit: tuple[Finding, ...]
    run_dir: RunDir

    @property
    def repo(self) -> str:
        """The model repo to push to, which a prepared job always has."""
        assert self.args.output
        return self.args.output


@dataclass(frozen=True)
class Start:
    """The checkpoint to continue from, if any, and what watches the training."""

    checkpoint: Path | None
    clock: Clock
    guard: "LossGuard"
    callbacks: list["TrainerCallback"]
    warn: Callable[[str], None]


def is_main_process() -> bool:
    """Tell whether this process prints and pushes: of several, the one of rank 0."""
    return os.environ.get("RANK", "0") == "0"


def is_sharded() -> bool:
    """Tell whether each process holds only a part of the model, by accelerate's variables."""
    names = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    return "true" in (os.environ.get(name, "false") for name in names)


def job_console() -> Console:
    """Return the console of a job, which is quiet in all processes but the first."""
    return Console(highlight=False, soft_wrap=True, quiet=not is_main_process())


@contextmanager
def resumable(console: Console, args: TrainArguments) -> Generator[None]:
    """On Ctrl-C, print the command that continues, then re-raise."""
    try:
        yield
    except KeyboardInterrupt:
        by_torchrun = args.processes == 1 and "LOCAL_RANK" in os.environ
        command = "" if by_torchrun else f": {args.command()}"
        console.print(
            f"Stopped; checkpoints are kept. To continue, run the same command again{command}",
            markup=False,
        )
        raise


def train(console: Console, job: Job[A, R], steps: Callable[[Console, Job[A, R]], None]) -> None:
    """Train from the last checkpoint or from the start; leave model and record in `run_dir.model`.

    `steps` does the work. When memory runs out it is called again, with smaller parts of a batch.
    """
    import torch
    from safetensors import SafetensorError

    if job.run_dir.finished():
        console.print(f"Training is done; the model is in {job.run_dir.model}", markup=False)
        return None
    for reason in job.recipe.reasons:
        console.print(f"  {reason}")
    while True:
        try:
            return steps(console, job)
        except torch.OutOfMemoryError:
            job.recipe = smaller(job.recipe)
            console.print(
                f"  memory ran out: from here on a batch of {job.recipe.batch_size} is computed in"
                f" {job.recipe.accumulate} parts",
                style="yellow",
            )
        except (OSError, RuntimeError, SafetensorError) as error:
            if is_full_disk(error):
                raise PalateError(
                    f"No space is left on the disk of {job.run_dir.path} to save a checkpoint"
                    f" ({error}). The one before it is kept. Free some space, and run the same"
                    f" command again: {job.args.command()}"
                ) from None
            raise
        torch.cuda.empty_cache()


def smaller(recipe: Recipe) -> Recipe:
    """Return the recipe to continue with when memory ran out.

    Raises PalateError where a part is one row already, and where several processes train: one
    cannot go back alone, since the others wait for it where it ran out.
    """
    parts = halved(recipe)
    if parts is None:
        raise PalateError(
            f"Memory ran out on a single {recipe.unit}. Lower --max-length, or use a lighter"
            " --method."
        )
    if parts.processes > 1:
        raise PalateError(
            "Memory ran out in one of the processes. Run the same command again with"
            f" --accumulate {parts.accumulate}: it continues from the last checkpoint."
        )
    return parts


def is_full_disk(error: Exception) -> bool:
    """Tell whether a full disk caused the error; safetensors and torch word it in their own way."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    words = r"os error 28|No space left|PytorchStreamWriter|inline_container"
    return bool(re.search(words, str(error)))


def start(console: Console, job: Job) -> Start:
    """Find the last checkpoint, here or on the Hub, and make the callbacks."""
    from palate.train.callbacks import HubCheckpoint, LossGuard, MetricsFile, SaveOnSigterm

    run_dir, to_hub = job.run_dir, job.args.checkpoint_to_hub

    def warn(text: str) -> None:
        console.print(f"  {text}", style="yellow")

    with first_on_machine():
        if to_hub and restore_checkpoint(job.repo, run_dir):
            console.print(f"Took the last checkpoint from {job.repo}")
        checkpoint = run_dir.checkpoint()
    clock = Clock(run_dir)
    guard = LossGuard(clock)
    on_hub = [HubCheckpoint(job.repo, run_dir, job.args.public, warn)] if to_hub else []
    callbacks = [guard, *on_hub, SaveOnSigterm(), MetricsFile(run_dir.path / "metrics.jsonl")]
    return Start(checkpoint, clock, guard, callbacks, warn)


@contextmanager
def first_on_machine() -> Generator[None]:
    """Let one process of this machine run the body before the others do."""
    import torch
    from accelerate import PartialState

    with PartialState(cpu=not torch.cuda.is_available()).local_main_process_first():
        yield


def load(console: Console, job: Job[A, R]) -> tuple[models.Loaded, Rows[R]]:
    """Return the base model and the rows that fit it; print what was left out."""
    from palate.train.trainer import weights_dtype

    args, base = job.args, job.base
    loaded = models.load(base, dtype=weights_dtype(job.recipe), four_bits=args.method == "qlora")
    window = getattr(loaded.model.config, "max_position_embeddings", args.max_length)
    rows = usable(job.rows, loaded.tokenizer, args.max_length, window)
    for reason, n in rows.dropped.items():
        console.print(f"  left out: {n:,} rows, {reason}")
    for prompt in rows.too_long[:SHOWN_TOO_LONG]:
        console.print(f"    {prompt}", markup=False)
    console.print(
        f"{base.repo} at {base.revision[:7]}, {base.parameters:,} parameters, {args.method}:"
        f" {len(rows.train):,} rows to train on, {len(rows.test):,} to test with"
    )
    return loaded, rows


def run_trainer(console: Console, trainer: Any, begun: Start, accuracy: tuple[str, str]) -> None:
    """Take the remaining steps behind a progress bar; `accuracy` is its key in the log and name."""
    from palate.train.callbacks import ProgressBar

    if begun.checkpoint:
        console.print(f"Continuing after step {begun.checkpoint.name.split('-')[1]}")
    with ProgressBar(console, *accuracy) as bar:
        trainer.add_callback(bar)
        trainer.train(resume_from_checkpoint=str(begun.checkpoint) if begun.checkpoint else None)


def kept_step(trainer: Any, guard: "LossGuard") -> int:
    """Return the step that the weights are of; raise PalateError if there is no good one."""
    if best := trainer.state.best_model_checkpoint:
        return int(best.rpartition("-")[2])
    if guard.failed_at is not None:
        raise PalateError(
            f"The loss was not a number at step {guard.failed_at}, and no good checkpoint came"
            " before it. Nothing was pushed. Run again with a lower --learning-rate."
        )
    return trainer.state.global_step


def compare_models(job: Job, trainer: Any, loaded: models.Loaded) -> samples.Samples:
    """Return what base and tuned model write on test prompts, or on train prompts without any.

    Eval prompts stay blind. `trainer` holds the tuned model, `loaded` its tokenizer.
    """
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    base, prompts = job.base, job.project.prompts
    held_out = [p.prompt for p in prompts if p.split == "test"]
    adapter = hasattr(trainer.model, "disable_adapter")
    model, sharded = trainer.model, trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if sharded:  # the other processes, which hold the rest of it, are done
        unset_hf_deepspeed_config()  # or the model loaded here would be sharded over all of them
        saved = replace(base, folder=job.run_dir.model, base=base if adapter else base.base)
        model = models.load(saved, dtype=loaded.model.dtype).model
    tuned = replace(loaded, model=model)

    @contextmanager
    def base_model() -> Generator[models.Loaded]:
        if adapter and not sharded:
            with trainer.model.disable_adapter():
                yield tuned
        else:
            yield models.load(base, dtype=loaded.model.dtype)

    shown = held_out or [p.prompt for p in prompts if p.split == "train"]
    return samples.compare(base_model, tuned, shown, job.args.seed, held_out=bool(held_out))


def save(job: Job, loaded: models.Loaded, run: RunRecord) -> None:
    """Add the other files to the saved weights; the record comes last."""
    model = job.run_dir.model
    loaded.tokenizer.save_pretrained(model)
    (model / "training_args.bin").unlink()  # a pickle, which nobody should have to trust
    (model / "metrics.jsonl").write_bytes((job.run_dir.path / "metrics.jsonl").read_bytes())
    run.save(model)
