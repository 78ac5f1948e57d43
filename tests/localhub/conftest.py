"""Clients of the session's Hub, and a plain connection for requests that no client sends."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

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
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Wire:
    """HTTP without redirects, retries or corrections."""

    def __init__(self, endpoint: str, token: str | None = None):
        self.address, self.token = urlsplit(endpoint).netloc, token

    def send(self, method: str, path: str, body=None, **headers: str) -> Answer:
        """Send bytes as they are, anything else as JSON; `_` in header names becomes `-`."""
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
            received = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, received, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def page(self, path: str, **headers: str) -> Answer:
        """Ask as a browser does."""
        return self.get(path, Accept="text/html", **headers)


@pytest.fixture(scope="session")
def connect() -> type[Wire]:
    return Wire


@pytest.fixture(scope="session")
def api(hub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.token)


@pytest.fixture(scope="session")
def stranger(hub) -> HfApi:
    """A user who owns none of the repos that tests create."""
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


@pytest.fixture
def repo(api, repo_id) -> str:
    """An empty public model of `me`."""
    api.create_repo(repo_id)
    return repo_id


@pytest.fixture
def private(api, repo_id) -> str:
    """A private model with a text and a large file."""
    api.create_repo(repo_id, private=True)
    files = [CommitOperationAdd("a.txt", b"hello"), CommitOperationAdd("w.bin", b"\0 private")]
    api.create_commit(repo_id, files, commit_message="private")
    return repo_id
