"""The demo's base model, trained once for all tests of the loop."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from palate.launch import child_environment


@pytest.fixture(scope="session")
def with_writer(tmp_path_factory) -> Callable[[Path], Path]:
    """Puts the trained writer where a demo in that folder would have left it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    trained = shared / "writer"
    with (shared / "writer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (trained / "README.md").exists():
            command = [sys.executable, "-m", "palate.material", str(trained)]
            subprocess.run(command, check=True, env=child_environment())
            (trained / "README.md").touch()  # what says that it is whole

    def put(root: Path) -> Path:
        shutil.copytree(trained, root / "writer")
        return root

    return put
