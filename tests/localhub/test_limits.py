"""Malformed, oversized and interrupted requests are refused and leave nothing behind."""

import json
import socket
import sqlite3
import time
from contextlib import closing

import pytest
from hub_requests import change, commit_body, lfs_batch, oid_of
from huggingface_hub import CommitOperationAdd, HfApi

from palate.localhub import LocalHub

REPO = "me/x"
A_FILE = change("file", path="new.txt", content="something new")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    with LocalHub(tmp_path_factory.mktemp("limits") / "hub") as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        api.create_repo(REPO)
        add = [CommitOperationAdd("a.txt", b"hello"), CommitOperationAdd("w.bin", b"\0")]
        api.create_commit(REPO, add, commit_message="x")
        api.create_tag(REPO, tag="v1")
        api.create_branch(REPO, branch="one/two")
        yield hub


@pytest.fixture
def mine(own, connect):
    return connect(own.endpoint, own.token)


@pytest.fixture
def unchanged(own):
    """The test leaves no file and no row behind, and the Hub logs nothing."""

    def state() -> tuple:
        files = {f for f in own.root.rglob("*") if not f.name.startswith("hub.")}
        with closing(sqlite3.connect(own.root / "hub.db")) as db:
            names = db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
            rows = [db.execute(f"SELECT * FROM {name}").fetchall() for (name,) in sorted(names)]
        return files, rows, (own.root / "hub.log").read_text()

    before = state()
    yield
    assert state() == before


