"""A token sees only what its user may, and nothing that a client sends breaks the Hub."""

import hashlib
import json
import os
import re
import stat
from urllib.parse import urlsplit

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

WEIGHTS = b"\0 the private weights"
OID = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def private(api, repo_id) -> str:
    """A private model with a text and a large file."""
    api.create_repo(repo_id, private=True)
    files = [CommitOperationAdd("a.txt", b"hello"), CommitOperationAdd("w.bin", WEIGHTS)]
    api.create_commit(repo_id, files, commit_message="private")
    return repo_id


def commit_body(*changes: dict) -> bytes:
    lines = [{"key": "header", "value": {"summary": "x"}}, *changes]
    return "\n".join(map(json.dumps, lines)).encode()


def large(path: str, oid: str) -> dict:
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": oid, "size": 1}}


def batch(operation: str, oid: str, size: int) -> dict:
    return {"operation": operation, "objects": [{"oid": oid, "size": size}]}


def test_private_repos_are_as_absent(stranger, foreign_wire, nobody, private, api):
    with pytest.raises(RepositoryNotFoundError):
        stranger.model_info(private)
    assert private not in {m.id for m in stranger.list_models()}
    for path in (
        f"/{private}/resolve/main/a.txt",
        f"/{private}/resolve/main/w.bin",
        f"/{private}",
        f"/{private}/tree/main",
        f"/{private}/blob/main/a.txt",
        f"/api/models/{private}",
        f"/api/models/{private}/tree/main",
        f"/api/models/{private}/discussions",
        f"/{private}.git/info/refs?service=git-upload-pack",
    ):
        absent = path.replace(private, "me/never-was")
        for wire in (foreign_wire, nobody):
            answer, none = wire.get(path), wire.get(absent)
            assert answer.status == none.status == (401 if wire is nobody else 404), path
            assert answer.body == none.body
    assert foreign_wire.page(f"/{private}").status == 404
    api.update_repo_settings(private, private=False)
    assert stranger.model_info(private).id == private


def test_others_may_read_but_not_write_public_repos(api, stranger, repo_id):
    api.create_repo(repo_id)
    for attempt in (
        lambda: stranger.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo_id),
        lambda: stranger.delete_repo(repo_id),
        lambda: stranger.move_repo(repo_id, repo_id.replace("me/", "you/")),
        lambda: stranger.create_tag(repo_id, tag="v1"),
        lambda: stranger.create_branch(repo_id, branch="b"),
        lambda: stranger.update_repo_settings(repo_id, private=True),
        lambda: stranger.create_repo(f"{repo_id}-new"),
        lambda: stranger.create_repo("my-org/theirs"),
        lambda: stranger.super_squash_history(repo_id),
    ):
        with pytest.raises(HfHubHTTPError) as e:
            attempt()
        assert e.value.response.status_code == 403


def test_wrong_and_missing_tokens(hub, nobody):
    assert nobody.get("/api/whoami-v2").status == 401
    assert nobody.get("/api/whoami-v2", Authorization="Bearer hf_wrong").status == 401
    assert nobody.get("/api/whoami-v2", Authorization="Basic ???").status == 401
    assert nobody.send("POST", "/api/repos/create", {"name": "x"}).status == 401


def test_gated_repos_show_their_card_but_not_their_files(api, stranger, foreign_wire, repo_id):
    api.create_repo(repo_id)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id=repo_id)
    api.update_repo_settings(repo_id, gated="auto")
    assert stranger.model_info(repo_id).gated == "auto"
    refused = foreign_wire.get(f"/{repo_id}/resolve/main/a.txt")
    assert (refused.status, refused.headers["x-error-code"]) == (403, "GatedRepo")
    assert foreign_wire.page(f"/{repo_id}/blob/main/a.txt").status == 403


def test_a_hash_is_no_right_to_its_content(api, stranger, foreign_wire, private, repo_id):
    theirs = f"you/{repo_id.partition('/')[2]}"
    stranger.create_repo(theirs)
    link = foreign_wire.send(
        "POST", f"/api/models/{theirs}/commit/main", commit_body(large("w.bin", OID))
    )
    missing = foreign_wire.send(
        "POST", f"/api/models/{theirs}/commit/main", commit_body(large("w.bin", "0" * 64))
    )
    assert (link.status, link.json) == (missing.status, missing.json)  # not even a hint
    assert link.status == 400
    # asked to upload it, as if it were not there; then it is theirs as well
    path = f"/{theirs}.git/info/lfs/objects/batch"
    offered = foreign_wire.send("POST", path, batch("upload", OID, len(WEIGHTS))).json
    assert "upload" in offered["objects"][0]["actions"]
    refused = foreign_wire.send("POST", path, batch("download", OID, len(WEIGHTS))).json
    assert "error" in refused["objects"][0]
    stranger.upload_file(path_or_fileobj=WEIGHTS, path_in_repo="w.bin", repo_id=theirs)
    assert foreign_wire.get(f"/{theirs}/resolve/main/w.bin").body == WEIGHTS
    stranger.delete_repo(theirs)
    assert api.file_exists(private, "w.bin")


