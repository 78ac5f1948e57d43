"""A training run and its folder: from the first step or a checkpoint to a model.

`prepare` of dpo, sft or kto makes a `Job`, `train` runs it, and `save` writes the model's folder.
After an interruption, the same command finds the folder and continues:

<cache>/training/<key>/checkpoint-N/   TRL's checkpoints
                       clock.json      when the run began, and how long it has run
                       metrics.jsonl   every figure that was logged
                       model/          the finished model; run.json is written last
<cache>/references/   reference log-probabilities, shared by all runs on the same rows
"""

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from filelock import FileLock, Timeout
from rich.console import Console

from palate.audit.finding import Finding
from palate.core import paths
from palate.core.errors import PalateError, UsageError, is_out_of_memory
from palate.core.ledger import now
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rounds import in_aspect
from palate.core.schema import Preference, Prompt, Unpaired, digest
from palate.generate import models
from palate.terminal.console import PlainConsole
from palate.terminal.ref import Ref
from palate.train.config import TrainArguments
from palate.train.output import output_of
from palate.train.ranges import check_numbers
from palate.train.recipes.recipe import Recipe, smaller
from palate.train.records.record import FILE, RunRecord
from palate.train.rows.data import Answer, Rows, usable

SHOWN_TOO_LONG = 10
METRICS = "metrics.jsonl"
CHECKPOINT_BRANCH = "checkpoint"  # of the model's repo, with --checkpoint-to-hub
HELD: dict[Path, FileLock] = {}  # folders of runs that this process is at work in
A = TypeVar("A", bound=TrainArguments)
R = TypeVar("R", Preference, Answer, Unpaired, Prompt)
T = TypeVar("T", Preference, Answer, Unpaired)


def project_of(args: TrainArguments) -> Project:
    """Return the project at the revision and in the aspect that the arguments name.

    Raises UsageError for numbers that cannot work and a base model that cannot be trained.
    """
    check_numbers(args)
    ref = Ref.parse(args.project)
    project = Project.load(ref.repo, ref.revision)
    models.trainable_parameters(args.base_model or project.settings.base_model)
    return in_aspect(project, args.aspect)


