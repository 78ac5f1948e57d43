"""Spaces on this machine: each is a child process that serves its page until it is stopped."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from palate.core.errors import PalateError, UsageError
from palate.core.paths import shipped
from palate.terminal.progress import announced
from palate.web.ballot.people import owner_key

Kind = Literal["label", "evaluate"]
IDLE_SECONDS = 120.0  # without an answer or any use of the processor before a start fails
STOP_SECONDS = 60.0  # in which a Space publishes what is waiting and ends
POLL_SECONDS = 0.1
LOG_CHARACTERS = 2000  # of the log's end that an error shows


def data_folder(*parts: str) -> Path:
    """Return a folder for what palate keeps on this machine, and create it if need be.

    It is inside `PALATE_DATA`, or inside `palate` in the user's data folder.
    """
    default = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "palate"
    folder = Path(os.environ.get("PALATE_DATA") or default).joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # it holds names, keys and labels
    return folder


def secret_of(project_id: str) -> str:
    """Return the key of the project's pseudonyms and assignments, from a file of mode 600."""
    if given := os.environ.get("PALATE_SECRET"):
        return given
    file = data_folder(project_id.replace("/", "--")) / "secret"
    with suppress(FileNotFoundError):
        if key := file.read_text():
            return key
        file.unlink()  # an earlier palate was killed before it had written the key
    scratch = file.with_name(f"secret.{secrets.token_hex(4)}.new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(secrets.token_hex(32))
    with suppress(FileExistsError):  # another process was first
        os.link(scratch, file)
    scratch.unlink()
    return file.read_text()


def free_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_taken(port: int) -> bool:
    """Tell whether something listens on the port."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def check_port(port: int) -> None:
    """Raise UsageError if something listens on the port."""
    if is_taken(port):
        raise UsageError(
            f"Port {port} is in use. Choose another with --port; --port 0 takes any free one."
        )


class Space:
    """The label or evaluate Space of a project, served on loopback by a child process.

    What the Space prints goes to `log`, by default a file in the project's data folder. `show` gets
    a line about what a start is waiting for; by default it is printed to stderr.
    """

    def __init__(
        self,
        kind: Kind,
        project_id: str,
        *,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        show: Callable[[str], object] = lambda line: print(line, file=sys.stderr, flush=True),
    ):
        if port:
            check_port(port)
        folder = data_folder(project_id.replace("/", "--"))
        self.kind, self.project_id, self.port = kind, project_id, port or free_port()
        self.log = log or folder / f"{kind}.log"
        self.url = f"http://127.0.0.1:{self.port}"
        self._show = show
        self._env = {
            "PALATE_PROJECT": project_id,
            "PALATE_SECRET": secret_of(project_id),
            "PALATE_HOME": str(folder),
            "PORT": str(self.port),
            **(env or {}),
        }
        self._log_start = 0  # where this run's lines begin
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def owner_url(self) -> str:
        """The owner's page, or the verdict, with the key that opens it on this machine."""
        path = "owner" if self.kind == "label" else "verdict"
        return f"{self.url}/{path}?key={owner_key(self._env['PALATE_SECRET'])}"

    def start(self) -> "Space":
        """Start it and return once its page answers.

        Raises PalateError, with the end of its log, if it ends before that or does nothing.
        """
        app = shipped("spaces") / self.kind / "app.py"
        self.log.touch(mode=0o600)
        with self.log.open("ab") as out:
            self._log_start = out.tell()
            self.process = subprocess.Popen(
                [sys.executable, str(app)],
                env={**os.environ, **self._env, "PALATE_PARENT": str(os.getpid())},
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C reaches it through stop(), after its last commit
                umask=0o077,  # what it writes is for its owner alone
            )
        waiting = f"Waiting for the {self.kind} Space to start. Its log: {self.log}"
        with announced(self._show, waiting):
            self._wait_until_it_answers(self.process)
        return self

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        active, used = time.monotonic(), _processor_seconds(process.pid)
        while not self._answers():
            now = time.monotonic()
            if process.poll() is not None:
                raise self._failure(f"ended with code {process.returncode}")
            if (seconds := _processor_seconds(process.pid)) != used:
                active, used = now, seconds
            elif used is not None and now - active > IDLE_SECONDS:
                self.stop()
                raise self._failure(f"did nothing for {IDLE_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def _failure(self, why: str) -> PalateError:
        printed = self.printed()[-LOG_CHARACTERS:].strip() or "nothing"
        return PalateError(f"The {self.kind} Space {why}. Its log, {self.log}, ends: {printed}")

    def printed(self) -> str:
        """Return what the Space has printed since it was started."""
        with self.log.open("rb") as lines:
            lines.seek(self._log_start)
            return lines.read().decode("utf-8", "replace")

    def stop(self) -> None:
        """Let it publish what is waiting, then end it."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
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
            return True  # it answers, though something behind it is not ready yet
        except OSError:
            return False
        return True


def _processor_seconds(pid: int) -> float | None:
    """Return the processor time that a process has used, or None where /proc does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user and system
