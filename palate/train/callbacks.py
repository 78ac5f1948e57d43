"""Trainer callbacks: a progress bar, a stop at NaN or on request, the clock."""

import json
import math
import signal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

from palate.core.progress import Progress
from palate.train.workdir import Clock


class Bar(TrainerCallback):
    """Draws the progress, and prints a line for every look at the test split.

    `key` is that of an accuracy in the log, which is printed as `name`.
    """

    def __init__(self, console: Console, key: str, name: str):
        self._console, self._key, self._name = console, key, name
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
        now = TextColumn("{task.fields[now]}")
        self._bar = Progress(*columns, TimeRemainingColumn(), now, console=console)

    def __enter__(self) -> "Bar":
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


class Metrics(TrainerCallback):
    """Writes every logged figure as a line of JSON, from the first step on, after a resume too."""

    def __init__(self, file: Path):
        self._file = file

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            lines = "".join(json.dumps(entry) + "\n" for entry in state.log_history)
            scratch = self._file.with_suffix(".tmp")
            scratch.write_text(lines, "utf-8")
            scratch.replace(self._file)


class Guard(TrainerCallback):
    """Stops at a loss that is not a number, before a checkpoint can hold it.

    Also looks at the last step, and keeps the clock. It has to come after Trainer's own callbacks.
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


class Ending(TrainerCallback):
    """Saves a checkpoint when the process is asked to end (SIGTERM), then stops as Ctrl-C does.

    Schedulers ask before they take a machine away. Of several processes each might hear it at
    another step and wait for the others for ever, so that those end at once, as without this.
    """

    def __init__(self) -> None:
        self.asked = self.saved = False

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
        control.should_save |= self.asked

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved = self.asked

    def _note(self, *_: object) -> None:
        self.asked = True
