"""The folder of a training run, here and on the Hub, from which the same command continues it.

<cache>/training/<key>/checkpoint-N/   TRL's checkpoints
                       clock.json      when the run began, and how long it has run
                       metrics.jsonl   every figure that was logged
                       model/          the finished model; run.json is written last
<cache>/references/   reference log-probabilities, shared by all runs on the same rows

On the Hub, `--checkpoint-to-hub` keeps one checkpoint per run, in a branch of the model's repo:

checkpoint/<key>/checkpoint-N/   as Trainer wrote it
                 clock.json
"""

import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from palate.core import hub, paths
from palate.core.ledger import now
from palate.core.schema import digest
from palate.train.record import FILE

BRANCH = "checkpoint"


class RunDir:
    """The folder of one run; `parts` are everything that decides what the run produces."""

    def __init__(self, *parts: object):
        self.path = cache() / "training" / digest(*parts)
        self.path.mkdir(parents=True, exist_ok=True)
        self.model = self.path / "model"

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
        shutil.rmtree(self.path)


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


def cache() -> Path:
    """Return `PALATE_CACHE`, or `palate` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palate"
    return Path(os.environ.get("PALATE_CACHE") or default)


def push_checkpoint(repo: str, run_dir: RunDir, folder: Path) -> None:
    """Push the checkpoint in `folder`, in place of the run's earlier one."""
    key = run_dir.path.name
    files: dict[str, str | bytes | Path] = {
        f"{key}/{f.relative_to(run_dir.path).as_posix()}": f
        for f in [*folder.rglob("*"), run_dir.path / "clock.json"]
        if f.is_file()
    }
    present = hub.describe(repo, "model", BRANCH)[1]
    # the other runs of a sweep keep theirs in the same branch
    stale = [f for f in present if f.startswith(f"{key}/") and f not in files]
    message = f"Checkpoint of step {folder.name.split('-')[1]}"
    hub.commit(repo, "model", files, message, delete=stale, revision=BRANCH)


def restore_checkpoint(repo: str, run_dir: RunDir) -> bool:
    """Fetch the run's checkpoint from the Hub if this machine has none; return whether it did."""
    if run_dir.checkpoint() or not hub.exists(repo, "model"):
        return False
    key = run_dir.path.name
    if BRANCH not in hub.branches(repo, "model"):
        return False
    sha, files = hub.describe(repo, "model", BRANCH)
    paths = [f for f in files if f.startswith(f"{key}/")]
    if not paths:
        return False
    for path, file in zip(paths, hub.fetch(repo, "model", sha, paths), strict=True):
        target = run_dir.path / path.removeprefix(f"{key}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return run_dir.checkpoint() is not None


def forget_checkpoints(repo: str) -> None:
    """Remove the branch once the finished model is in the repo."""
    if BRANCH in hub.branches(repo, "model"):
        hub.delete_branch(repo, "model", BRANCH)
