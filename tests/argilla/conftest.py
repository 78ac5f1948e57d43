from collections.abc import Callable, Iterator

import pytest
from own_services import Postgres, Redis

from palate.argilla.server import EmbeddedArgilla
from palate.argilla.server.settings import Services
from palate.argilla.store import LabelStore

# PostgreSQL and Redis start slowly, and once
TOGETHER = [pytest.mark.xdist_group("services"), pytest.mark.slow]


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[[str, str], LabelStore]]:
    """Creates stores, and closes their connections at the end."""
    stores: list[LabelStore] = []

    def connect(url: str, key: str) -> LabelStore:
        stores.append(LabelStore(url, key))
        return stores[-1]

    yield connect
    for store in stores:
        store.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    with Redis() as running:
        yield running


@pytest.fixture(scope="session")
def services(postgres, redis) -> Services:
    return Services(postgres.url, redis.url)


@pytest.fixture(scope="session")
def workers(services, tmp_path_factory) -> Iterator[EmbeddedArgilla]:
    """An Argilla of three server processes on PostgreSQL and Redis."""
    root = tmp_path_factory.mktemp("workers")
    with EmbeddedArgilla(root, services=services, workers=3) as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=TOGETHER)])
def server(request) -> EmbeddedArgilla:
    """Argilla on SQLite, then on PostgreSQL: `.url` and `.api_key`."""
    return request.getfixturevalue("argilla" if request.param == "sqlite" else "workers")
