"""The demo's base model, trained once for both tests of the loop."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from once import once

from palate.run.local import child_environment

STEPS = 150  # a third of the demo's; titles get worse, and there is as much taste to learn


@pytest.fixture(scope="session")
def with_writer(shared) -> Callable[[Path], Path]:
    """Puts the trained writer where a demo in that folder would have left it."""

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "palate.demo", str(folder), str(STEPS)]
        subprocess.run(command, check=True, env=child_environment())
        (folder / "README.md").touch()  # what says that it is whole

    trained = once(shared / "writer", make)

    def put(root: Path) -> Path:
        shutil.copytree(trained, root / "writer")
        return root

    return put
