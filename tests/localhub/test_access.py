"""A token gives access to what its user may see, and to nothing else."""

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hub_requests import commit_body, large, lfs_batch, oid_of
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError


@pytest.fixture
def weights(api: HfApi, private: str) -> bytes:
    """The large file in the private model."""
    return Path(api.hf_hub_download(private, "w.bin")).read_bytes()


def test_private_repos_look_missing(stranger, foreign_wire, nobody, private, api):
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


def test_a_hash_gives_no_access_to_its_content(
    api, stranger, foreign_wire, private, weights, repo_id
):
    oid = oid_of(weights)
    theirs = f"you/{repo_id.partition('/')[2]}"
    stranger.create_repo(theirs)
    link = foreign_wire.send(
        "POST", f"/api/models/{theirs}/commit/main", commit_body(large("w.bin", oid))
    )
    missing = foreign_wire.send(
        "POST", f"/api/models/{theirs}/commit/main", commit_body(large("w.bin", "0" * 64))
    )
    assert (link.status, link.json) == (missing.status, missing.json)  # not even a hint
    assert link.status == 400
    # they are asked to upload it as if it were missing; then they own a copy
    path = f"/{theirs}.git/info/lfs/objects/batch"
    offered = foreign_wire.send("POST", path, lfs_batch("upload", oid, len(weights))).json
    assert "upload" in offered["objects"][0]["actions"]
    refused = foreign_wire.send("POST", path, lfs_batch("download", oid, len(weights))).json
    assert "error" in refused["objects"][0]
    stranger.upload_file(path_or_fileobj=weights, path_in_repo="w.bin", repo_id=theirs)
    assert foreign_wire.get(f"/{theirs}/resolve/main/w.bin").body == weights
    stranger.delete_repo(theirs)
    assert api.file_exists(private, "w.bin")


def test_large_file_addresses_are_signed(wire, nobody, private, weights):
    oid = oid_of(weights)
    path = f"/{private}.git/info/lfs/objects/batch"
    answer = wire.send("POST", path, lfs_batch("download", oid, len(weights))).json
    address = urlsplit(answer["objects"][0]["actions"]["download"]["href"])
    signed = f"{address.path}?{address.query}"
    assert nobody.get(signed).body == weights
    assert nobody.get(address.path).status == 403
    assert nobody.get(signed[:-1] + ("0" if signed[-1] != "0" else "1")).status == 403
    other = signed.replace(oid, "0" * 64)
    assert nobody.get(other).status == 403
    assert nobody.send("PUT", signed, b"x").status == 403  # a link to read does not allow to write
    assert wire.get(f"/_lfs/{oid}").status == 403
    assert wire.get(f"/_lfs/{oid}?ticket=%C3%A9.x").status == 403


def test_an_upload_must_be_what_was_announced(wire, private):
    path = f"/{private}.git/info/lfs/objects/batch"
    content = os.urandom(1000)
    oid = oid_of(content)
    answer = wire.send("POST", path, lfs_batch("upload", oid, 1000)).json
    address = urlsplit(answer["objects"][0]["actions"]["upload"]["href"])
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
    oid = oid_of(content)
    file = hub.root / "lfs" / oid[:2] / oid[2:4] / oid
    for name in (repo_id, f"{repo_id}-2"):
        api.create_repo(name)
        api.upload_file(path_or_fileobj=content, path_in_repo="w.bin", repo_id=name)
    api.delete_repo(repo_id)
    assert file.exists()
    api.delete_repo(f"{repo_id}-2")
    assert not file.exists()


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


def test_only_their_owner_may_read_the_hubs_files(hub):
    # pip and the clients of jobs choose the modes of their files: the folder protects them
    protected = {hub.root / "spaces" / "environments", hub.root / "cache"}
    for file in (hub.root, *hub.root.rglob("*")):
        if protected & set(file.parents):
            continue
        assert not file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), file
