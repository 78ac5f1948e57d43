"""Child processes of Spaces and jobs, which inherit little, and their logs."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from pathlib import Path

from palate.localhub import isolation
from palate.localhub.errors import ServeError
from palate.localhub.git import now

POLL_SECONDS = 0.1  # between two reads of a log that is followed
KEEP_ALIVE_SECONDS = 15.0  # of silence, after which a comment is sent
# the part of the server's environment that a child inherits: enough to find programs and packages
INHERITED = re.compile(
    r"PATH|HOME|USER|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|CUDA_\w+|NVIDIA_\w+|OMP_NUM_THREADS"
    r"|(?:https?|no|all)_proxy|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|UV_\w+|PIP_\w+",
    re.IGNORECASE,
)
NOT_APART = (
    "This Hub is open to the network, and this system has no user namespaces to keep jobs and"
    " Spaces away from its users, tokens and repos. They run on a Hub at 127.0.0.1."
)
PRIVATE = re.compile(r"TOKEN|SECRET|PASSWORD|_KEY", re.IGNORECASE)


def inherited() -> dict[str, str]:
    """Return the part of the server's environment that children get: nothing that looks secret."""
    return {k: v for k, v in os.environ.items() if INHERITED.fullmatch(k) and not PRIVATE.search(k)}


def user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def uv_settings() -> dict[str, str]:
    """Return the settings that give a child with another home uv's cache and pip's sources."""
    settings = {
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or f"{user_cache()}/uv",
        "UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS"),
        "UV_DEFAULT_INDEX": os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL"),
    }
    return {name: value for name, value in settings.items() if value}


class Log:
    """A log with one JSON object `{"data": …, "timestamp": …}` per line; secrets are masked."""

    def __init__(self, file: Path, secrets: Iterable[str] = ()):
        self._masked = [value for value in secrets if len(value) > 3]
        self._out = file.open("a")

    def write(self, line: str) -> None:
        for value in self._masked:
            line = line.replace(value, "***")
        self._out.write(json.dumps({"data": line, "timestamp": now()}) + "\n")
        self._out.flush()

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        """Write the output of a process until it has closed it."""
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:  # bytes: in text a carriage return would end a line as well
                self.write(line.decode(errors="replace").rstrip("\n"))

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()


class Apart:
    """How the children of the Hub in `root` are kept apart from it; `network`: it is reachable.

    Where the system cannot do that, they run like any program of the user who runs the Hub: as on a
    laptop, but not for users who reach it over a network.
    """

    def __init__(self, root: Path, *, network: bool):
        self._root, self._network = root.resolve(), network

    @property
    def refusal(self) -> str | None:
        """Why nothing may run: over the network it would reach the Hub's files for anybody."""
        return NOT_APART if self._network and not isolation.supported() else None

    def spawn(
        self,
        words: list[str],
        folder: Path,
        environment: dict[str, str],
        *,
        kept: Iterable[Path] = (),
        readable: Iterable[Path] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a process in `folder`, which sees nothing else of the Hub than these folders."""
        if self.refusal:
            raise ServeError(self.refusal)
        if not isolation.supported():
            return spawn(words, folder, environment)
        if shutil.which(words[0], path=environment.get("PATH")) is None and "/" not in words[0]:
            raise FileNotFoundError(words[0])
        folders = [[p.resolve() for p in own] for own in ((folder, *kept), readable)]
        return spawn(isolation.command(self._root, words, *folders), folder, environment)


def spawn(words: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a process in its own session, so that its descendants can end with it."""
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)  # it leads its session, so its pid is the group's id


def kill_left_over(pid: int | None, mark: str) -> None:
    """End a process that a killed Hub left running, and return when it is gone.

    Its environment must contain `mark` (NAME=value): the pid may have been reused.
    """
    with suppress(OSError):  # gone, or a system without /proc
        while mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            os.killpg(pid or 0, signal.SIGKILL)
            time.sleep(0.01)


async def events(file: Path, ended: Callable[[], bool], tail: int = 0) -> AsyncIterator[str]:
    """Yield the lines of a log, or its last `tail`, as server-sent events until `ended`."""
    position, silent = 0, 0.0
    while True:
        last = ended()
        lines = []
        if file.exists():
            with file.open("rb") as f:
                f.seek(position)
                lines = f.read().split(b"\n")
            position += sum(len(line) + 1 for line in lines[:-1])  # the last may be incomplete
        for line in lines[:-1][-tail:]:
            yield f"data: {line.decode()}\n\n"
        silent = 0.0 if len(lines) > 1 else silent + POLL_SECONDS
        tail = 0 if len(lines) > 1 else tail
        if last:
            return
        if silent >= KEEP_ALIVE_SECONDS:
            silent = 0.0
            yield ": keep-alive\n\n"
        await asyncio.sleep(POLL_SECONDS)
