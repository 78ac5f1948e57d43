"""Large files are deleted once no ref needs them, and never before."""

import hashlib
import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import EntryNotFoundError

from palate.localhub import LocalHub


@pytest.fixture
def own(tmp_path):
    """A Hub of the test's own."""
    with LocalHub(tmp_path / "hub") as hub:
        yield hub


def client(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.token)


def stored(hub: LocalHub) -> set[str]:
    return {file.name for file in (hub.root / "lfs").glob("*/*/*")}


def oid(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def let_a_day_pass(hub: LocalHub) -> None:
    with closing(sqlite3.connect(hub.root / "hub.db")) as db, db:
        db.execute("UPDATE lfs_promise SET at = at - 90000")


def squash_something(api: HfApi) -> None:
    """A reason for the Hub to look at what it keeps."""
    api.create_repo("me/other", exist_ok=True)
    api.super_squash_history("me/other")


def announce(wire, repo: str, content: bytes) -> dict:
    """Ask where to upload; {} where that is not necessary."""
    asked = {"operation": "upload", "objects": [{"oid": oid(content), "size": len(content)}]}
    answer = wire.send("POST", f"/{repo}.git/info/lfs/objects/batch", asked).json
    return answer["objects"][0].get("actions", {})


def put(wire, actions: dict, content: bytes) -> int:
    address = urlsplit(actions["upload"]["href"])
    return wire.send("PUT", f"{address.path}?{address.query}", content).status


def commit(wire, repo: str, content: bytes) -> int:
    header = {"key": "header", "value": {"summary": "x"}}
    file = {"path": "w.bin", "algo": "sha256", "oid": oid(content), "size": len(content)}
    lines = (header, {"key": "lfsFile", "value": file})
    body = "\n".join(map(json.dumps, lines)).encode()
    return wire.send("POST", f"/api/models/{repo}/commit/main", body).status


def test_branches_tags_and_pull_requests_keep_their_files(own):
    api, repo = client(own), "me/x"
    api.create_repo(repo)
    api.create_branch(repo, branch="b")

    def upload(content: bytes, **kwargs):
        add = [CommitOperationAdd("w.bin", content)]
        return api.create_commit(repo, add, commit_message=content.decode(), **kwargs)

    branch, pull = upload(b"branch", revision="b"), upload(b"pull", create_pr=True)
    upload(b"tagged")
    api.create_tag(repo, tag="v1")
    old = upload(b"old").oid
    upload(b"new")
    assert stored(own) == set(map(oid, (b"branch", b"pull", b"tagged", b"old", b"new")))
    api.super_squash_history(repo)
    assert stored(own) == set(map(oid, (b"branch", b"pull", b"tagged", b"new")))
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "w.bin", revision=old)
    api.delete_tag(repo, tag="v1")
    assert stored(own) == set(map(oid, (b"branch", b"pull", b"new")))
    api.delete_branch(repo, branch="b")
    assert stored(own) == set(map(oid, (b"pull", b"new")))
    assert api.file_exists(repo, "w.bin", revision=pull.pr_revision)
    assert branch.oid != old
    api.delete_repo(repo)
    assert stored(own) == set()


def test_what_is_in_two_repos_goes_with_the_second(own):
    api, weights = client(own), os.urandom(100)
    for name in ("me/a", "me/b"):
        api.create_repo(name)
        api.upload_file(path_or_fileobj=weights, path_in_repo="w.bin", repo_id=name)
    api.delete_file("w.bin", "me/a")
    api.super_squash_history("me/a")
    assert stored(own) == {oid(weights)}
    api.delete_repo("me/b")
    assert stored(own) == set()


def test_an_upload_waits_a_day_for_its_commit(own, connect):
    api, wire, weights = client(own), connect(own.endpoint, own.token), os.urandom(100)
    api.create_repo("me/x")
    assert put(wire, announce(wire, "me/x", weights), weights) == 200
    squash_something(api)
    own.stop()
    own.start()
    squash_something(api)
    assert stored(own) == {oid(weights)}
    let_a_day_pass(own)
    squash_something(api)
    assert stored(own) == set()
    assert commit(wire, "me/x", weights) == 400
    assert put(wire, announce(wire, "me/x", weights), weights) == 200
    assert commit(wire, "me/x", weights) == 200
    let_a_day_pass(own)
    own.stop()
    own.start()
    assert stored(own) == {oid(weights)}


def test_who_is_told_not_to_upload_can_rely_on_it(own, connect):
    api, wire, weights = client(own), connect(own.endpoint, own.token), os.urandom(100)
    for name in ("me/a", "me/b"):
        api.create_repo(name)
    api.upload_file(path_or_fileobj=weights, path_in_repo="w.bin", repo_id="me/a")
    assert announce(wire, "me/b", weights) == {}
    api.delete_repo("me/a")
    assert commit(wire, "me/b", weights) == 200
    assert wire.get("/me/b/resolve/main/w.bin").body == weights
    you = connect(own.endpoint, own.tokens["you"])
    you.send("POST", "/api/repos/create", {"name": "c"})
    assert "upload" in announce(you, "you/c", weights)  # it is nothing to them that it is here


def test_a_link_ends_with_its_repo(own, connect):
    api, wire = client(own), connect(own.endpoint, own.token)
    for name in ("me/a", "me/b"):
        api.create_repo(name)
        api.upload_file(path_or_fileobj=b"\0", path_in_repo="w.bin", repo_id=name)
    asked = {"operation": "download", "objects": [{"oid": oid(b"\0"), "size": 1}]}
    answer = wire.send("POST", "/me/a.git/info/lfs/objects/batch", asked).json
    address = urlsplit(answer["objects"][0]["actions"]["download"]["href"])
    assert wire.get(f"{address.path}?{address.query}").status == 200
    api.delete_repo("me/a")
    assert wire.get(f"{address.path}?{address.query}").status == 404


def test_nothing_is_deleted_under_the_hands_of_an_upload(own):
    api = client(own)
    for i in range(3):
        api.create_repo(f"me/w{i}")

    def write(i: int) -> list[str]:
        done = []
        for n in range(8):
            add = [CommitOperationAdd(f"{n}.bin", b"\0shared %d" % n)]
            api.create_commit(f"me/w{i}", add, commit_message="x")
            done.append(f"{n}.bin")
        return done

    def erase(i: int) -> None:
        for n in range(8):
            repo = f"me/e{i}-{n}"
            api.create_repo(repo)
            api.upload_file(path_or_fileobj=b"\0shared %d" % n, path_in_repo="w.bin", repo_id=repo)
            api.delete_repo(repo)

    with ThreadPoolExecutor(5) as pool:
        erasers = [pool.submit(erase, i) for i in range(2)]
        written = list(pool.map(write, range(3)))
        for eraser in erasers:
            eraser.result()
    for i, names in enumerate(written):
        for n, name in enumerate(names):
            copy = Path(api.hf_hub_download(f"me/w{i}", name))
            assert copy.read_bytes() == b"\0shared %d" % n
    assert len(stored(own)) == 8
