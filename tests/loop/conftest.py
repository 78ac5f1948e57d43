"""The demo's base model, trained once for both tests of the loop, which one worker runs."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from palate.run.local import child_environment


@pytest.fixture(scope="session")
def with_writer(tmp_path_factory) -> Callable[[Path], Path]:
    """Puts the trained writer where a demo in that folder would have left it."""
    trained = tmp_path_factory.mktemp("writer")
    command = [sys.executable, "-m", "palate.demo", str(trained)]
    subprocess.run(command, check=True, env=child_environment())
    (trained / "README.md").touch()  # what says that it is whole

    def put(root: Path) -> Path:
        shutil.copytree(trained, root / "writer")
        return root

    return put
