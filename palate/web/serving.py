"""Spaces on this machine: each a child process that serves the page until it is told to stop."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from palate.core.errors import PalateError, UsageError
from palate.core.paths import shipped
from palate.web.ballot.people import owner_key

Kind = Literal["label", "evaluate"]


def data_folder(*parts: str) -> Path:
    """Return (and make) a folder for what palate keeps on this machine.

    `PALATE_DATA` names it; otherwise it is `palate` in the user's data folder.
    """
    default = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "palate"
    folder = Path(os.environ.get("PALATE_DATA") or default).joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def secret_of(project_id: str) -> str:
    """Return the key of the project's pseudonyms and ballots on this machine (mode 600)."""
    if given := os.environ.get("PALATE_SECRET"):
        return given
    file = data_folder(project_id.replace("/", "--")) / "secret"
    with suppress(FileExistsError):
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as out:
            out.write(secrets.token_hex(32))
    return file.read_text()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_taken(port: int) -> bool:
    """Whether something else listens on the port."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def check_port(port: int) -> None:
    """Raise UsageError where something else listens on the port."""
    if is_taken(port):
        raise UsageError(
            f"Port {port} is taken. Choose another with --port, or --port 0 for any free one."
        )


class Space:
    """The label or evaluate Space of a project, served on loopback by a child process."""

    def __init__(
        self,
        kind: Kind,
        project_id: str,
        *,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
    ):
        if port:
            check_port(port)
        self.kind, self.project_id, self.port, self.log = kind, project_id, port or free_port(), log
        self.url = f"http://127.0.0.1:{self.port}"
        self._env = {
            "PALATE_PROJECT": project_id,
            "PALATE_SECRET": secret_of(project_id),
            "PALATE_HOME": str(data_folder(project_id.replace("/", "--"))),
            "PORT": str(self.port),
            **(env or {}),
        }
        self.process: subprocess.Popen | None = None

    @property
    def owner_url(self) -> str:
        """The owner's page, or the verdict, with the key that opens it on this machine."""
        path = "owner" if self.kind == "label" else "verdict"
        return f"{self.url}/{path}?key={owner_key(self._env['PALATE_SECRET'])}"

    def start(self, wait: float = 120.0) -> "Space":
        """Start it and return once its page answers; raise PalateError if it dies before."""
        app = shipped("spaces") / self.kind / "app.py"
        out = self.log.open("ab") if self.log else None
        self.process = subprocess.Popen(
            [sys.executable, str(app)],
            env={**os.environ, **self._env, "PALATE_PARENT": str(os.getpid())},
            stdout=out,
            stderr=subprocess.STDOUT if out else None,
            start_new_session=True,  # Ctrl-C reaches it through stop(), after its last commit
        )
        if out:
            out.close()  # the child has its own
        deadline = time.monotonic() + wait
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                code = self.process.poll()
                self.stop()
                why = f"ended with code {code}" if code is not None else "did not answer"
                where = f"; its log is {self.log}" if self.log else ""
                raise PalateError(f"The {self.kind} Space {why}{where}.")
            time.sleep(0.1)
        return self

    def stop(self, timeout: float = 60.0) -> None:
        """Let it publish what waits, then end it."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self) -> "Space":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/healthz", timeout=2).close()
        except urllib.error.HTTPError:
            return True  # it speaks, though something behind it is not ready yet
        except OSError:
            return False
        return True
