from collections.abc import Callable, Iterator

import pytest
from own_services import Postgres, Redis

from palate.argilla.server import EmbeddedArgilla
from palate.argilla.server.services import Services
from palate.argilla.store import LabelStore

# PostgreSQL and Redis start once, and take their time
TOGETHER = [pytest.mark.xdist_group("services"), pytest.mark.slow]


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[[str, str], LabelStore]]:
    """Makes stores, and closes their connections in the end."""
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
def crew(services, tmp_path_factory) -> Iterator[EmbeddedArgilla]:
    """An Argilla of three server processes on PostgreSQL and Redis."""
    root = tmp_path_factory.mktemp("crew")
    with EmbeddedArgilla(root, services=services, workers=3) as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=TOGETHER)])
def server(request) -> EmbeddedArgilla:
    """Both kinds, one after the other: `.url` and `.api_key`."""
    return request.getfixturevalue("argilla" if request.param == "sqlite" else "crew")
