"""A progress bar on a terminal, lines in a log, and the bar again where a log is followed."""

import re
from typing import Any

from rich import progress
from rich.console import Console

LINES = 50  # at most that a log gets of one bar
_LINE = re.compile(r"(\w+) (\d+)/(\d+)(?: \((.*)\))?")


class Progress(progress.Progress):
    """Rich's, whose first column is a text that names what is being done.

    Where nobody watches it writes lines such as "training 12/96 (loss 0.6543)".
    """

    _said = -1

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
        reached = int(LINES * task.completed / task.total)
        if reached == self._said:
            return
        self._said = reached
        name = getattr(self.columns[0], "text_format", "")
        now = f" ({task.fields['now']})" if task.fields.get("now") else ""
        line = f"{name} {task.completed:.0f}/{task.total:.0f}{now}"
        self.console.print(line, markup=False)


class Relay:
    """Prints a log that is followed, its lines of progress as a bar below it."""

    def __init__(self, console: Console):
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
        """Show a line as the job wrote it; of one that it wrote over, the last state."""
        text = line.rstrip("\r").rpartition("\r")[2]
        found = _LINE.fullmatch(text)
        if found is None or not self._console.is_terminal:
            self._console.out(text, highlight=False)
            return
        name, done, total, now = found.groups()
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=int(total), now="")
        task = self._tasks[name]
        self._bar.update(task, completed=int(done), total=int(total), now=now or "")
