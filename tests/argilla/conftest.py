from collections.abc import Callable, Iterator

import pytest

from palate.argilla.store import LabelStore


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
