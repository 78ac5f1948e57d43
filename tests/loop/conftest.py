"""The demo's base model, trained once for both tests of the loop."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from once import once

from palate.run.local import child_environment

# a demo whose Spaces and jobs are forks; its Hub, which tells its pid, is none
DEMO = """
import sys
from types import SimpleNamespace
from palate.cli import main
from palate.localhub import child
child.sys = SimpleNamespace(executable=sys.executable)
sys.executable = {executable!r}
main()
"""
STEPS = 150  # a third of the demo's; titles get worse, and there is as much taste to learn


@pytest.fixture(scope="session")
def with_writer(shared, fast_python) -> Callable[[Path], Path]:
    """Puts the trained writer where a demo in that folder would have left it."""

    def make(folder: Path) -> None:
        command = [str(fast_python.executable), "-m", "palate.demo", str(folder), str(STEPS)]
        subprocess.run(command, check=True, env=child_environment())
        (folder / "README.md").touch()  # what says that it is whole

    trained = once(shared / "writer", make)

    def put(root: Path) -> Path:
        shutil.copytree(trained, root / "writer")
        return root

    return put


@pytest.fixture(scope="session")
def demo_code(fast_python, space_python) -> str:
    """The code of a demo, for Python's -c."""
    return DEMO.format(executable=str(fast_python.besides(space_python).executable))
