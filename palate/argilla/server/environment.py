"""The Python environment of argilla-server, whose packages conflict with Gradio's."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from palate.argilla.server.settings import ServeError

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"


def cache_folder() -> Path:
    """Return `PALATE_CACHE`, or `palate` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palate"
    return Path(os.environ.get("PALATE_CACHE") or default)


def ensure_environment(progress: Callable[[str], None] = print) -> Path:
    """Return the Python of the environment, creating it on first use.

    Raises ServeError with the end of uv's output if the packages cannot be installed.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = hashlib.sha256(REQUIREMENTS.read_bytes() + version.encode()).hexdigest()[:12]
    folder = cache_folder() / f"argilla-{name}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if complete.exists():  # another process was faster
            return python
        progress("Installing argilla-server in its own environment, once …")
        shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run
        _uv("venv", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--python", str(python), "-r", str(REQUIREMENTS))
        complete.touch()  # written last, so its existence means that the install completed
    return python


def _uv(*words: str) -> None:
    index = {"UV_DEFAULT_INDEX": url} if (url := os.environ.get("PIP_INDEX_URL")) else {}
    run = subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *words],
        capture_output=True,
        text=True,
        check=False,
        env=index | os.environ,
    )
    if run.returncode:
        tail = "\n".join(run.stderr.strip().splitlines()[-5:])
        raise ServeError(f"Installing argilla-server failed. Fix this and try again:\n{tail}")


@contextmanager
def _locked(file: Path) -> Generator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
