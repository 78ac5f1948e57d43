"""Argilla as a child process, or in the foreground, in its separate Python environment.

The packages of argilla-server conflict with Gradio's.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from palate.argilla.server.settings import (
    OWNER,
    ServeError,
    Services,
    check_workers,
    free_port,
    owner_of,
)

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
START_SECONDS = 600.0  # in which the server has to answer: it needs 10 s of a processor
STOP_SECONDS = 10.0  # in which it has to end
POLL_SECONDS = 0.05
OWN = 0o077  # umask: files are for their owner alone
HOST = "127.0.0.1"  # of a server that a program here starts
LOG_LINES = 8  # of a failed start that the error shows
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")


def cache_folder() -> Path:
    """Return `PALATE_CACHE`, or `palate` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palate"
    return Path(os.environ.get("PALATE_CACHE") or default)


def ensure_environment() -> Path:
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
        print("Installing argilla-server in its own environment, once …")
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


def _prepare(root: Path, services: Services | None, workers: int) -> tuple[Path, dict[str, str]]:
    """Return the server's Python and environment variables; ServeError if it cannot run."""
    check_workers(workers, services)
    python = ensure_environment()
    environment = _environment(root.resolve(), services, workers)
    root.chmod(0o700)  # it holds names, keys and labels
    # bytecode goes where the packages are: palate's folder may be another user's
    environment["PYTHONPYCACHEPREFIX"] = str(python.parent.parent / "bytecode")
    if services:
        services.check(python, environment)
    return python, environment


def _environment(root: Path, services: Services | None, workers: int) -> dict[str, str]:
    owner = owner_of(root)
    return {
        **{name: os.environ[name] for name in INHERITED if name in os.environ},
        "PYTHONPATH": str(Path(__file__).resolve().parent),
        "ARGILLA_HOME_PATH": str(root),
        "ARGILLA_AUTH_SECRET_KEY": owner["auth_secret_key"],
        "ARGILLA_ENABLE_TELEMETRY": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OWNER_USERNAME": owner["username"],
        "OWNER_PASSWORD": owner["password"],
        "OWNER_API_KEY": owner["api_key"],
        "EMBEDDED_WORKERS": str(workers),
        **(services.environment() if services else {}),
    }


def _command(python: Path, host: str, port: int) -> list[str]:
    return [str(python), "-m", "embedded", "--host", host, "--port", str(port)]


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class EmbeddedArgilla:
    """An Argilla server as a child process; its data are in `root`, or in PostgreSQL."""

    process: subprocess.Popen[bytes]

    def __init__(
        self,
        root: Path,
        *,
        port: int = 0,
        services: Services | None = None,
        workers: int = 1,
        base_url: str = "/",
    ):
        """`base_url` is the path at which a proxy shows Argilla's pages."""
        self.root, self._port = Path(root), port
        self.services, self.workers, self.base_url = services, workers, base_url
        self.url, self.api_key = "", ""

    def start(self) -> "EmbeddedArgilla":
        """Return once the server answers; ServeError, with the end of its log, if it does not."""
        python, environment = _prepare(self.root, self.services, self.workers)
        self._port = free_port(HOST, self._port)  # a restart reuses the address
        self.url = _url(HOST, self._port)
        self.api_key = owner_of(self.root)["api_key"]
        environment |= {"EMBEDDED_PARENT": str(os.getpid()), "ARGILLA_BASE_URL": self.base_url}
        log = self.root / "argilla.log"
        with log.open("ab") as out:
            log.chmod(0o600)  # it may name people
            self.process = subprocess.Popen(
                _command(python, HOST, self._port),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C reaches it through stop()
                umask=OWN,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
                raise ServeError(f"Argilla did not start. The end of {log}:\n{tail}")
            time.sleep(POLL_SECONDS)
        return self

    def stop(self) -> None:
        """End the server; everything that it acknowledged is on disk."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> "EmbeddedArgilla":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        """Tell whether it answers its owner; another server on the port does not know the key."""
        key = {"X-Argilla-Api-Key": self.api_key}
        request = urllib.request.Request(f"{self.url}/api/v1/me", headers=key)
        try:
            urllib.request.urlopen(request, timeout=2).close()
        except OSError:
            return False
        return True


def serve(root: Path, *, host: str, port: int, workers: int = 1) -> None:
    """Run the server in the foreground until Ctrl-C, and print where the owner's key is.

    PostgreSQL and Redis come from environment variables, which hide passwords from other users.
    Raises ServeError if the server cannot run as asked.
    """
    root = root.resolve()
    python, environment = _prepare(root, Services.from_environment(os.environ), workers)
    port = free_port(host, port)
    url, key_file = _url(host, port), root / "owner.json"
    read = "import json,sys; print(json.load(open(sys.argv[1]))['api_key'])"
    print(
        f"Argilla is at {url}. Sign in as {OWNER}; password and key are in {key_file}\n"
        "To use it from a shell:\n"
        f"  export ARGILLA_API_URL={url}\n"
        f'  export ARGILLA_API_KEY=$(python3 -c "{read}" {key_file})',
        flush=True,
    )
    with subprocess.Popen(_command(python, host, port), env=environment, umask=OWN) as process:
        try:
            process.wait()
        except KeyboardInterrupt:  # the terminal has sent it to the child as well
            process.wait()
