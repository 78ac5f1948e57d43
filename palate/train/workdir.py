"""The folder of a training run on this machine; the same command continues there.

<cache>/training/<key>/checkpoint-N/   TRL's checkpoints
                       clock.json      when it began, how long it has run
                       metrics.jsonl   every figure that was logged
                       model/          the finished model; run.json is written last
<cache>/references/   what the base model makes of the rows, for every run on the same ones
"""

import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from palate.core.ledger import now
from palate.core.schema import digest


class WorkDir:
    """The folder of one run; `parts` are everything that decides what the run makes."""

    def __init__(self, *parts: object):
        self.path = cache() / "training" / digest(*parts)
        self.path.mkdir(parents=True, exist_ok=True)
        self.model = self.path / "model"

    def finished(self) -> bool:
        """Tell whether training is over and only the push is left."""
        return (self.model / "run.json").exists()

    def checkpoint(self) -> Path | None:
        """Return the newest checkpoint to continue from; remove those that cannot be used.

        Such as one that a kill left half-written: Trainer writes its state last. From a checkpoint
        of the last step it would take one step too many.
        """
        found = sorted(self.path.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
        while found:
            with suppress(FileNotFoundError, json.JSONDecodeError):
                state = json.loads((found[-1] / "trainer_state.json").read_text("utf-8"))
                if state["global_step"] < state["max_steps"]:
                    return found[-1]
            shutil.rmtree(found.pop())
        return None

    def remove(self) -> None:
        shutil.rmtree(self.path)


class Clock:
    """When a run began and for how many seconds it has worked, interruptions left out."""

    def __init__(self, work: WorkDir):
        self._file = work.path / "clock.json"
        self.started, self._before = now(), 0.0
        if self._file.exists():
            before = json.loads(self._file.read_text("utf-8"))
            self.started, self._before = before["started"], before["seconds"]
        self._begin = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._begin

    def save(self) -> None:
        scratch = self._file.with_suffix(".tmp")
        scratch.write_text(json.dumps({"started": self.started, "seconds": self.seconds}))
        scratch.replace(self._file)


def cache() -> Path:
    """Return `PALATE_CACHE`, or `palate` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palate"
    return Path(os.environ.get("PALATE_CACHE") or default)
