"""PostgreSQL and Redis, which several server processes share; their URLs contain passwords."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from palate.argilla.server.errors import ServeError

UNUSABLE = 2  # the exit code of embedded.preflight
DATABASE, REDIS = "ARGILLA_DATABASE_URL", "ARGILLA_REDIS_URL"
FORMS = {
    DATABASE: "postgresql://USER:PASSWORD@HOST:5432/DATABASE",
    REDIS: "redis://:PASSWORD@HOST:6379/0",
}


@dataclass(frozen=True)
class Services:
    """The URLs of both, as argilla-server reads them; ServeError for anything else."""

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