class RunDir:
    """The folder of one run; `parts` are everything that decides what the run produces."""

    def __init__(self, *parts: object):
        self._at(paths.cache() / "training" / digest(*parts))

    def _at(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path, self.model = path, path / "model"

    @classmethod
    def at(cls, path: Path) -> "RunDir":
        """Return a run's folder at this path."""
        run_dir = cls.__new__(cls)
        run_dir._at(path)
        return run_dir

    def part(self, name: str) -> "RunDir":
        """Return the folder of one training of a run that has several."""
        return RunDir.at(self.path / name)

    def hold(self) -> None:
        """Keep other processes out of the folder until this one ends.

        Raises PalateError where another one is at work there: both would write the same files.
        """
        lock = FileLock(self.path / "lock", timeout=0)
        if not is_main_process() or self.path in HELD:
            return
        try:
            lock.acquire()
        except Timeout:
            raise PalateError(
                f"Another process does this now, in {self.path}. Wait for it or stop it; the same"
                " command then goes on where it stood."
            ) from None
        HELD[self.path] = lock

    def finished(self) -> bool:
        """Tell whether training is over and only the push is left."""
        return (self.model / FILE).exists()

    def checkpoint(self) -> Path | None:
        """Return the newest checkpoint to continue from; remove those that cannot be used.

        A kill can leave a checkpoint half-written: Trainer writes its state last. From a checkpoint
        of the last step, Trainer would take one step too many.
        """
        folders = sorted(self.path.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
        while folders:
            with suppress(FileNotFoundError, json.JSONDecodeError):
                state = json.loads((folders[-1] / "trainer_state.json").read_text("utf-8"))
                if state["global_step"] < state["max_steps"]:
                    return folders[-1]
            shutil.rmtree(folders.pop())
        return None

    def remove(self) -> None:
        HELD.pop(self.path, None)
        shutil.rmtree(self.path)

    def check_logged(self, key: str) -> None:
        """Raise UsageError where an evaluation was logged without `key`, as earlier palates did."""
        files = [f / METRICS for f in (self.path, self.model) if (f / METRICS).exists()]
        lines = [line for f in files for line in f.read_text("utf-8").split("\n")]
        if any('"eval_loss"' in line and f'"{key}"' not in line for line in lines):
            raise UsageError(
                "An earlier palate began this training, and kept the weights of another step."
                f" Remove its folder, then run the same command: rm -r {self.path}"
            )


class Clock:
    """When a run began, and for how many seconds it has worked, interruptions excluded."""

    def __init__(self, run_dir: RunDir):
        self._file = run_dir.path / "clock.json"
        self.started, self._before = now(), 0.0
        if self._file.exists():
            before = json.loads(self._file.read_text("utf-8"))
            self.started, self._before = before["started"], before["seconds"]
        self._begin = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._begin

    def save(self) -> None:
        text = json.dumps({"started": self.started, "seconds": self.seconds})
        paths.replace(self._file, text)


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


def decided(args: A, project: Project, base: models.Source, recipe: Recipe, output: str) -> A:
    """Return the arguments with all that they leave open; `output` is the default repo.

    Raises UsageError where the model cannot go to its repo.
    """
    return replace(
        args,
        project=f"{project.id}@{project.revision}",
        base_model=f"{base.repo}@{base.revision}",
        method=recipe.method,
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        output=output_of(args.output, project, output),
    )


def is_main_process() -> bool:
    """Tell whether this process prints and pushes: of several, the one of rank 0."""
    return os.environ.get("RANK", "0") == "0"


def is_sharded() -> bool:
    """Tell whether each process holds only a part of the model, by accelerate's variables."""
    names = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    return "true" in (os.environ.get(name) for name in names)


def job_console() -> Console:
    """Return the console of a job, which is quiet in all processes but the first."""
    return PlainConsole(quiet=not is_main_process())


@contextmanager
def resumable(console: Console, args: TrainArguments) -> Generator[None]:
    """On Ctrl-C, print the command that continues, then re-raise."""
    try:
        yield
    except KeyboardInterrupt:
        by_torchrun = args.processes == 1 and "LOCAL_RANK" in os.environ
        command = "" if by_torchrun else f": {args.command()}"
        kept = "Stopped; checkpoints are kept. To continue"
        if args.method == "probe":  # it has no steps to keep
            kept = "Stopped. To start over"
        console.print(f"{kept}, run the same command again{command}", markup=False)
        raise


def train(console: Console, job: Job[A, R], steps: Callable[[Console, Job[A, R]], None]) -> None:
    """Train from the last checkpoint or from the start; leave model and record in `run_dir.model`.

    `steps` does the work. When memory runs out it is called again, with smaller parts of a batch.
    """
    import torch
    from safetensors import SafetensorError

    job.run_dir.hold()
    if job.run_dir.finished():
        console.print(f"Training is done; the model is in {job.run_dir.model}", markup=False)
        return None
    for reason in job.recipe.reasons:
        console.print(f"  {reason}")
    while True:
        try:
            return steps(console, job)
        except (MemoryError, OSError, RuntimeError, SafetensorError) as error:
            if is_full_disk(error):
                raise PalateError(
                    f"No space is left on the disk of {job.run_dir.path} to save a checkpoint"
                    f" ({error}). The one before it is kept. Free some space, and run the same"
                    f" command again: {job.args.command()}"
                ) from None
            if not is_out_of_memory(error):
                raise
            job.recipe = smaller(job.recipe)
            console.print(
                f"  memory ran out: from here on a batch of {job.recipe.batch_size} is computed in"
                f" {job.recipe.accumulate} parts",
                style="yellow",
            )
        torch.cuda.empty_cache()


def is_full_disk(error: Exception) -> bool:
    """Tell whether a full disk caused the error; safetensors and torch word it in their own way."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    words = r"os error 28|No space left|PytorchStreamWriter|inline_container"
    return bool(re.search(words, str(error)))


def load(console: Console, job: Job[A, T]) -> tuple[models.Loaded, Rows[T]]:
    """Return the base model and the rows that fit it; print what was left out."""
    from palate.train.trainers.trainer import weights_dtype

    args, base = job.args, job.base
    loaded = models.load(base, dtype=weights_dtype(job.recipe), four_bits=args.method == "qlora")
    rows = usable(job.rows, loaded.tokenizer, args.max_length, models.window(base))
    for reason, n in rows.dropped.items():
        console.print(f"  left out: {count(n, 'row')}, {reason}")
    for prompt in rows.too_long[:SHOWN_TOO_LONG]:
        console.print(f"    {prompt}", markup=False)
    console.print(
        f"{base.repo} at {base.revision[:7]}, {base.parameters:,} parameters, {args.method}:"
        f" {len(rows.train):,} rows to train on, {len(rows.test):,} to test with"
    )
    return loaded, rows


def metrics(model: Path) -> list[dict[str, float]]:
    """Return Trainer's log of the finished model in this folder."""
    return [json.loads(line) for line in (model / METRICS).read_text("utf-8").split("\n") if line]


def save(job: Job, loaded: models.Loaded, run: RunRecord) -> None:
    """Add the other files to the saved weights; the record comes last."""
    model = job.run_dir.model
    loaded.tokenizer.save_pretrained(model)
    (model / "training_args.bin").unlink()  # a pickle, which nobody should have to trust
    (model / METRICS).write_bytes((job.run_dir.path / METRICS).read_bytes())
    run.save(model)
