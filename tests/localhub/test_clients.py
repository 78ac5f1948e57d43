"""Round trips of the unmodified client."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_requests import status_of, upload
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    hf_hub_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


def test_whoami(api):
    me = api.whoami()
    assert me["name"] == "me"
    assert [org["name"] for org in me["orgs"]] == ["my-org"]


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_create_move_and_delete(api, repo_id, kind):
    sdk = {"space_sdk": "gradio"} if kind == "space" else {}
    api.create_repo(repo_id, repo_type=kind, **sdk)
    api.create_repo(repo_id, repo_type=kind, exist_ok=True, **sdk)
    assert status_of(api.create_repo, repo_id, repo_type=kind, **sdk) == 409
    upload(api, repo_id, "a.txt", b"a", repo_type=kind)
    moved = repo_id.replace("me/", "my-org/") + "-moved"
    api.move_repo(repo_id, moved, repo_type=kind)
    assert api.repo_info(repo_id, repo_type=kind).id == moved
    old = hf_hub_download(repo_id, "a.txt", repo_type=kind, token=api.token)
    assert Path(old).read_bytes() == b"a"
    api.delete_repo(moved, repo_type=kind)
    assert not api.repo_exists(moved, repo_type=kind)
    assert not api.repo_exists(repo_id, repo_type=kind)


def test_delete_and_copy(api, repo):
    api.create_commit(
        repo,
        [CommitOperationAdd(p, p.encode()) for p in ("a.txt", "d/b.txt", "d/c.txt", "w.bin")],
        commit_message="add",
    )
    changes = [
        CommitOperationCopy("w.bin", "copy/w.bin"),
        CommitOperationDelete("a.txt"),
        CommitOperationDelete("d/", is_folder=True),
    ]
    api.create_commit(repo, changes, commit_message="change")
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "copy/w.bin", "w.bin"]
    missing = [CommitOperationDelete("nothing")]
    assert status_of(api.create_commit, repo, missing, commit_message="x") == 404


def test_commits_race(api, repo):
    parent = api.model_info(repo).sha

    def commit(i: int, parent: str | None) -> int:
        files = [CommitOperationAdd(f"{'p' if parent else 'n'}{i}", b"%d" % i)]
        return status_of(
            api.create_commit, repo, files, commit_message="race", parent_commit=parent
        )

    with ThreadPoolExecutor(8) as pool:
        guarded = list(pool.map(lambda i: commit(i, parent), range(8)))
        free = list(pool.map(lambda i: commit(i, None), range(8)))
    assert sorted(guarded) == [200] + [412] * 7
    assert free == [200] * 8
    files = api.list_repo_files(repo)
    assert sum(f.startswith("n") for f in files) == 8  # none was lost
    with pytest.raises(HfHubHTTPError, match="Please refresh"):
        api.create_commit(
            repo, [CommitOperationAdd("x", b"")], commit_message="x", parent_commit=parent
        )


def test_branches_tags_and_history(api, repo):
    upload(api, repo, "a.txt", b"old")
    api.create_tag(repo, tag="v1", tag_message="the first")
    api.create_branch(repo, branch="a/branch")
    upload(api, repo, "a.txt", b"new")
    upload(api, repo, "b.txt", b"b", revision="a/branch")
    old = hf_hub_download(repo, "a.txt", revision="v1", token=api.token)
    assert Path(old).read_bytes() == b"old"
    assert api.file_exists(repo, "b.txt", revision="a/branch")
    assert not api.file_exists(repo, "b.txt")
    refs = api.list_repo_refs(repo)
    assert [t.name for t in refs.tags] == ["v1"]
    assert sorted(b.name for b in refs.branches) == ["a/branch", "main"]
    assert status_of(api.create_tag, repo, tag="v1") == 409
    assert status_of(api.create_branch, repo, branch="x..y") == 400
    assert status_of(api.delete_branch, repo, branch="main") == 403
    api.delete_tag(repo, tag="v1")
    api.delete_branch(repo, branch="a/branch")
    assert len(api.list_repo_refs(repo).branches) == 1
    assert len(api.list_repo_commits(repo)) == 3


def test_errors_are_the_clients_own(api, repo):
    for args, revision, error in (
        ((repo, "nope"), None, EntryNotFoundError),
        ((repo, ".gitattributes"), "nope", RevisionNotFoundError),
        (("me/nope", "a"), None, RepositoryNotFoundError),
    ):
        with pytest.raises(error):
            hf_hub_download(*args, revision=revision, token=api.token)


def test_spaces(api, stranger, repo_id):
    api.create_repo(repo_id, repo_type="space", space_sdk="gradio")
    api.add_space_secret(repo_id, "HF_TOKEN", "the-hidden-value", description="for pushing")
    api.add_space_variable(repo_id, "PROJECT", "me/titles")
    assert api.get_space_variables(repo_id)["PROJECT"].value == "me/titles"
    assert api.get_space_secrets(repo_id)["HF_TOKEN"].description == "for pushing"
    assert status_of(stranger.get_space_variables, repo_id) == 403
    assert api.request_space_hardware(repo_id, "t4-small").requested_hardware == "t4-small"
    api.restart_space(repo_id)
    assert api.wait_for_space(repo_id, timeout=30, poll_interval=0.1).stage == "NO_APP_FILE"
    assert api.pause_space(repo_id).stage == "PAUSED"
    api.delete_space_secret(repo_id, "HF_TOKEN")
    assert api.get_space_secrets(repo_id) == {}


def test_a_pull_request_is_refused_and_commits_nothing(api, repo):
    add = [CommitOperationAdd("a.txt", b"a")]
    before = api.model_info(repo).sha
    with pytest.raises(HfHubHTTPError, match="no pull requests"):
        api.create_commit(repo, add, commit_message="x", create_pr=True)
    assert api.model_info(repo).sha == before


def test_a_squashed_branch_keeps_its_files_and_nothing_else(api, repo):
    tagged = upload(api, repo, "in-a-tag.txt", b"tagged").oid
    api.create_tag(repo, tag="kept", revision=tagged)
    old = upload(api, repo, "gone.txt", b"what was there").oid
    for path in ("gone.txt", "in-a-tag.txt"):
        api.delete_file(path, repo)
    upload(api, repo, "w.bin", b"\0large")
    api.super_squash_history(repo, commit_message="One")
    assert [c.title for c in api.list_repo_commits(repo)] == ["One"]
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "w.bin"]
    file = hf_hub_download(repo, "w.bin", token=api.token)
    assert Path(file).read_bytes() == b"\0large"
    with pytest.raises(RevisionNotFoundError):
        api.repo_info(repo, revision=old)
    assert "in-a-tag.txt" in api.list_repo_files(repo, revision="kept")


def test_a_users_overview_has_the_id_that_apps_are_told(api):
    user = api.get_user_overview("me")
    assert (user.username, len(user._id)) == ("me", len(api.get_user_overview("you")._id))
    assert user._id != api.get_user_overview("you")._id
    assert status_of(api.get_user_overview, "nobody-here") == 404
