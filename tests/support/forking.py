"""Python processes that start in milliseconds: forks of one that has imported much already."""

import fcntl
import os
import shlex
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

SUPPORT = Path(__file__).parent
REAL = str(Path(sys.prefix, "bin", "python"))  # also where a fork runs this
# what cards and verdicts import
CARDS = ("evalica", "jinja2", "matplotlib.backends.backend_svg", "matplotlib.figure")
# what training and generating import, except palate itself
TRAINING = (
    *CARDS,
    "accelerate.commands.launch",
    "datasets",
    "huggingface_hub.inference._client",
    "peft",
    "pydantic.dataclasses",
    "rich.status",
    "scipy.stats",
    "sklearn.feature_extraction.text",
    "sklearn.linear_model",
    "torch.distributed.run",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.trainer",
    "trl.trainer.dpo_trainer",
    "trl.trainer.sft_trainer",
    "typeguard",
    "tyro",
)
# what a Space and the commands import
SPACE = (
    *CARDS,
    "argilla",
    "gradio",
    "huggingface_hub.hf_api",
    "scipy.stats",
    "sklearn.feature_extraction.text",
    "sklearn.linear_model",
    "tyro",
)


class FastPython:
    """A zygote, and `executable`, a program that takes the place of Python and asks it for forks.

    The first that asks for a folder's zygote starts it; it ends once all that asked are done. It
    keeps the environment that it starts with; `zygote.py` says what that means.
    """

    def __init__(self, folder: Path, modules: Sequence[str], environment: dict[str, str]):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.sockets = folder, [folder / "socket"]
        self.executable, lifeline = folder / "python", folder / "lifeline"
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not lifeline.exists():
                os.mkfifo(lifeline)
            self._lifeline = os.open(lifeline, os.O_RDWR)
            if not self.sockets[0].exists():
                words = [REAL, str(SUPPORT / "zygote.py"), str(folder), *modules]
                # without a parent that would have to wait for it
                shell = ["sh", "-c", 'exec "$@" <"$0" &', str(lifeline), *words]
                with subprocess.Popen(shell, env=environment, stdout=subprocess.PIPE) as started:
                    assert started.stdout is not None
                    started.stdout.readline()  # it has imported everything and listens
                self._write_executable()

    def _write_executable(self) -> None:
        words = [REAL, "-IS", str(SUPPORT / "fast_python.py"), str(self.executable), REAL]
        words += [*map(str, self.sockets), "--"]
        self.executable.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        self.executable.chmod(0o700)

    def besides(self, other: "FastPython") -> "FastPython":
        """Return a Python that asks the other zygote for what this one refuses."""
        both = copy(self)
        both.sockets = [*self.sockets, *other.sockets]
        both.executable = self.folder / "python-of-both"
        both._write_executable()
        return both

    def start(self, *words: str, **options: Any) -> "Fork":
        """Start Python with these words; the options are those of `subprocess.Popen`."""
        return Fork(self, *words, **options)

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run Python with these words to its end, and keep what it printed."""
        with self.start(
            *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        ) as process:
            out, err = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    @contextmanager
    def instead(self) -> Generator[None]:
        """Let what this process starts with `sys.executable` be forks."""
        real, sys.executable = sys.executable, str(self.executable)
        try:
            yield
        finally:
            sys.executable = real

    def __enter__(self) -> "FastPython":
        return self

    def __exit__(self, *_: object) -> None:
        """Need the zygote no longer; the last one ends it and every fork."""
        os.close(self._lifeline)


class Fork(subprocess.Popen):
    """A process whose signals, SIGKILL included, reach the fork itself."""

    def __init__(self, python: FastPython, *words: str, **options: Any):
        self._folder = python.folder
        super().__init__([str(python.executable), *words], **options)

    def send_signal(self, sig: int) -> None:
        try:
            os.kill(int((self._folder / str(self.pid)).read_text()), sig)
        except FileNotFoundError:  # not forked yet, a real interpreter, or ended
            super().send_signal(sig)
