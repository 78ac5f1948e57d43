"""HTTP to an Argilla, as its owner or as an annotator; errors say what to do."""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from palate.core.errors import PalateError, Unreachable

if TYPE_CHECKING:  # both are imported when they are used: Argilla's SDK takes seconds
    import argilla
    import httpx  # argilla's own client

TIMEOUT_SECONDS = 30
PAGE = 500  # records in an answer
T = TypeVar("T")
TRIES = 4  # at creating what another process may create at the same time


class Connection:
    """The Argilla at `url`, opened with the key of an owner at the first call."""

    def __init__(self, url: str, key: str):
        self.url = url.rstrip("/")
        self._key = key
        self._sdk: argilla.Argilla | None = None
        self._lock = threading.Lock()

    def headers(self) -> dict[str, str]:
        """Return the headers that open Argilla to a request; they must not leave this machine."""
        return {"X-Argilla-Api-Key": self._key}

    def sdk(self) -> "argilla.Argilla":
        """Return Argilla's SDK, connected."""
        import argilla

        with self._lock:
            if self._sdk is None:
                with readable_errors(self.url):
                    # the SDK leaves its connection open when Argilla refuses the key
                    with closing(self.client(self._key)) as first:
                        first.get("/api/v1/me").raise_for_status()
                    self._sdk = argilla.Argilla(api_url=self.url, api_key=self._key)
            return self._sdk

    def client(self, key: str) -> "httpx.Client":
        """Return a client of the user with this key."""
        from argilla._api import create_http_client

        return create_http_client(api_url=self.url, api_key=key, timeout=TIMEOUT_SECONDS, retries=0)

    def get(self, path: str) -> "httpx.Response":
        """Return Argilla's answer to the owner, or raise PalateError."""
        client = self.sdk().api.http_client
        with readable_errors(self.url):
            return client.get(path).raise_for_status()

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        client: "httpx.Client | None" = None,
        accept: int = 0,
    ) -> "httpx.Response":
        """Send JSON, by default as the owner; the status `accept` is no error."""
        client = client or self.sdk().api.http_client
        with readable_errors(self.url):
            answer = client.request(method, path, json=body)
            return answer if answer.status_code == accept else answer.raise_for_status()

    def create(self, path: str, body: Mapping[str, object]) -> "httpx.Response":
        """Create what the body describes; 409, where it is there already, is no error."""
        return _persist(lambda: self.send("POST", path, body, accept=409))

    def pages(self, path: str, query: str = "") -> Iterator["httpx.Response"]:
        """Yield the answers with all items of a list, page by page."""
        offset, total = 0, 1
        while offset < total:
            page = self.get(f"{path}?limit={PAGE}&offset={offset}&{query}")
            yield page
            offset, total = offset + PAGE, page.json()["total"]

    def close(self) -> None:
        """Close the owner's connection; the next call opens another."""
        with self._lock:
            sdk, self._sdk = self._sdk, None
        if sdk is not None:
            sdk.api.http_client.close()


def create(create_item: Callable[[], object], url: str) -> None:
    """Call the `create` of one of the SDK's items in the Argilla at `url`, unless it is there."""
    from argilla._exceptions import ConflictError  # exported nowhere else

    def once() -> None:
        with readable_errors(url), suppress(ConflictError):
            create_item()

    _persist(once)


def _persist(attempt: Callable[[], T]) -> T:
    """Return what `attempt` returns.

    Of two processes that create the same at once, Argilla on PostgreSQL answers one with 500 and
    closes its connection. Asked again, it says that the thing is there.
    """
    for _ in range(TRIES - 1):
        with suppress(Unreachable):
            return attempt()
    return attempt()


@contextmanager
def readable_errors(url: str) -> Generator[None]:
    """Turn the errors of the SDK and of its HTTP client into palate's, each with what to do."""
    import httpx
    from argilla._exceptions import (
        ArgillaAPIError,
        ArgillaCredentialsError,
        ArgillaError,
        UnauthorizedError,
    )

    try:
        yield
    except httpx.TransportError as error:
        raise Unreachable(
            f"Argilla at {url} does not answer ({error or type(error).__name__}). Start one with"
            " `palate argilla serve`, or set ARGILLA_API_URL."
        ) from None
    except httpx.HTTPStatusError as error:
        raise _refused(url, error.response.status_code, error.response.text) from None
    except (ArgillaCredentialsError, UnauthorizedError):
        raise _refused(url, 401, "") from None
    except ArgillaAPIError as error:
        raise _refused(url, error.status_code, str(error.message)) from None
    except ArgillaError as error:
        raise PalateError(f"Argilla at {url}: {error}") from None


def _refused(url: str, status: int, text: str) -> PalateError:
    if status in (401, 403):
        return Unreachable(
            f"Argilla at {url} does not accept the key. Set ARGILLA_API_KEY to an owner's key."
        )
    if status >= 500:
        return Unreachable(f"Argilla at {url} answered {status}: {text[:200]}")
    return PalateError(f"Argilla at {url} refused ({status}): {text[:300]}")
