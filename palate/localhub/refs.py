"""Branches, tags, and the history of a branch."""

from pathlib import Path

import pygit2

from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.git import check_text, commit_at, find_ref, write_commit

REPO = "/api/{kind}/{ns}/{name}"


@router.route("GET", REPO + "/refs")
def refs(call: Call) -> dict:
    """List branches and tags, and on request the pull requests of an earlier version's Hub."""
    git = call.repo().git()

    def under(prefix: str, removed: str) -> list[dict[str, str]]:
        full = sorted(ref for ref in git.references if ref.startswith(prefix))
        oids = {ref: str(git.references[ref].peel(pygit2.Commit).id) for ref in full}
        return [
            {"name": ref.removeprefix(removed), "ref": ref, "targetCommit": oid}
            for ref, oid in oids.items()
        ]

    answer = {
        "branches": under("refs/heads/", "refs/heads/"),
        "tags": under("refs/tags/", "refs/tags/"),
        "converts": [],
    }
    return answer | ({"pullRequests": under("refs/pr/", "")} if call.flag("include_prs") else {})


@router.route("POST DELETE", REPO + "/branch/{branch}")
def branch(call: Call) -> dict:
    repo, name = call.repo(write=True), call.params["branch"]
    ref = f"refs/heads/{name}"
    with call.hub.repos.lock(repo) as git:
        if call.method == "DELETE":
            if name == "main":
                raise HubError(403, "Cannot delete the branch main")
            _existing(git, ref).delete()
            call.hub.lfs.prune(repo, git)
            return _swept(call)
        _check_free(git, ref)
        git.references.create(ref, commit_at(git, call.json.text("startingPoint", "main")).id)
    return {}


@router.route("POST", REPO + "/tag/{rev}")
def add_tag(call: Call) -> dict:
    repo, user, body = call.repo(write=True), call.need_user(), call.json
    ref = f"refs/tags/{body.text('tag')}"
    with call.hub.repos.lock(repo) as git:
        commit = commit_at(git, call.params["rev"])
        _check_free(git, ref)
        if message := check_text(body.text("message", "")):
            who = pygit2.Signature(user.name, f"{user.name}@users.noreply.local")
            git.create_tag(
                body.text("tag"), commit.id, pygit2.enums.ObjectType.COMMIT, who, message
            )
        else:
            git.references.create(ref, commit.id)
    return {}


@router.route("DELETE", REPO + "/tag/{tag}")
def delete_tag(call: Call) -> dict:
    repo = call.repo(write=True)
    with call.hub.repos.lock(repo) as git:
        _existing(git, f"refs/tags/{call.params['tag']}").delete()
        call.hub.lfs.prune(repo, git)
    return _swept(call)


@router.route("POST", REPO + "/super-squash/{rev}")
def super_squash(call: Call) -> dict:
    """Replace a branch's history by one commit, and delete what no ref reaches any more."""
    repo, user = call.repo(write=True), call.need_user()
    message = call.json.text("message", "") or f"Super-squash branch {call.params['rev']!r}"
    with call.hub.repos.lock(repo) as git:
        branch = _existing(git, f"refs/heads/{call.params['rev']}")
        tree = branch.peel(pygit2.Commit).tree.id
        write_commit(git, branch.name, user.name, message, tree, [])
        _delete_unreachable(git)
        call.hub.lfs.prune(repo, git)
    return _swept(call)


def _swept(call: Call) -> dict:
    """Return the answer to a request after which some large files may be unused."""
    call.hub.lfs.sweep()
    return {}


def _existing(git: pygit2.Repository, ref: str) -> pygit2.Reference:
    reference = find_ref(git, ref)
    if reference is None:
        raise HubError(404, f"Invalid rev id: {ref}", "RevisionNotFound")
    return reference


def _check_free(git: pygit2.Repository, ref: str) -> None:
    """Raise `HubError` 400 or 409 for an invalid or taken name."""
    name = ref.split("/", 2)[2]
    # a name that starts with refs/ would be mistaken for another ref
    bad = (
        "\0" in ref
        or name.startswith("refs/")
        or any(len(p.encode()) > 200 for p in name.split("/"))
    )
    if bad or len(name) > 500 or not pygit2.reference_is_valid_name(ref):
        raise HubError(400, f"Invalid name for a branch or tag: {ref[:200]}")
    if find_ref(git, ref):
        raise HubError(409, f"Reference {ref} already exists")
    for other in git.references:  # git stores refs as files: a file cannot be a folder too
        if other.startswith(f"{ref}/") or ref.startswith(f"{other}/"):
            raise HubError(409, f"Reference {other} exists, so {ref} cannot")


def _delete_unreachable(git: pygit2.Repository) -> None:
    """Delete the objects that no ref reaches; the caller holds the repo's lock.

    Every object of a Hub's repo is one file: nothing here writes packs.
    """
    reached: set[pygit2.Oid] = set()
    for name in git.references:
        target = git[git.references[name].resolve().target]
        reached.add(target.id)  # an annotated tag is an object, too
        for commit in git.walk(target.peel(pygit2.Commit).id):
            if commit.id not in reached or commit.id == target.id:
                reached.add(commit.id)
                _reach(commit.tree, reached)
    for oid in [oid for oid in git if oid not in reached]:
        name = str(oid)
        Path(git.path, "objects", name[:2], name[2:]).unlink(missing_ok=True)


def _reach(tree: pygit2.Tree, reached: set[pygit2.Oid]) -> None:
    if tree.id in reached:
        return
    reached.add(tree.id)
    for entry in tree:
        if isinstance(entry, pygit2.Tree):
            _reach(entry, reached)
        else:
            reached.add(entry.id)