def test_large_file_addresses_are_signed(wire, nobody, private):
    path = f"/{private}.git/info/lfs/objects/batch"
    answer = wire.send("POST", path, batch("download", OID, len(WEIGHTS))).json
    address = urlsplit(answer["objects"][0]["actions"]["download"]["href"])
    signed = f"{address.path}?{address.query}"
    assert nobody.get(signed).body == WEIGHTS
    assert nobody.get(address.path).status == 403
    assert nobody.get(signed[:-1] + ("0" if signed[-1] != "0" else "1")).status == 403
    other = signed.replace(OID, "0" * 64)
    assert nobody.get(other).status == 403
    assert nobody.send("PUT", signed, b"x").status == 403  # a right to read is none to write
    assert wire.get(f"/_lfs/{OID}").status == 403
    assert wire.get(f"/_lfs/{OID}?ticket=%C3%A9.x").status == 403


def test_uploads_are_what_they_say(wire, private):
    path = f"/{private}.git/info/lfs/objects/batch"
    content = os.urandom(1000)
    oid = hashlib.sha256(content).hexdigest()
    asked = wire.send("POST", path, batch("upload", oid, 1000)).json["objects"][0]["actions"]
    address = urlsplit(asked["upload"]["href"])
    put = f"{address.path}?{address.query}"
    assert wire.send("PUT", put, content[:-1] + b"?").status == 400
    assert wire.send("PUT", put, content[:-1]).status == 400
    assert wire.send("PUT", put, content + b"?").status == 413
    linked = commit_body(large("new.bin", oid))
    assert wire.send("POST", f"/api/models/{private}/commit/main", linked).status == 400
    assert wire.send("PUT", put, content).status == 200
    assert wire.send("POST", f"/api/models/{private}/commit/main", linked).status == 200
    assert wire.get(f"/{private}/resolve/main/new.bin").body == content


def test_deleting_the_last_link_deletes_the_content(hub, api, repo_id):
    content = os.urandom(1000)
    oid = hashlib.sha256(content).hexdigest()
    file = hub.root / "lfs" / oid[:2] / oid[2:4] / oid
    for name in (repo_id, f"{repo_id}-2"):
        api.create_repo(name)
        api.upload_file(path_or_fileobj=content, path_in_repo="w.bin", repo_id=name)
    api.delete_repo(repo_id)
    assert file.exists()
    api.delete_repo(f"{repo_id}-2")
    assert not file.exists()


@pytest.mark.parametrize(
    "path",
    [
        *("../x", "a/../../x", "/etc/passwd", "a//b", "./a", ".git/config", "a/.GIT/config"),
        *("a\\b", "a\0b", "a\nb", "", "a/", "a/" + "x" * 300),
    ],
)
def test_bad_paths(wire, private, path):
    change = {"key": "file", "value": {"path": path, "content": "x"}}
    refused = wire.send("POST", f"/api/models/{private}/commit/main", commit_body(change))
    assert refused.status == 422
    asked = {"files": [{"path": path, "size": 1, "sample": ""}]}
    assert wire.send("POST", f"/api/models/{private}/preupload/main", asked).status == 422


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
        "/{repo}/discussions/99",
        "/{repo}/discussions/%C2%B2",
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
        ("POST", "/api/models/{repo}/discussions", {"title": []}),
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
    assert nobody.get("/", Host="evil.example").status == 421  # a name made to point here
    assert nobody.get("/", Host="a\tb").status == 400


def test_hostile_metadata_does_not_break_the_listing(api, wire, private):
    card = "---\ntags: {a: .nan}\nlanguage: [1, 2]\nmodel-index: []\nx: 0x" + "f" * 50 + "\n---\n"
    api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=private)
    for path in (f"/api/models/{private}", "/api/models?full=true", f"/{private}", "/"):
        assert wire.get(path).status == 200


def test_secrets_stay_on_the_hub(hub, api, wire, repo_id):
    value = "never-to-be-seen-again"
    api.create_repo(
        repo_id,
        repo_type="space",
        space_sdk="gradio",
        space_secrets=[{"key": "KEY", "value": value}],
    )
    for path in (f"/api/spaces/{repo_id}", f"/api/spaces/{repo_id}/secrets", f"/spaces/{repo_id}"):
        answer = wire.get(path)
        assert answer.status == 200
        assert value not in answer.text
    log = (hub.root / "hub.log").read_text()
    assert value not in log
    assert not any(token in log for token in hub.tokens.values())


def test_files_of_the_hub_are_its_owners_alone(hub):
    # pip and the jobs' clients choose the modes of what they write in here: the folder hides it
    behind = {hub.root / "spaces" / "environments", hub.root / "cache"}
    for file in (hub.root, *hub.root.rglob("*")):
        if behind & set(file.parents):
            continue
        assert not file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), file


def test_ranges_of_regular_files(wire, private):
    def part(wanted: str):
        answer = wire.get(f"/{private}/resolve/main/a.txt", Range=wanted)
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
