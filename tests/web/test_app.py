"""The page's API: who is let in, what is refused, and which headers keep a page a page."""

import json
import socket
import time
import uuid
from contextlib import ExitStack

import pytest
from served_space import ADA, PNG, QUESTION, ask
from starlette.requests import Request

from palate.core.project import Project
from palate.web.ballot import walls
from palate.web.ballot.app import MAX_EVENTS, MAX_REQUEST_BYTES
from palate.web.ballot.people import REQUESTS_AT_ONCE


def test_people_without_a_name_are_asked_for_one(client):
    assert client.post("/api/next", json={}).status_code == 401
    assert client.post("/api/next", json={}, headers=ADA).status_code == 200
    assert client.get("/api/me").json()["name"] is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("next", "not JSON"),
        ("next", "[]"),
        ("next", '{"n": "many"}'),
        ("next", '{"have": 5}'),
        ("next", '{"device": 5}'),
        ("events", '{"events": 5}'),
        ("events", json.dumps({"events": [{}] * (MAX_EVENTS + 1)})),
        ("events", "[" * 100_000),
    ],
)
def test_a_malformed_request_is_a_400_that_says_why(client, path, body):
    answer = client.post(f"/api/{path}", content=body, headers=ADA)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_an_oversized_request_is_not_read_to_its_end(client):
    answer = client.post("/api/events", content=b" " * (MAX_REQUEST_BYTES + 1), headers=ADA)
    assert answer.status_code == 413


def test_a_person_has_so_many_requests_under_way_and_others_are_served(client, space):
    head = (
        f"POST /api/next HTTP/1.1\r\nHost: 127.0.0.1:{space.port}\r\nX-Annotator: Eve\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    eve = {"x-annotator": "Eve"}
    with ExitStack() as opened:
        for _ in range(2 * REQUESTS_AT_ONCE):  # some may meet the requests below, and are refused
            address = ("127.0.0.1", space.port)
            connection = opened.enter_context(socket.create_connection(address))
            connection.sendall(head.encode())  # and never a body
        while (refused := client.post("/api/next", json={"n": 0}, headers=eve)).status_code == 200:
            pass  # some are on their way
        assert refused.status_code == 429
        assert "many requests at once" in refused.json()["error"]
        assert client.post("/api/next", json={"n": 0}, headers=ADA).status_code == 200
    while client.post("/api/next", json={"n": 0}, headers=eve).status_code == 429:
        pass


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/next", {"sec-fetch-site": "cross-site"}),
        ("/api/next", {"sec-fetch-site": "same-site"}),
        ("/api/next", {"origin": "http://evil.example"}),
        ("/api/next", {"origin": "null"}),
        ("/api/events", {"origin": "http://127.0.0.1:1"}),
        ("/argilla/api/v1/me", {"origin": "http://evil.example"}),
    ],
)
def test_requests_from_other_sites_are_refused(client, path, headers):
    assert client.post(path, json={}, headers=ADA | headers).status_code == 403


def test_a_foreign_name_for_this_machine_reads_nothing(client, space):
    for name in ("evil.example", f"evil.example:{space.port}", "127.0.0.1.evil.example", ""):
        for path in ("/", "/api/me", "/ballot/ballot.js", "/owner", "/healthz"):
            assert client.get(path, headers={"host": name}).status_code in (400, 421), (name, path)
    own = {"origin": f"http://localhost:{space.port}", "host": f"localhost:{space.port}"}
    assert client.post("/api/next", json={}, headers=ADA | own).status_code == 200


def test_a_space_on_the_hub_answers_to_its_own_name(monkeypatch):
    def refused(host: str, **headers: str) -> bool:
        lines = {"host": host, **headers}.items()
        raw = [(name.encode(), value.encode()) for name, value in lines]
        scope = {"type": "http", "method": "POST", "server": ("127.0.0.1", 7860), "headers": raw}
        return walls._refusal(Request(scope)) is not None

    assert refused("me-titles.hf.space")
    monkeypatch.setenv("SPACE_HOST", "me-titles.hf.space")
    assert not refused("me-titles.hf.space", origin="https://me-titles.hf.space")
    assert not refused("localhost:7860", origin="https://me-titles.hf.space")
    assert refused("me-titles.hf.space", origin="https://evil.example")
    assert refused("evil.hf.space")
    monkeypatch.setenv("SPACE_HOST", "me-titles.hf.space,titles.example")
    for name in ("me-titles.hf.space", "titles.example"):
        assert not refused("127.0.0.1:7860", origin=f"https://{name}")
        assert not refused(name, origin=f"https://{name}")
    monkeypatch.setenv("SPACE_HOST", "")
    assert refused("127.0.0.1:7860", origin="null")
    assert refused("127.0.0.1:7860", origin="https:")


