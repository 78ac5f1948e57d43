"""Nothing that a client sends breaks the Hub, and nothing in a repo runs in a browser."""

import json
import re

import pytest
from hub_requests import change, commit_body
from huggingface_hub import CommitOperationAdd


@pytest.mark.parametrize(
    "path",
    [
        *("../x", "a/../../x", "/etc/passwd", "a//b", "./a", ".git/config", "a/.GIT/config"),
        *("a\\b", "a\0b", "a\nb", "", "a/", "a/" + "x" * 300),
    ],
)
def test_bad_paths(wire, private, path):
    body = commit_body(change("file", path=path, content="x"))
    assert wire.send("POST", f"/api/models/{private}/commit/main", body).status == 422
    files = {"files": [{"path": path, "size": 1, "sample": ""}]}
    assert wire.send("POST", f"/api/models/{private}/preupload/main", files).status == 422


@pytest.mark.parametrize(
    "path",
    [
        "/{repo}/resolve/main/../../../users.json",
        "/{repo}/resolve/main/%2e%2e%2f%2e%2e%2fusers.json",
        "/{repo}/resolve/main/%2Fetc%2Fpasswd",
        "/{repo}/resolve/..%2F..%2Fhub.db/a.txt",
        "/{repo}/resolve/main/a.txt/more",
        "/{repo}/resolve/main/",
        "/{repo}/resolve/%00/a.txt",
        "/{repo}/resolve/HEAD/a.txt",
        "/{repo}/tree/main/a.txt",
        "/{repo}/tree/nope",
        "/{repo}/commit/0000000",
        "/static/../hub.db",
        "/static/%2e%2e%2fhub.css",
        "/datasets/../users.json/x",
        "/_lfs/..%2F..%2Fusers.json",
        "/api/models/{repo}/tree/main/..%2F..",
        "/api/models/{repo}/revision/%ff%fe",
        "/api/models/{repo}/nope",
        "/api/jobs/me/..%2F..%2Fusers",
        "/me/" + "x" * 5000,
    ],
)
def test_reading_stays_inside_the_repo(wire, private, path):
    for how in (wire.get, wire.page):
        answer = how(path.format(repo=private))
        assert answer.status in (403, 404), (path, answer.text)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/repos/create", b"{"),
        ("POST", "/api/repos/create", b"[]"),
        ("POST", "/api/repos/create", b'{"name": NaN}'),
        ("POST", "/api/repos/create", b'{"name": "\\ud800"}'),
        ("POST", "/api/repos/create", b"\xff\xfe\x00"),
        ("POST", "/api/repos/create", b"[" * 100_000),
        ("POST", "/api/repos/create", {}),
        ("POST", "/api/repos/create", {"name": 3}),
        ("POST", "/api/repos/create", {"name": "a b"}),
        ("POST", "/api/repos/create", {"name": "../x"}),
        ("POST", "/api/repos/create", {"name": "x.git"}),
        ("POST", "/api/repos/create", {"name": "x", "type": "bucket"}),
        ("POST", "/api/repos/create", {"name": "x", "type": "space"}),
        ("POST", "/api/repos/create", {"name": "x", "private": "yes"}),
        ("POST", "/api/repos/move", {"fromRepo": "{repo}", "toRepo": "nowhere"}),
        ("POST", "/api/models/{repo}/commit/main", b""),
        ("POST", "/api/models/{repo}/commit/main", b"no json\n"),
        ("POST", "/api/models/{repo}/commit/main", {"key": "header", "value": {}}),
        ("POST", "/api/models/{repo}/commit/main", {"key": "header", "value": {"summary": " "}}),
        ("POST", "/api/models/{repo}/commit/main", {"key": "file", "value": []}),
        ("POST", "/api/models/{repo}/preupload/main", {"files": 3}),
        ("POST", "/api/models/{repo}/preupload/main", {"files": [{"path": "a", "sample": "*"}]}),
        ("POST", "/api/models/{repo}/tag/main", {"tag": "a b"}),
        ("POST", "/api/models/{repo}/tag/main", {"tag": ""}),
        ("POST", "/api/models/{repo}/branch/x%20y", {}),
        ("POST", "/api/models/{repo}/branch/.lock", {}),
        ("PUT", "/api/models/{repo}/settings", {"gated": "maybe"}),
        ("POST", "/api/validate-yaml", {"content": "---\n- a\n---\n"}),
        ("POST", "/api/validate-yaml", {"content": "---\na: &a [1]\nb: [*a, *a]\n---\n"}),
        ("POST", "/api/validate-yaml", {"content": "---\na: 2024-99-99\n---\n"}),
        ("POST", "/api/validate-yaml", {"content": f"---\na: {'[' * 5000}\n---\n"}),
        ("POST", "/api/jobs/me", {"command": "echo"}),
        ("POST", "/api/jobs/me", {"command": []}),
        ("POST", "/api/jobs/me", {"command": ["a\0"]}),
        ("POST", "/api/jobs/me", {"command": ["true"], "environment": {"A=B": "x"}}),
        ("POST", "/api/jobs/me", {"command": ["true"], "timeoutSeconds": -1}),
        ("GET", "/api/models?limit=x", None),
        ("GET", "/api/models?limit=-1", None),
    ],
)
def test_malformed_requests(wire, private, method, path, body):
    if isinstance(body, dict):
        body = json.loads(json.dumps(body).replace("{repo}", private))
    answer = wire.send(method, path.replace("{repo}", private), body)
    assert answer.status == 400, answer.text
    assert answer.json["error"]


