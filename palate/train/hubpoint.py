"""Checkpoints on the Hub, so that a run whose machine is lost goes on elsewhere.

They are in a separate branch of the model's repo, one at a time for each run:

checkpoint/<key>/checkpoint-N/   as Trainer wrote it; `key` is that of the run's work folder
                 clock.json
"""

import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from palate.core import hub
from palate.core.errors import PalateError
from palate.train.workdir import WorkDir

BRANCH = "checkpoint"


class HubCheckpoint(TrainerCallback):
    """Pushes each checkpoint after it was saved; a failure is said and the training goes on."""

    def __init__(self, repo: str, work: WorkDir, public: bool, say: Any):
        self.repo, self.work, self._say = repo, work, say
        hub.create(repo, "model", private=not public)
        hub.branch(repo, "model", BRANCH)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        try:
            self.push(self.work.path / f"checkpoint-{state.global_step}")
        except (PalateError, OSError, RuntimeError) as error:
            self._say(f"The checkpoint is not on the Hub: {error} The next one will be tried.")

    def push(self, folder: Path) -> None:
        key = self.work.path.name
        files: dict[str, Any] = {
            f"{key}/{f.relative_to(self.work.path).as_posix()}": f
            for f in [*folder.rglob("*"), self.work.path / "clock.json"]
            if f.is_file()
        }
        there = hub.describe(self.repo, "model", BRANCH)[1]
        # the other runs of a sweep have theirs there, too
        stale = [f for f in there if f.startswith(f"{key}/") and f not in files]
        message = f"Checkpoint of step {folder.name.split('-')[1]}"
        hub.commit(self.repo, "model", files, message, delete=stale, revision=BRANCH)


def restore(repo: str, work: WorkDir) -> bool:
    """Fetch the run's checkpoint from the Hub if this machine has none; return whether it did."""
    if work.checkpoint() or not hub.exists(repo, "model"):
        return False
    key = work.path.name
    if BRANCH not in hub.branches(repo, "model"):
        return False
    sha, files = hub.describe(repo, "model", BRANCH)
    ours = [f for f in files if f.startswith(f"{key}/")]
    if not ours:
        return False
    for path, file in zip(ours, hub.fetch(repo, "model", sha, ours), strict=True):
        target = work.path / path.removeprefix(f"{key}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return work.checkpoint() is not None


def forget(repo: str) -> None:
    """Remove the branch: the model is there."""
    if BRANCH in hub.branches(repo, "model"):
        hub.delete_branch(repo, "model", BRANCH)
