"""New candidates go to the project as they are written, behind a progress bar."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from palate import __version__
from palate.core import hub, ledger
from palate.core.schema import Candidate
from palate.terminal.progress import Progress


@dataclass(frozen=True)
class Batch:
    """Candidates, how far they advance the bar, and files (path → text) for the same commit."""

    candidates: Sequence[Candidate]
    advance: int
    files: Mapping[str, str] = field(default_factory=dict)


def save_batches(
    console: Console, project_id: str, batches: Iterable[Batch], *, name: str, unit: str, total: int
) -> None:
    """Commit the batches as they come. `name` labels the bar, which counts `total` times `unit`.

    However it ends, what was written is committed and counted. After Ctrl-C it says how to continue
    and raises KeyboardInterrupt again.
    """
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    bar = Progress(*columns, TimeRemainingColumn(), console=console)
    saver = Saver(project_id)
    try:
        with bar, saver:
            task = bar.add_task("", total=total)
            for batch in batches:
                saver.add(batch)
                bar.advance(task, batch.advance)
    except KeyboardInterrupt:
        console.print("Stopped. Run the same command again to continue.")
        raise
    finally:
        console.print(f"{saver.saved:,} {name} are in {project_id}")


class Saver:
    """Commits candidates about once a minute, and the rest when its block ends.

    Each commit is a new file, so that what was finished before an interruption is on the Hub.
    `PALATE_PUBLISH_SECONDS` sets the interval.
    """

    def __init__(self, project_id: str):
        self.project_id = project_id
        self.saved = 0
        self._interval = float(os.environ.get("PALATE_PUBLISH_SECONDS", "60"))
        self._waiting: list[Candidate] = []
        self._files: dict[str, str] = {}
        self._path = ledger.event_file("candidates")
        self._last = time.monotonic()

    def add(self, batch: Batch) -> None:
        self._waiting += batch.candidates
        self._files |= batch.files
        if time.monotonic() - self._last >= self._interval:
            self.flush()

    def flush(self) -> None:
        files = dict(self._files)
        if self._waiting:
            # an interrupted commit may have arrived: the same file again changes nothing
            files[self._path] = ledger.jsonl(self._waiting)
        if files:
            model = f" of {self._waiting[0].model}" if self._waiting else ""
            message = f"Add {len(self._waiting)} candidates{model}, palate {__version__}"
            hub.commit(self.project_id, "dataset", files, message)
            self.saved += len(self._waiting)
            # paths sort by time, so the newest completions come last
            self._waiting, self._path = [], ledger.event_file("candidates")
            self._files = {}
        self._last = time.monotonic()

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