def test_other_methods_and_hosts(hub, wire, nobody, private):
    assert wire.send("PATCH", f"/api/models/{private}").status == 405
    assert (
        nobody.get("/", Host="evil.example").status == 421
    )  # a foreign name that resolves to this machine
    assert nobody.get("/", Host="a\tb").status == 400


def test_hostile_metadata_does_not_break_the_listing(api, wire, private):
    card = "---\ntags: {a: .nan}\nlanguage: [1, 2]\nmodel-index: []\nx: 0x" + "f" * 50 + "\n---\n"
    api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=private)
    for path in (f"/api/models/{private}", "/api/models?full=true", f"/{private}", "/"):
        assert wire.get(path).status == 200


def test_ranges_of_regular_files(wire, private):
    def part(bounds: str) -> tuple[int, bytes, str | None]:
        answer = wire.get(f"/{private}/resolve/main/a.txt", Range=bounds)
        return answer.status, answer.body, answer.headers.get("content-range")

    assert part("bytes=1-2") == (206, b"el", "bytes 1-2/5")
    assert part("bytes=3-") == (206, b"lo", "bytes 3-4/5")
    assert part("bytes=-2") == (206, b"lo", "bytes 3-4/5")
    assert part("bytes=3-99") == (206, b"lo", "bytes 3-4/5")
    assert part("bytes=5-")[0] == 416
    for ignored in ("bytes=-", "bytes=a-b", "lines=1-2"):
        assert part(ignored)[:2] == (200, b"hello")


def test_what_repos_hold_cannot_run_here(api, wire, repo_id):
    files = {
        "a.html": b"<script>alert(1)</script>",
        "a.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "a.js": b"alert(1)",
        "a.pdf": b"%PDF-1.4 \xff\0",
    }
    api.create_repo(repo_id)
    changes = [CommitOperationAdd(name, content) for name, content in files.items()]
    api.create_commit(repo_id, changes, commit_message="hostile")
    kinds = {}
    for name in files:
        answer = wire.get(f"/{repo_id}/resolve/main/{name}")
        assert re.match("sandbox; default-src 'none'", answer.headers["content-security-policy"])
        assert answer.headers["x-content-type-options"] == "nosniff"
        kinds[name] = answer.headers["content-type"].partition(";")[0]
    assert kinds == {
        "a.html": "text/plain",
        "a.svg": "image/svg+xml",
        "a.js": "text/plain",
        "a.pdf": "application/octet-stream",
    }
