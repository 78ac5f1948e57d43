"""PostgreSQL and Redis, which several server processes share; their URLs hold passwords."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

DATABASE, REDIS = "ARGILLA_DATABASE_URL", "ARGILLA_REDIS_URL"
SHAPES = {
    DATABASE: "postgresql://USER:PASSWORD@HOST:5432/DATABASE",
    REDIS: "redis://:PASSWORD@HOST:6379/0",
}


@dataclass(frozen=True)
class Services:
    """Where they are, as argilla-server reads it; raises ValueError for what is no such URL."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)

    def __post_init__(self) -> None:
        # providers write the scheme in several ways, Argilla knows one
        url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+asyncpg://", self.database_url)
        object.__setattr__(self, "database_url", url)
        _check(DATABASE, url, ("postgresql+asyncpg",))
        _check(REDIS, self.redis_url, ("redis", "rediss"))

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Services | None":
        """Return what the environment names; None if it names neither."""
        database, redis = environ.get(DATABASE), environ.get(REDIS)
        if not database and not redis:
            return None
        if not database or not redis:
            missing = REDIS if database else DATABASE
            raise ValueError(
                f"PostgreSQL and Redis go together; set {missing}, too: {SHAPES[missing]}"
            )
        return cls(database, redis)

    def environment(self) -> dict[str, str]:
        return {DATABASE: self.database_url, REDIS: self.redis_url}

    def check(self, python: Path, environment: Mapping[str, str]) -> None:
        """Raise OSError in one line where one of them cannot be used."""
        run = subprocess.run(
            [str(python), "-m", "embedded.reach"],
            env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if run.returncode:
            raise OSError(run.stderr.strip().splitlines()[-1])


def check_workers(workers: int, services: Services | None) -> None:
    """Raise ValueError for a number of server processes that cannot be."""
    if workers < 1:
        raise ValueError(f"--workers {workers}: at least one process has to serve.")
    if workers > 1 and services is None:
        raise ValueError(
            f"--workers {workers} needs PostgreSQL and Redis; SQLite is for one process. Set"
            f" {DATABASE}={SHAPES[DATABASE]} and {REDIS}={SHAPES[REDIS]}"
        )


def _check(name: str, url: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:  # what it is instead may hold a password
        raise ValueError(f"{name} is not of the form {SHAPES[name]}")
