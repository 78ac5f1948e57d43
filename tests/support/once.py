"""What all workers of a test run need, made by the first that asks."""

import fcntl
from collections.abc import Callable
from pathlib import Path


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return `folder` as `make` filled it, in this process or another; others wait for it."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            scratch = folder.with_name(f"{folder.name}.new")
            scratch.mkdir()
            make(scratch)
            scratch.rename(folder)
    return folder
