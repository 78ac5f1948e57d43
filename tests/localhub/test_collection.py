"""Large files are deleted once no ref needs them, and never before."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hub_requests import commit_body, large, lfs_batch, oid_of, upload
from huggingface_hub import CommitOperationAdd, HfApi

from palate.localhub import LocalHub


@pytest.fixture
def own(tmp_path):
    """A Hub for this test only."""
    with LocalHub(tmp_path / "hub") as hub:
        yield hub


def client(hub: LocalHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.token)


def stored(hub: LocalHub) -> set[str]:
    return {file.name for file in (hub.root / "lfs").glob("*/*/*")}


def let_a_day_pass(hub: LocalHub) -> None:
    with closing(sqlite3.connect(hub.root / "hub.db")) as db, db:
        db.execute("UPDATE lfs_promise SET at = at - 90000")


def make_it_sweep(api: HfApi) -> None:
    """Delete a branch, after which the Hub deletes unused large files."""
    api.create_repo("me/other", exist_ok=True)
    api.create_branch("me/other", branch="b")
    api.delete_branch("me/other", branch="b")


def announce(wire, repo: str, content: bytes) -> dict:
    """Return the actions for an upload; {} if the Hub has the content."""
    body = lfs_batch("upload", oid_of(content), len(content))
    answer = wire.send("POST", f"/{repo}.git/info/lfs/objects/batch", body).json
    return answer["objects"][0].get("actions", {})


def put(wire, actions: dict, content: bytes) -> int:
    address = urlsplit(actions["upload"]["href"])
    return wire.send("PUT", f"{address.path}?{address.query}", content).status


def commit(wire, repo: str, content: bytes) -> int:
    body = commit_body(large("w.bin", oid_of(content)))
    return wire.send("POST", f"/api/models/{repo}/commit/main", body).status


def test_branches_and_tags_keep_their_files(own):
    api, repo = client(own), "me/x"
    api.create_repo(repo)
    api.create_branch(repo, branch="b")
    api.create_branch(repo, branch="c")
    upload(api, repo, "w.bin", b"\0old", revision="b")
    upload(api, repo, "w.bin", b"\0new", revision="b")
    upload(api, repo, "w.bin", b"\0tagged", revision="c")
    upload(api, repo, "w.bin", b"\0main")
    api.create_tag(repo, tag="v1", revision="c")
    everything = {oid_of(c) for c in (b"\0old", b"\0new", b"\0tagged", b"\0main")}
    assert stored(own) == everything
    api.delete_branch(repo, branch="c")
    assert stored(own) == everything
    api.delete_branch(repo, branch="b")  # its whole history goes
    assert stored(own) == {oid_of(b"\0tagged"), oid_of(b"\0main")}
    api.delete_tag(repo, tag="v1")
    assert stored(own) == {oid_of(b"\0main")}
    assert api.file_exists(repo, "w.bin")
    api.delete_repo(repo)
    assert stored(own) == set()


def test_content_in_two_repos_goes_with_the_second(own):
    api, weights = client(own), os.urandom(100)
    for name in ("me/a", "me/b"):
        api.create_repo(name)
        api.upload_file(path_or_fileobj=weights, path_in_repo="w.bin", repo_id=name)
    api.delete_repo("me/a")
    assert stored(own) == {oid_of(weights)}
    api.delete_repo("me/b")
    assert stored(own) == set()


def test_an_upload_waits_a_day_for_its_commit(own, connect):
    api, wire, weights = client(own), connect(own.endpoint, own.token), os.urandom(100)
    api.create_repo("me/x")
    assert put(wire, announce(wire, "me/x", weights), weights) == 200
    make_it_sweep(api)
    own.stop()
    own.start()
    make_it_sweep(api)
    assert stored(own) == {oid_of(weights)}
    let_a_day_pass(own)
    make_it_sweep(api)
    assert stored(own) == set()
    assert commit(wire, "me/x", weights) == 400
    assert put(wire, announce(wire, "me/x", weights), weights) == 200
    assert commit(wire, "me/x", weights) == 200
    let_a_day_pass(own)
    own.stop()
    own.start()
    assert stored(own) == {oid_of(weights)}


def test_an_upload_that_is_waived_stays_waived(own, connect):
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
    assert "upload" in announce(
        you, "you/c", weights
    )  # that somebody else has it does not help them


def test_a_link_ends_with_its_repo(own, connect):
    api, wire = client(own), connect(own.endpoint, own.token)
    for name in ("me/a", "me/b"):
        api.create_repo(name)
        api.upload_file(path_or_fileobj=b"\0", path_in_repo="w.bin", repo_id=name)
    body = lfs_batch("download", oid_of(b"\0"), 1)
    answer = wire.send("POST", "/me/a.git/info/lfs/objects/batch", body).json
    address = urlsplit(answer["objects"][0]["actions"]["download"]["href"])
    assert wire.get(f"{address.path}?{address.query}").status == 200
    api.delete_repo("me/a")
    assert wire.get(f"{address.path}?{address.query}").status == 404


def test_nothing_is_deleted_during_an_upload(own):
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
