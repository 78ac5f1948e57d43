"""The embedded Argilla: the real argilla-server in an environment of its own.

It is one process on SQLite, or several on PostgreSQL and Redis (`services.py`). Its packages cannot
live beside Gradio's, so a venv with pinned versions is made once and cached. What runs in there
lies in `embedded/`. The server is reached over HTTP like any other Argilla.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from palate.argilla.server.services import Services, check_workers

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
OWNER = "owner"


def ensure_environment(progress: Callable[[str], None] = print) -> Path:
    """Return the Python of the server's environment, making it at first use (about a minute).

    Raises OSError with pip's last lines where the packages cannot be installed.
    """
    cache = os.environ.get("PALATE_CACHE") or (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palate"
    )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = hashlib.sha256(REQUIREMENTS.read_bytes() + version.encode()).hexdigest()[:12]
    folder = Path(cache) / f"argilla-{name}"
    python, done = folder / "bin" / "python", folder / "complete"
    if done.exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if done.exists():  # another process was faster
            return python
        progress("Making an environment for argilla-server, once; this takes about a minute …")
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run = subprocess.run(
            [*pip, "-r", str(REQUIREMENTS)], capture_output=True, text=True, check=False
        )
        if run.returncode:
            tail = "\n".join(run.stderr.strip().splitlines()[-5:])
            raise OSError(
                f"Installing argilla-server failed; run it again once this is solved:\n{tail}"
            )
        done.touch()  # written last, so its existence means that the install completed
    return python


@contextmanager
def _locked(file: Path) -> Generator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def owner_of(root: Path) -> dict[str, str]:
    """Return the owner's name, password and key and the server's secret, made at first use.

    They lie in `owner.json` (mode 600) and never change, so sign-ins survive a restart.
    """
    root.mkdir(parents=True, exist_ok=True)
    file = root / "owner.json"
    if not file.exists():
        made = {
            "username": OWNER,
            "password": secrets.token_urlsafe(18),
            "api_key": secrets.token_urlsafe(32),
            "auth_secret_key": secrets.token_hex(32),
        }
        scratch = root / f"owner.{os.getpid()}.tmp"
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump(made, out, indent=2)
        scratch.replace(file)
    return json.loads(file.read_text())


def _environment(root: Path, services: Services | None, workers: int) -> dict[str, str]:
    owner = owner_of(root)
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")
    return {
        **{k: os.environ[k] for k in kept if k in os.environ},
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
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


def _prepared(root: Path, services: Services | None, workers: int) -> tuple[Path, dict[str, str]]:
    """Return the Python that runs the server, and its environment; raises where it cannot run."""
    check_workers(workers, services)
    python = ensure_environment()
    environment = _environment(root.resolve(), services, workers)
    if services:
        services.check(python, environment)
    return python, environment


def _command(python: Path, host: str, port: int) -> list[str]:
    return [str(python), "-m", "embedded", "--host", host, "--port", str(port)]


def _check_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0; raises OSError where it is taken."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError:
            raise OSError(
                f"Port {port} is taken, so Argilla cannot listen there. Choose another: --port"
            ) from None
        return s.getsockname()[1]


class EmbeddedArgilla:
    """An Argilla server as a child process; its data lie in `root`, or in PostgreSQL."""

    def __init__(
        self,
        root: Path,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        services: Services | None = None,
        workers: int = 1,
        base_url: str = "/",
    ):
        """`base_url` is the path at which a proxy shows Argilla's pages."""
        self.root, self.host, self._port = Path(root), host, port
        self.services, self.workers, self.base_url = services, workers, base_url
        self.url, self.api_key = "", ""
        self.process: subprocess.Popen

    def start(self) -> "EmbeddedArgilla":
        """Start it and return once it answers; raises OSError with the log's end if it dies."""
        python, environment = _prepared(self.root, self.services, self.workers)
        port = _check_port(self.host, self._port)
        self._port = port  # a restart comes back at the same address
        self.url, self.api_key = f"http://{self.host}:{port}", owner_of(self.root)["api_key"]
        log = self.root / "argilla.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                _command(python, self.host, port),
                env=environment
                | {"EMBEDDED_PARENT": str(os.getpid()), "ARGILLA_BASE_URL": self.base_url},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C reaches it through stop()
            )
        deadline = time.monotonic() + 120
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
                raise OSError(f"Argilla did not start; the end of {log}:\n{tail}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End it; what it acknowledged is on the disk."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> "EmbeddedArgilla":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        """Whether it answers to its owner: what else may listen there does not know the key."""
        key = {"X-Argilla-Api-Key": self.api_key}
        try:
            urllib.request.urlopen(
                urllib.request.Request(f"{self.url}/api/v1/me", headers=key), timeout=2
            ).close()
        except OSError:
            return False
        return True


def serve(root: Path, *, host: str = "127.0.0.1", port: int = 6900, workers: int = 1) -> None:
    """Run the server in the foreground until Ctrl-C; says where the owner's key lies.

    PostgreSQL and Redis are taken from the environment, where passwords stay out of sight.
    """
    root = Path(root).resolve()
    python, environment = _prepared(root, Services.of(os.environ), workers)
    port = _check_port(host, port)
    print(
        f"Argilla at http://{host}:{port}, user {OWNER}; password and key lie in {root}/owner.json"
    )
    print("To use it:")
    print(f"  export ARGILLA_API_URL=http://{host}:{port}")
    read = "import json,sys; print(json.load(open(sys.argv[1]))['api_key'])"
    print(f'  export ARGILLA_API_KEY=$(python3 -c "{read}" {root}/owner.json)', flush=True)
    with subprocess.Popen(_command(python, host, port), env=environment) as process:
        try:
            process.wait()
        except KeyboardInterrupt:  # the terminal has sent it to the child as well
            process.wait()
