"""The embedded server: its start, its keys, its search, its end."""

import json
import os
import signal
import socket
import stat
import urllib.request

import pytest
from samples import PAIRS, ROWS, event

from palate.argilla.server import EmbeddedArgilla, owner_of


def test_a_killed_server_keeps_its_owner_and_every_acknowledged_event(tmp_path, connect):
    said = [event(p) for p in PAIRS]
    server = EmbeddedArgilla(tmp_path / "argilla").start()
    try:
        store = connect(server.url, server.api_key)
        store.open("me/kept", question="?")
        store.add_pairs(ROWS)
        store.save(store.annotator("p-1", "Ada"), said)
        before = (server.url, server.api_key)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        server.start()
        assert (server.url, server.api_key) == before
        again = connect(server.url, server.api_key)
        again.open("me/kept", question="?")
        assert {e.event_id for e in again.events()} == {e.event_id for e in said}
    finally:
        server.stop()
    assert server.process.returncode is not None


def test_the_owner_is_made_once_and_for_our_eyes_only(tmp_path):
    owner = owner_of(tmp_path)
    assert owner_of(tmp_path) == owner
    assert stat.S_IMODE((tmp_path / "owner.json").stat().st_mode) == 0o600
    assert len({owner["password"], owner["api_key"], owner["auth_secret_key"]}) == 3


def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        with pytest.raises(OSError, match=f"Port {port} is taken.*--port"):
            EmbeddedArgilla(tmp_path, port=port).start()


class Dataset:
    """A dataset in the running server, asked through Argilla's own search."""

    def __init__(self, argilla, connect):
        self.argilla = argilla
        store = connect(argilla.url, argilla.api_key)
        store.open("me/searched", question="?")
        store.add_pairs(ROWS)
        said = [event(PAIRS[0]), event(PAIRS[1], "tie"), event(PAIRS[2], "skip")]
        store.save(store.annotator("p-1", "Ada"), said)
        self.id = store._dataset.id
        self.store = store

    def call(self, path: str, body: dict | None = None) -> dict:
        request = urllib.request.Request(
            f"{self.argilla.url}/api/v1/{path}",
            json.dumps(body).encode() if body is not None else None,
            {"X-Argilla-API-Key": self.argilla.api_key, "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def search(self, body: dict, query: str = "") -> list[str]:
        answer = self.call(f"datasets/{self.id}/records/search?{query}", body)
        return [i["record"]["external_id"] for i in answer["items"]]


@pytest.fixture(scope="module")
def dataset(argilla, connect) -> Dataset:
    return Dataset(argilla, connect)


def ids_with(text: str) -> set[str]:
    return {pair.id for pair, _, x, y in ROWS if text in (x.text, y.text)}


def test_text_search(dataset):
    assert set(dataset.search({"query": {"text": {"q": '"text 1"'}}})) == ids_with("text 1")
    either = {"query": {"text": {"q": '"text 1" | "text 2"'}}}
    assert set(dataset.search(either)) == ids_with("text 1") | ids_with("text 2")
    assert dataset.search({"query": {"text": {"q": "nowhere"}}}) == []
    strange = {"query": {"text": {"q": "\"' OR ; DROP * ("}}}
    assert dataset.search(strange) == []


def test_filters_and_order(dataset):
    completed = {
        "type": "terms",
        "scope": {"entity": "record", "property": "status"},
        "values": ["completed"],
    }
    submitted = {"filters": {"and": [completed]}}
    assert set(dataset.search(submitted)) == {PAIRS[0].id, PAIRS[1].id}
    order = {"sort": [{"scope": {"entity": "record", "property": "inserted_at"}, "order": "asc"}]}
    assert dataset.search(order) == list(reversed(dataset.search(_descending(order))))


def _descending(order: dict) -> dict:
    return {"sort": [{**order["sort"][0], "order": "desc"}]}


def test_progress(dataset):
    progress = dataset.call(f"datasets/{dataset.id}/progress")
    assert (progress["total"], progress["completed"]) == (len(ROWS), 2)