def exchange(hub: LocalHub, request: bytes, *, hang_up: bool = False) -> int:
    """Return the status with which the Hub answers these bytes, 0 if it does not."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=30) as s:
        s.sendall(request)
        if hang_up:
            return 0
        return int(s.recv(1000).split(b" ")[1])


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: [", 400),
        ("GET / HTTP/1.1", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: y", 400),
        ("POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1", 400),
        ("POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: x", 400),
        ("POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2", 400),
        ("POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000", 413),
        ("POST /api/repos/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999", 413),
        ("POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x", 400),
        ("GET /\x80 HTTP/1.1\r\nHost: localhost", 400),
        ("GET /\0 HTTP/1.1\r\nHost: localhost", 400),
        (f"GET /{'x' * 100_000} HTTP/1.1\r\nHost: localhost", 401),
        ("GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost", 404),
        ("GET //healthz HTTP/1.1\r\nHost: localhost", 200),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade"
         "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13", 200),
    ],
)  # fmt: skip
def test_requests_that_no_client_sends(own, head, status):
    assert exchange(own, head.encode("latin-1") + b"\r\n\r\n") == status
    assert "Traceback" not in (own.root / "hub.log").read_text()


def test_a_body_of_unknown_length_is_limited_too(own):
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    assert exchange(own, head + chunk + b"1\r\nx\r\n") == 413


def test_a_client_may_hang_up(own, unchanged):
    token = f"Host: localhost\r\nAuthorization: Bearer {own.token}".encode()
    for path in (
        b"/api/repos/create",
        b"/api/models/me/x/commit/main",
        b"/me/x.git/info/lfs/objects/batch",
    ):
        head = b"POST %s HTTP/1.1\r\n%s\r\nContent-Length: 900\r\n\r\n{" % (path, token)
        exchange(own, head, hang_up=True)
    assert exchange(own, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") == 200


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (commit_body(A_FILE) + b"\n{", 400),
        (commit_body(A_FILE) + b"\n[]", 400),
        (commit_body(A_FILE) + b"\n\xff", 400),
        (commit_body(A_FILE) + b'\n{"key": 1, "value": {}}', 400),
        (json.dumps(A_FILE).encode(), 400),  # no header
        (commit_body(A_FILE, change("lfsFile", path="w", oid="0" * 64, size=1)), 400),
        (commit_body(A_FILE, change("lfsFile", path="w", oid="../../key", size=1)), 400),
        (commit_body(A_FILE, change("file", path="w", content=POINTER)), 400),
        (commit_body(A_FILE, change("file", path="w", content="*", encoding="base64")), 400),
        (commit_body(A_FILE, change("file", path="w", content="é", encoding="base64")), 400),
        (
            commit_body(
                A_FILE, change("file", path="README.md", content="---\na: !!bool x\n---\n")
            ),
            400,
        ),
        (
            commit_body(
                A_FILE, change("file", path="README.md", content="---\na: !!int ''\n---\n")
            ),
            400,
        ),
        (commit_body(A_FILE, change("file", path="a/" * 200 + "b", content="x")), 422),
        (commit_body(A_FILE, change("deletedFile", path="nope")), 404),
        (commit_body(A_FILE, change("deletedFolder", path="nope")), 404),
        (commit_body(A_FILE, change("link", path="b", target="a")), 400),
        (commit_body(A_FILE, parentCommit="0" * 40), 412),
        (commit_body(A_FILE, parentCommit=3), 400),
        (commit_body(A_FILE, summary="a\0b"), 400),
        (commit_body(A_FILE, description="a\0b"), 400),
    ],
)
def test_a_broken_commit_leaves_nothing_behind(mine, unchanged, body, status):
    answer = mine.send("POST", f"/api/models/{REPO}/commit/main", body)
    assert answer.status == status, answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"objects": 3, "operation": "upload"},
        {"objects": [3], "operation": "upload"},
        {"objects": [{"oid": "0" * 63, "size": 1}], "operation": "upload"},
        {"objects": [{"oid": "../../../users.json", "size": 1}], "operation": "upload"},
        {"objects": [{"oid": "0" * 64, "size": -1}], "operation": "upload"},
        {"objects": [{"oid": "0" * 64, "size": 10**17}], "operation": "upload"},
        {"objects": [{"oid": "0" * 64, "size": 10**30}], "operation": "download"},
        {"objects": [{"oid": "0" * 64, "size": "1"}], "operation": "upload"},
        {"objects": [{"oid": "0" * 64, "size": 1.5}], "operation": "upload"},
        {"objects": [], "operation": None},
        {"objects": [{"oid": "0" * 64, "size": 1}], "operation": "upload", "transfers": [1]},
    ],
)
def test_malformed_batches(mine, unchanged, body):
    answer = mine.send("POST", f"/{REPO}.git/info/lfs/objects/batch", body)
    assert answer.status in (400, 422), answer.text


def announced(wire, content: bytes) -> dict[str, str]:
    """Return the paths for the parts of an upload and for its completion, by name."""
    body = lfs_batch("upload", oid_of(content), len(content), transfers=["basic", "multipart"])
    answer = wire.send("POST", f"/{REPO}.git/info/lfs/objects/batch", body).json
    action = answer["objects"][0]["actions"]["upload"]
    links = {"href": action["href"]} | action.get("header", {})
    return {name: url.removeprefix(f"http://{wire.address}") for name, url in links.items()}


def test_an_upload_that_is_not_what_was_announced_leaves_nothing_behind(own, mine, unchanged):
    content = b"\0" + b"x" * 999
    put = announced(mine, content)["href"]
    for wrong, status in ((content[:-1], 400), (content[:-1] + b"?", 400), (content + b"?", 413)):
        assert mine.send("PUT", put, wrong).status == status
    head = f"PUT {put} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".encode()
    exchange(own, head + content[:500], hang_up=True)
    deadline = time.monotonic() + 30
    while list((own.root / "incoming").iterdir()) and time.monotonic() < deadline:
        mine.get("/healthz")


def test_parts_that_do_not_make_a_file_leave_nothing_behind(mine, unchanged):
    content = bytes(33 << 20)
    to = announced(mine, content)
    assert mine.send("POST", to["href"], {}).status == 400
    assert mine.send("PUT", to["2"].replace("part/2", "part/3"), b"x").status == 400
    assert mine.send("PUT", to["2"].replace("part/2", "part/%C2%B2"), b"x").status == 400
    assert mine.send("PUT", to["2"], bytes(2 << 20)).status == 413  # it has one megabyte
    assert mine.send("PUT", to["1"], content[: 32 << 20]).status == 200
    assert "Parts [2]" in mine.send("POST", to["href"], {}).text
    assert mine.send("PUT", to["2"], b"\1" * (1 << 20)).status == 200
    assert mine.send("POST", to["href"], {}).status == 400  # another sha256


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "branch/main%2Fx", {}, 409),  # git keeps refs as files
        ("POST", "branch/one", {}, 409),
        ("POST", "branch/a%00b", {}, 400),
        ("POST", "branch/" + "x" * 300, {}, 400),
        ("POST", "branch/refs%2Fheads%2Fx", {}, 400),
        ("POST", "branch/x", {"startingPoint": "a\0b"}, 404),
        ("POST", "tag/main", {"tag": "a\0b"}, 400),
        ("POST", "tag/main", {"tag": "refs/pr/1"}, 400),  # it would hide the real one
        ("POST", "tag/main", {"tag": "v2", "message": "a\0b"}, 400),
        ("GET", "tree/main/a%00b", None, 404),
        ("GET", "commits/main?p=" + "9" * 5000, None, 400),
        ("POST", "commit/refs%2Fpr%2F1", {}, 400),
        ("PUT", "settings", {"private": 10**30}, 400),
    ],
)
def test_impossible_names_and_numbers(mine, unchanged, method, path, body, status):
    answer = mine.send(method, f"/api/models/{REPO}/{path}", body)
    assert answer.status == status, answer.text


def test_ranges_beyond_reason(mine):
    for path in ("a.txt", "w.bin"):
        for bounds in ("9" * 5000 + "-", "-" + "9" * 5000, "-1-2", "2-1"):
            answer = mine.get(f"/{REPO}/resolve/main/{path}", Range=f"bytes={bounds}")
            assert answer.status in (200, 206, 400, 416), (path, bounds[:20])
