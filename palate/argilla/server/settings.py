"""What a server is started with: its owner, its port, its databases.

`ServeError` says which of them to change. URLs of databases contain passwords and are never shown.
"""

import errno
import json
import os
import re
import secrets
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

OWNER = "owner"
UNUSABLE = 2  # the exit code of embedded.preflight
DATABASE, REDIS = "ARGILLA_DATABASE_URL", "ARGILLA_REDIS_URL"
FORMS = {
    DATABASE: "postgresql://USER:PASSWORD@HOST:5432/DATABASE",
    REDIS: "redis://:PASSWORD@HOST:6379/0",
}


class ServeError(Exception):
    """The server cannot start; the message says what to change."""


def owner_of(root: Path) -> dict[str, str]:
    """Return the owner's name, password and key and the server's secret, created on first use.

    They are in `owner.json` (mode 600) and never change, so sign-ins survive a restart. Raises
    ServeError if the folder cannot be used.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ServeError(f"cannot use {root} as Argilla's folder: {e.strerror}") from None
    file = root / "owner.json"
    if not file.exists():
        owner = {
            "username": OWNER,
            "password": secrets.token_urlsafe(18),
            "api_key": secrets.token_urlsafe(32),
            "auth_secret_key": secrets.token_hex(32),
        }
        scratch = root / f"owner.{os.getpid()}.tmp"
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump(owner, out, indent=2)
        scratch.replace(file)
    return json.loads(file.read_text())


def free_port(host: str, port: int) -> int:
    """Return `port`, or any free port for 0; ServeError if Argilla cannot listen there."""
    if not 0 <= port <= 65535:
        raise ServeError(f"port {port} does not exist: choose one from 0 to 65535 with --port")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            host.encode("idna")  # bind raises a TypeError for what this refuses
            s.bind((host, port))
        except UnicodeError:
            raise ServeError(f"Argilla cannot listen on {host[:100]!r}: not a host name") from None
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                message = f"port {port} is already in use: choose another with --port"
                raise ServeError(message) from None
            problem = e.strerror or e
            raise ServeError(f"Argilla cannot listen on {host}:{port}: {problem}") from None
        return s.getsockname()[1]


@dataclass(frozen=True)
class Services:
    """The URLs of the PostgreSQL and the Redis that several processes share.

    They are in argilla-server's form; ServeError for anything else.
    """

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)

    def __post_init__(self) -> None:
        # providers write the scheme in several ways, Argilla knows one
        url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+asyncpg://", self.database_url)
        object.__setattr__(self, "database_url", url)
        _check(DATABASE, url, ("postgresql+asyncpg",))
        _check(REDIS, self.redis_url, ("redis", "rediss"))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Services | None":
        """Return the services that the variables name, None if they name neither."""
        database, redis = environ.get(DATABASE), environ.get(REDIS)
        if not database and not redis:
            return None
        if not database or not redis:
            missing = REDIS if database else DATABASE
            raise ServeError(f"PostgreSQL and Redis go together: set {missing}={FORMS[missing]}")
        return cls(database, redis)

    def environment(self) -> dict[str, str]:
        return {DATABASE: self.database_url, REDIS: self.redis_url}

    def check(self, python: Path, environment: Mapping[str, str]) -> None:
        """Raise ServeError, in one line, if either cannot be used."""
        run = subprocess.run(
            [str(python), "-m", "embedded.preflight"],
            env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if run.returncode == UNUSABLE:
            raise ServeError(run.stderr.strip().splitlines()[-1])
        if run.returncode:
            raise RuntimeError(f"The check of PostgreSQL and Redis failed:\n{run.stderr}")


def check_workers(workers: int, services: Services | None) -> None:
    """Raise ServeError for an impossible number of server processes."""
    if workers < 1:
        raise ServeError(f"--workers {workers}: expected 1 or more")
    if workers > 1 and services is None:
        raise ServeError(
            f"--workers {workers} needs PostgreSQL and Redis; SQLite allows one process."
            f" Set {DATABASE}={FORMS[DATABASE]} and {REDIS}={FORMS[REDIS]}"
        )


def _check(name: str, url: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:  # the value may contain a password, so it is not shown
        raise ServeError(f"{name} is not of the form {FORMS[name]}")
