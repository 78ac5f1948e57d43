"""The Python environment of argilla-server, whose packages conflict with Gradio's."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from palate.argilla.server.settings import ServeError

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"


def ensure_environment(progress: Callable[[str], None] = print) -> Path:
    """Return the Python of the environment, creating it on first use (about a minute).

    Raises ServeError with the end of pip's output if the packages cannot be installed.
    """
    cache = os.environ.get("PALATE_CACHE") or (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palate"
    )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = hashlib.sha256(REQUIREMENTS.read_bytes() + version.encode()).hexdigest()[:12]
    folder = Path(cache) / f"argilla-{name}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if complete.exists():  # another process was faster
            return python
        progress("Installing argilla-server in its own environment; once, about a minute …")
        shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run = subprocess.run(
            [*pip, "-r", str(REQUIREMENTS)], capture_output=True, text=True, check=False
        )
        if run.returncode:
            tail = "\n".join(run.stderr.strip().splitlines()[-5:])
            raise ServeError(f"Installing argilla-server failed. Fix this and try again:\n{tail}")
        complete.touch()  # written last, so its existence means that the install completed
    return python


@contextmanager
def _locked(file: Path) -> Generator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
