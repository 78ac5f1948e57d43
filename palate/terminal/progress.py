"""What a wait looks like: a line for a step without bar, a bar on a terminal, lines in a log."""

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Timer
from typing import Any

from rich import progress
from rich.console import Console

QUIET_SECONDS = 2.0  # of waiting without a line about it
LINES_PER_BAR = 50  # at most, in a log
_LINE = re.compile(r"(\w+) (\d+)/(\d+)(?: \((.*)\))?")


@contextmanager
def announced(
    show: Callable[[str], object], text: str, seconds: float = QUIET_SECONDS
) -> Generator[None]:
    """Show `text` if what the context does takes longer than `seconds`."""
    timer = Timer(seconds, show, (text,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Progress(progress.Progress):
    """Rich's progress bar, whose first column names the work.

    Without a terminal it writes lines such as "training 12/96 (loss 0.6543)".
    """

    _logged = -1

    def advance(self, task_id: progress.TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._log(task_id)

    def update(self, task_id: progress.TaskID, **fields: Any) -> None:
        super().update(task_id, **fields)
        self._log(task_id)

    def _log(self, task_id: progress.TaskID) -> None:
        task = self._tasks[task_id]
        if self.console.is_terminal or not task.total:
            return
        reached = int(LINES_PER_BAR * task.completed / task.total)
        if reached == self._logged:
            return
        self._logged = reached
        name = getattr(self.columns[0], "text_format", "")
        now = f" ({task.fields['now']})" if task.fields.get("now") else ""
        line = f"{name} {task.completed:.0f}/{task.total:.0f}{now}"
        self.console.print(line, markup=False)


class Relay:
    """Prints a log as it arrives, with its progress lines as a bar below."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (progress.TextColumn("{task.description}"), progress.BarColumn())
        rest = (progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
        now = progress.TextColumn("{task.fields[now]}", markup=False)
        self._bar = progress.Progress(*columns, *rest, now, console=console, transient=True)
        self._tasks: dict[str, progress.TaskID] = {}

    def __enter__(self) -> "Relay":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, line: str) -> None:
        """Show a line as the job wrote it; of a line with carriage returns, the last state."""
        text = line.rstrip("\r").rpartition("\r")[2]
        match = _LINE.fullmatch(text)
        if match is None or not self._console.is_terminal:
            self._console.out(text, highlight=False)
            return
        name, done, total, now = match.groups()
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=int(total), now="")
        task = self._tasks[name]
        self._bar.update(task, completed=int(done), total=int(total), now=now or "")
