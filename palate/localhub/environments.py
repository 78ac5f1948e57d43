"""Python environments with Gradio and a Space's requirements.

They are cached by their content, as the layers of an image are.
"""

import hashlib
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

from palate.localhub.processes import Apart, Log, inherited, uv_settings

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ZERO_PACKAGE = "spaces"  # which lends a GPU to the functions that it decorates
WITHOUT_TORCH = "torch; python_version < '3'\n"  # what a requirement is replaced with: nothing


class Failed(Exception):
    """A Space cannot be built or run: its stage from then on, and the reason."""

    def __init__(self, stage: str, message: str):
        super().__init__(message)
        self.stage = stage


class Environments:
    """The environments of one Hub, in `folder`."""

    def __init__(self, folder: Path, apart: Apart):
        self._folder, self._apart = folder, apart
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def python(
        self,
        card: dict,
        app: Path,
        running: set[subprocess.Popen[bytes]],
        log: Log,
        *,
        zero: bool = False,
    ) -> Path:
        """Return the Python of the environment for a Space's card and requirements.

        Meanwhile the processes that build it are in `running`, and may be killed. On ZeroGPU
        (`zero`) the package `spaces` is there as well, and torch, which is of no use without a GPU,
        is left out. Raises Failed.
        """
        file = app / "requirements.txt"
        requirements = file.read_text("utf-8", "replace") if file.exists() else ""
        gradio = "gradio[oauth]" + (f"=={v}" if (v := card.get("sdk_version")) else "")
        if str(card.get("python_version", PYTHON)) != PYTHON:
            log.write(f"The card asks for Python {card['python_version']}; this Hub has {PYTHON}")
        packages = [gradio, ZERO_PACKAGE] if zero else [gradio]
        name = environment_name(" ".join(packages), requirements)
        folder = self._folder / name
        done = folder / "complete"
        with self._locks[name]:
            if done.exists():
                log.write("The environment is cached")
                return folder / "bin" / "python"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            python = folder / "bin" / "python"
            install = ["pip", "install", "--python", str(python), *packages]
            if requirements.strip():
                install += ["-r", str(file)]
            if zero:
                log.write("There is no GPU here, so torch is left out")
                (folder / "overrides.txt").write_text(WITHOUT_TORCH)
                install += ["--override", str(folder / "overrides.txt")]
            make = ["venv", "--allow-existing", "--python", sys.executable, str(folder)]
            for words in (make, install):
                self._run([sys.executable, "-m", "uv", *words], app, folder, running, log)
            done.touch()  # written last, so its existence means that the install completed
        return python

    def _run(
        self,
        words: list[str],
        app: Path,
        environment: Path,
        running: set[subprocess.Popen[bytes]],
        log: Log,
    ) -> None:
        log.write(f"--> {' '.join(words[2:])}")
        settings = inherited() | uv_settings() | {"UV_LINK_MODE": "copy"}  # over mounts
        process = self._apart.spawn(words, app, settings, kept=[environment])
        running.add(process)
        log.follow(process)
        code = process.wait()
        running.discard(process)
        if code:
            raise Failed("BUILD_ERROR", f"Job failed with exit code: {code}")


def environment_name(gradio: str, requirements: str) -> str:
    """Return the name of the folder that keeps the environment with these packages."""
    content = f"{PYTHON}\n{gradio}\n{requirements}"
    return hashlib.sha256(content.encode()).hexdigest()[:16]
