"""What watches a run: metrics, a stop at NaN or SIGTERM, checkpoints on the Hub.

With `--checkpoint-to-hub` a branch of the model's repo keeps the last checkpoint of each run, and
the best one:

checkpoint/<key>/checkpoint-N/   as Trainer wrote it
                 clock.json
"""

import json
import math
import shutil
import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from rich.console import Console
from transformers import Trainer, TrainerCallback
from transformers import TrainerControl as Control
from transformers import TrainerState as State
from transformers import TrainingArguments as Args

from palate.core import hub, paths
from palate.core.errors import PalateError
from palate.train.job import CHECKPOINT_BRANCH, METRICS, Clock, Job, RunDir
from palate.train.records.choice import LOGGED, calibrated_loss
from palate.train.trainers.looks import ProgressBar

EPOCHS_WITHOUT_GAIN = 2


class MetricsFile(TrainerCallback):
    """Writes every log entry as a line of JSON; a resumed run has those of its first part, too."""

    def __init__(self, file: Path):
        self._file = file

    def on_log(self, args: Args, state: State, control: Control, **_: object) -> None:
        if state.is_world_process_zero:
            lines = "".join(json.dumps(entry) + "\n" for entry in state.log_history)
            paths.replace(self._file, lines)


class LossGuard(TrainerCallback):
    """Stops at a loss that is not a number, before a checkpoint can hold it.

    It also evaluates after the last step, and saves the clock with each checkpoint. It has to come
    after Trainer's own callbacks.
    """

    def __init__(self, clock: Clock):
        self.clock = clock
        self.failed_at: int | None = None

    def on_step_end(self, args: Args, state: State, control: Control, **_: object) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = control.should_save = True
            control.should_evaluate = args.do_eval

    def on_log(self, args: Args, state: State, control: Control, **_: object) -> None:
        self._check(state, control, state.log_history[-1].get("loss"))

    def on_evaluate(self, args: Args, state: State, control: Control, **_: object) -> None:
        self._check(state, control, state.log_history[-1].get("eval_loss"))

    def on_save(self, args: Args, state: State, control: Control, **_: object) -> None:
        if state.is_world_process_zero:
            self.clock.save()

    def _check(self, state: State, control: Control, loss: float | None) -> None:
        if loss is not None and not math.isfinite(loss):
            self.failed_at = state.global_step
            control.should_training_stop = True
            control.should_evaluate = control.should_save = False


class NoLongerLearns(TrainerCallback):
    """Evaluates a trial after each epoch, and ends it after two without a lower log loss.

    `failed` tells whether a loss was not a number, which ends it at once.
    """

    def __init__(self) -> None:
        self.failed = False
        self._losses: list[float] = []

    def on_step_end(self, args: Args, state: State, control: Control, **_: object) -> None:
        control.should_evaluate |= state.global_step >= state.max_steps

    def on_epoch_end(self, args: Args, state: State, control: Control, **_: object) -> None:
        control.should_evaluate |= state.global_step < state.max_steps

    def on_log(self, args: Args, state: State, control: Control, **_: object) -> None:
        if not math.isfinite(state.log_history[-1].get("loss", 0.0)):
            self.failed = control.should_training_stop = True

    def on_evaluate(self, args: Args, state: State, control: Control, **_: object) -> None:
        by_place = cast("Mapping[str, float]", state.log_history[-1][LOGGED])
        margins = np.array([*by_place.values()])
        if not np.isfinite(margins).all():
            self.failed = control.should_training_stop = True
            return
        self._losses.append(calibrated_loss(margins))
        best = self._losses.index(min(self._losses))
        control.should_training_stop |= len(self._losses) - best > EPOCHS_WITHOUT_GAIN


class SaveOnSigterm(TrainerCallback):
    """On SIGTERM saves a checkpoint, then stops as Ctrl-C does.

    Schedulers send it before they take a machine away. Several processes end at once instead: each
    might receive it at another step and wait for the others forever.
    """

    def __init__(self) -> None:
        self.requested = self.saved = False

    def on_train_begin(self, args: Args, state: State, control: Control, **_: object) -> None:
        if args.world_size == 1:
            signal.signal(signal.SIGTERM, self._note)

    def on_train_end(self, args: Args, state: State, control: Control, **_: object) -> None:
        if args.world_size == 1:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_step_begin(self, args: Args, state: State, control: Control, **_: object) -> None:
        if self.saved:
            raise KeyboardInterrupt

    def on_step_end(self, args: Args, state: State, control: Control, **_: object) -> None:
        control.should_save |= self.requested

    def on_save(self, args: Args, state: State, control: Control, **_: object) -> None:
        self.saved = self.requested

    def _note(self, *_: object) -> None:
        self.requested = True


