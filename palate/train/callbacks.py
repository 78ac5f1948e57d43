"""Callbacks of a run: progress, metrics, a stop at NaN or SIGTERM, checkpoints on the Hub."""

import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

from palate.core import hub, paths
from palate.core.errors import PalateError
from palate.terminal.progress import Progress
from palate.train.run_dir import BRANCH, Clock, RunDir, push_checkpoint


class ProgressBar(TrainerCallback):
    """Draws the progress, and prints a line for every evaluation on the test split.

    `key` names an accuracy in the log, which is printed as `name`.
    """

    def __init__(self, console: Console, key: str, name: str):
        self._console, self._key, self._name = console, key, name
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
        now = TextColumn("{task.fields[now]}")
        self._bar = Progress(*columns, TimeRemainingColumn(), now, console=console)

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        self._task = self._bar.add_task("", total=None, now="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.update(self._task, completed=state.global_step, total=state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if "loss" in logs:
            accuracy = 100 * logs[self._key]
            self._bar.update(self._task, now=f"loss {logs['loss']:.4f}, accuracy {accuracy:.0f}%")

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        metrics = kwargs["metrics"]
        self._console.print(
            f"  step {state.global_step:>4}/{state.max_steps}: test loss"
            f" {metrics['eval_loss']:.4f}, {self._name}"
            f" {100 * metrics[f'eval_{self._key}']:.1f}%"
        )


class MetricsFile(TrainerCallback):
    """Writes every log entry as a line of JSON; a resumed run has those of its first part, too."""

    def __init__(self, file: Path):
        self._file = file

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
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

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = control.should_save = True
            control.should_evaluate = args.do_eval

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._check(state, control, kwargs["logs"].get("loss"))

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._check(state, control, kwargs["metrics"]["eval_loss"])

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.clock.save()

    def _check(self, state: Any, control: Any, loss: float | None) -> None:
        if loss is not None and not math.isfinite(loss):
            self.failed_at = state.global_step
            control.should_training_stop = True
            control.should_evaluate = control.should_save = False


class SaveOnSigterm(TrainerCallback):
    """On SIGTERM saves a checkpoint, then stops as Ctrl-C does.

    Schedulers send it before they take a machine away. Several processes end at once instead: each
    might receive it at another step and wait for the others forever.
    """

    def __init__(self) -> None:
        self.requested = self.saved = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if args.world_size == 1:
            signal.signal(signal.SIGTERM, self._note)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if args.world_size == 1:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.saved:
            raise KeyboardInterrupt

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_save |= self.requested

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved = self.requested

    def _note(self, *_: object) -> None:
        self.requested = True


class HubCheckpoint(TrainerCallback):
    """Pushes each saved checkpoint; a failed push is reported, and training continues."""

    def __init__(self, repo: str, run_dir: RunDir, public: bool, warn: Callable[[str], None]):
        self._repo, self._run_dir, self._warn = repo, run_dir, warn
        hub.create(repo, "model", private=not public)
        hub.branch(repo, "model", BRANCH)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        folder = self._run_dir.path / f"checkpoint-{state.global_step}"
        try:
            push_checkpoint(self._repo, self._run_dir, folder)
        except (PalateError, OSError, RuntimeError) as error:
            self._warn(f"The checkpoint is not on the Hub: {error} The next one will be tried.")
