"""Clients of the session's Hub, and a plain connection to say what no client would."""

import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from huggingface_hub import HfApi

# huggingface_hub uploads large files in a way that its own HTTP client deprecates
LFS_WARNING = "ignore:Use 'content=:DeprecationWarning"


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.filterwarnings(LFS_WARNING))


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Wire:
    """HTTP without redirects, retries or corrections."""

    def __init__(self, endpoint: str, token: str | None = None):
        self.address, self.token = urlsplit(endpoint).netloc, token

    def send(self, method: str, path: str, body=None, **headers: str) -> Answer:
        """`body` as it is if bytes, else as JSON; underscores in header names are dashes."""
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None and not isinstance(body, bytes):
            body, headers = (
                json.dumps(body).encode(),
                {"Content-Type": "application/json"} | headers,
            )
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            found = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def page(self, path: str, **headers: str) -> Answer:
        """As a browser asks."""
        return self.get(path, Accept="text/html", **headers)


@pytest.fixture(scope="session")
def connect() -> type[Wire]:
    return Wire


@pytest.fixture(scope="session")
def api(hub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.token)


@pytest.fixture(scope="session")
def stranger(hub) -> HfApi:
    """A user who owns none of the repos that tests make."""
    return HfApi(endpoint=hub.endpoint, token=hub.tokens["you"])


@pytest.fixture(scope="session")
def wire(hub) -> Wire:
    return Wire(hub.endpoint, hub.token)


@pytest.fixture(scope="session")
def foreign_wire(hub) -> Wire:
    return Wire(hub.endpoint, hub.tokens["you"])


@pytest.fixture(scope="session")
def nobody(hub) -> Wire:
    return Wire(hub.endpoint)