class HubCheckpoint(TrainerCallback):
    """Pushes each saved checkpoint; a failed push is reported, and training continues."""

    def __init__(self, repo: str, run_dir: RunDir, public: bool, warn: Callable[[str], None]):
        self._repo, self._run_dir, self._warn = repo, run_dir, warn
        hub.create(repo, "model", private=not public)
        hub.branch(repo, "model", CHECKPOINT_BRANCH)

    def on_save(self, args: Args, state: State, control: Control, **_: object) -> None:
        if not state.is_world_process_zero:
            return
        folder = self._run_dir.path / f"checkpoint-{state.global_step}"
        best = Path(state.best_model_checkpoint or folder)
        try:
            push_checkpoint(self._repo, self._run_dir, folder, best)
        except (PalateError, OSError, RuntimeError) as error:
            self._warn(f"The checkpoint is not on the Hub: {error} The next one will be tried.")


def push_checkpoint(repo: str, run_dir: RunDir, folder: Path, best: Path) -> None:
    """Push the checkpoints in `folder` and `best`, in place of the run's earlier ones."""
    key = run_dir.path.name
    files: dict[str, str | bytes | Path] = {
        f"{key}/{f.relative_to(run_dir.path).as_posix()}": f
        for f in [*folder.rglob("*"), *best.rglob("*"), run_dir.path / "clock.json"]
        if f.is_file()
    }
    present = hub.describe(repo, "model", CHECKPOINT_BRANCH)[1]
    # runs with other arguments keep theirs in the same branch
    stale = [f for f in present if f.startswith(f"{key}/") and f not in files]
    message = f"Checkpoint of step {folder.name.split('-')[1]}"
    hub.commit(repo, "model", files, message, delete=stale, revision=CHECKPOINT_BRANCH)


def restore_checkpoint(repo: str, run_dir: RunDir) -> bool:
    """Fetch the run's checkpoint from the Hub if this machine has none; return whether it did."""
    if run_dir.checkpoint() or not hub.exists(repo, "model"):
        return False
    key = run_dir.path.name
    if CHECKPOINT_BRANCH not in hub.branches(repo, "model"):
        return False
    sha, files = hub.describe(repo, "model", CHECKPOINT_BRANCH)
    kept = [f for f in files if f.startswith(f"{key}/")]
    if not kept:
        return False
    for path, file in zip(kept, hub.fetch(repo, "model", sha, kept), strict=True):
        target = run_dir.path / path.removeprefix(f"{key}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    checkpoint = run_dir.checkpoint()
    if checkpoint:
        _move_best(checkpoint)
    return checkpoint is not None


def _move_best(checkpoint: Path) -> None:
    """Let Trainer look for the best checkpoint where this one is: it came from another machine."""
    file = checkpoint / "trainer_state.json"
    state = State.load_from_json(str(file))
    best = checkpoint.parent / f"checkpoint-{state.best_global_step}"
    # an earlier palate kept the last one alone
    state.best_model_checkpoint = str(best) if best.exists() else None
    state.save_to_json(str(file))


@dataclass(frozen=True)
class Start:
    """The checkpoint to continue from, if any, and what watches the training."""

    checkpoint: Path | None
    clock: Clock
    guard: LossGuard
    callbacks: list[TrainerCallback]
    warn: Callable[[str], None]

    def kept_step(self, trainer: Trainer) -> int:
        """Return the step that the weights are of; raise PalateError if there is no good one."""
        if best := trainer.state.best_model_checkpoint:
            return int(best.rpartition("-")[2])
        if self.guard.failed_at is not None:
            raise PalateError(
                f"The loss was not a number at step {self.guard.failed_at}, and no good checkpoint"
                " came before it. Nothing was pushed. Run again with a lower --learning-rate."
            )
        return trainer.state.global_step


def start(console: Console, job: Job) -> Start:
    """Find the last checkpoint, here or on the Hub, and make the callbacks."""
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
    callbacks = [guard, *on_hub, SaveOnSigterm(), MetricsFile(run_dir.path / METRICS)]
    return Start(checkpoint, clock, guard, callbacks, warn)


@contextmanager
def first_on_machine() -> Generator[None]:
    """Let one process of this machine run the body before the others do."""
    import torch
    from accelerate import PartialState

    with PartialState(cpu=not torch.cuda.is_available()).local_main_process_first():
        yield


def run_trainer(
    console: Console, trainer: Trainer, begun: Start, accuracy: tuple[str, str] | None
) -> None:
    """Take the remaining steps behind a progress bar, which shows the `accuracy`, if any."""
    if begun.checkpoint:
        console.print(f"Continuing after step {begun.checkpoint.name.split('-')[1]}")
    with ProgressBar(console, accuracy) as bar:
        trainer.add_callback(bar)
        trainer.train(resume_from_checkpoint=str(begun.checkpoint) if begun.checkpoint else None)