def test_a_form_of_another_site_is_not_json(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = client.post("/api/next", content="{}", headers=ADA | {"content-type": kind})
        assert answer.status_code == 415, kind


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/upload", "/gradio_api/info", "/gradio_api/heartbeat/x", "/gradio_api/queue/join",
     "/gradio_api/queue/status", "/gradio_api/file=/etc/passwd", "/config", "/openapi.json",
     "/gradio_api/dev/reload", "/gradio_api/startup-events", "/gradio_api/proxy=x", "/monitoring",
     "/gradio_api/run/predict", "/file=x", "/upload", "/theme.css",
     "/assets/index.js", "/static/img/logo.svg", "/robots.txt", "/docs", "/gradio_api/mcp"],
)  # fmt: skip
def test_of_gradio_only_the_icon_is_served(client, path):
    assert client.get(path).status_code == 404
    answer = client.post(path, files={"files": ("a.txt", b"x")})
    assert answer.status_code == 404
    assert client.put(path, content=b"x").status_code == 404


def test_the_page_is_constant_and_runs_no_other_scripts(client, space):
    page = client.get("/")
    assert "pwned" not in page.text
    assert "gradio" not in page.text.casefold()
    assert client.get("/api/me").json()["question"] == QUESTION
    policy = page.headers["content-security-policy"]
    scripts = next(part for part in policy.split(";") if part.strip().startswith("script-src"))
    assert "unsafe" not in scripts
    assert "sha256-" in scripts
    for path in ("/api/me", "/owner", space.owner_url, "/verdict", "/ballot/index.html"):
        assert "script-src 'self';" in client.get(path).headers["content-security-policy"], path


def test_images_of_the_repo_are_served_and_nothing_else_of_it(client):
    image = client.get("/picture/images/a%20b.png")
    assert (image.content, image.headers["content-type"]) == (PNG, "image/png")
    assert "script-src 'self'" in image.headers["content-security-policy"]
    assert image.headers["cross-origin-resource-policy"] == "same-origin"
    for path in ("images/odd.png", "images/large.png", "images/none.png", "palate.toml", "images",
                 "prompts", "..%2f..%2fx.png", "%2fetc%2fx.png"):  # fmt: skip
        assert client.get(f"/picture/{path}").status_code == 404, path


@pytest.mark.parametrize(
    "changes",
    [
        {"assignment_id": "ask:0000000000000000:0000000000000000"},
        {"assignment_id": "repeat"},
        {"assignment_id": None},
        {"event_id": "../../etc"},
        {"event_id": "\ud800" * 10},
        {"strength": 9},
        {"strength": "3"},
        {"milliseconds": 10**12},
        {"kind": "drop table"},
        {"kind": "rewrite", "text": "x" * 30_000},
        {"kind": "undo", "target": ["x"]},
        {"kind": "undo", "target": {}},
    ],
)
def test_forged_events_are_refused_one_by_one(client, changes):
    event = ask(client, ADA)
    fine = event | {"event_id": str(uuid.uuid4())}
    body = json.dumps({"events": [event | changes, fine]})
    answer = client.post("/api/events", content=body, headers=ADA)
    states = [r["state"] for r in answer.json()["results"]]
    assert sorted(states) == ["rejected", "saved"]


def test_a_clock_in_1970_and_another_name_change_nothing(client, space):
    bo = {"x-annotator": "Bo"}
    forged = {"time": "1970-01-01T00:00:00.000Z", "annotator": "p-other", "purpose": "gold"}
    event = ask(client, bo) | forged
    while (
        client.post("/api/events", json={"events": [event]}, headers=bo).json()["results"][0][
            "state"
        ]
        != "published"
    ):
        time.sleep(0.1)
    rows = Project.load(space.project_id).labels
    (stored,) = [e for e in rows if e.event_id == event["event_id"]]
    assert stored.time > "2026"
    assert stored.annotator != "p-other"
    assert stored.purpose == "ask"


def test_answers_have_security_headers(client):
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    for part in (
        "default-src 'self'",
        "object-src 'none'",
        "connect-src 'self'",
        "base-uri 'self'",
    ):
        assert part in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert client.get("/ballot/ballot.js").headers["cache-control"] == "no-cache"
    assert client.get("/ballot/../app.py").status_code == 404
    packed = client.get("/ballot/ballot.js")
    assert packed.headers["content-encoding"] == "gzip"
    plain = client.get("/ballot/ballot.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == packed.content
    same = {"if-none-match": packed.headers["etag"]}
    again = client.get("/ballot/ballot.js", headers=same)
    assert (again.status_code, again.content) == (304, b"")
    assert client.post("/ballot/ballot.js").status_code == 404
    assert "content-encoding" not in client.get("/ballot/inter.woff2").headers
    for folder in ("assets", "static", "ballot"):  # longer than a file's name can be
        assert client.get(f"/{folder}/{'9' * 5000}").status_code == 404


def test_what_a_space_writes_is_for_its_owner_alone(client, space):
    ask(client, ADA)
    folder = space.log.parent
    written = list(folder.rglob("*"))
    assert any(path.is_file() for path in written)
    assert [path for path in written if path.stat().st_mode & 0o077] == []
