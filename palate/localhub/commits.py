"""Commits from clients: checked as a whole, then applied as a whole."""

import base64
import re
from dataclasses import dataclass, field

import pygit2

from palate.localhub import metadata
from palate.localhub.body import Body
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.git import (
    Change,
    Pointer,
    check_path,
    check_text,
    commit_at,
    edited,
    find_ref,
    ignored,
    lfs_patterns,
    lookup,
    matches,
    parse_pointer,
    pointer,
    read_text,
    write_commit,
    write_tree,
)
from palate.localhub.repos import Repo
from palate.localhub.webhooks import deliver

REGULAR_LIMIT = 10_000_000  # bytes; larger files go to LFS whatever their name
SHA256 = r"[0-9a-f]{64}"


@dataclass
class Proposal:
    """A commit that a client proposes; `parent` is the commit that it believes to be the newest."""

    summary: str = ""
    description: str = ""
    parent: str | None = None
    changes: list[Change] = field(default_factory=list)

    @property
    def message(self) -> str:
        return f"{self.summary}\n\n{self.description}" if self.description else self.summary

    @property
    def large(self) -> dict[str, str]:
        """The LFS objects among the changes, by path."""
        return {change.path: change.large for change in self.changes if change.large}


@router.route("POST", "/api/{kind}/{ns}/{name}/preupload/{rev}")
def preupload(call: Call) -> dict:
    """Say for each file that a client wants to commit: by LFS, in the commit, or not at all."""
    _refuse_pull_requests(call)
    git = call.repo(write=True).git()
    commit = commit_at(git, call.params["rev"])
    patterns, body = lfs_patterns(commit), call.json
    gitignore = body.optional_text("gitIgnore") or read_text(commit.tree, ".gitignore") or ""
    files = []
    for file in body.objects("files"):
        path = check_path(file.text("path"))
        large = file.integer("size", 0) > REGULAR_LIMIT or b"\0" in _decode(file.text("sample", ""))
        mode = "lfs" if large or matches(path, patterns) else "regular"
        answer = {"path": path, "uploadMode": mode, "shouldIgnore": ignored(path, gitignore)}
        present = lookup(commit.tree, path)
        if isinstance(present, pygit2.Blob):
            link = pointer(present)
            answer["oid"] = link.oid if link else str(present.id)
        files.append(answer)
    return {"files": files, "commitOid": str(commit.id)}


@router.route("POST", "/api/{kind}/{ns}/{name}/commit/{rev}")
def commit(call: Call) -> dict:
    """Apply a commit to a branch."""
    _refuse_pull_requests(call)
    repo, user = call.repo(write=True), call.need_user()
    call.hub.need_space(len(call.body))
    proposal = _proposal(call, repo)
    _check_card(proposal)
    with call.hub.repos.lock(repo) as git:
        ref, base = _target(git, call.params["rev"])
        if proposal.parent and proposal.parent != str(base.id):
            message = "The branch was updated since you opened this page."
            raise HubError(412, f"{message} Please refresh and try again.")
        index = edited(base.tree, proposal.changes)  # the last step that may be refused
        call.hub.lfs.link(repo, user, proposal.large)
        tree = write_tree(git, index, proposal.changes)
        oid = write_commit(git, ref, user.name, proposal.message, tree, [base.id])
        call.hub.lfs.keep_promises(repo, user, proposal.large.values())
    if repo.kind == "space" and ref == "refs/heads/main" and repo.settings.get("stage") != "PAUSED":
        call.hub.hosting.deploy(repo)
    deliver(call.hub, repo, ref, str(base.id), str(oid))
    url = f"{call.base}{repo.path}/commit/{oid}"
    return {"success": True, "commitOid": str(oid), "commitUrl": url, "hookOutput": ""}


def _refuse_pull_requests(call: Call) -> None:
    if call.flag("create_pr"):
        raise HubError(400, "This Hub has no pull requests: commit to a branch, without create_pr")


def _target(git: pygit2.Repository, rev: str) -> tuple[str, pygit2.Commit]:
    """Return the branch to move and the commit it is at."""
    base = commit_at(git, rev)
    for ref in (f"refs/heads/{rev}", rev):
        if ref.startswith("refs/heads/") and find_ref(git, ref):
            return ref, base
    raise HubError(400, f"Cannot commit to {rev}: it is a tag or a commit, not a branch")


def _proposal(call: Call, repo: Repo) -> Proposal:
    proposal = Proposal()
    for raw in filter(bytes.strip, call.body.split(b"\n")):
        line = Body.parse(raw)
        key, value = line.text("key"), Body(line.value.get("value"))
        if key == "header":
            proposal.summary = check_text(value.text("summary"))
            proposal.description = check_text(value.text("description", ""))
            proposal.parent = value.optional_text("parentCommit")
        else:
            proposal.changes.append(_change(call, repo, key, value))
    if not proposal.summary.strip():
        raise HubError(400, "A commit needs a summary: send a header line first")
    return proposal


def _change(call: Call, repo: Repo, key: str, value: Body) -> Change:
    path = value.text("path")
    if key == "deletedFolder":
        path = path.strip("/")
        return Change("delete folder", check_path(path) if path else "")
    check_path(path)
    if key == "deletedFile":
        return Change("delete", path)
    if key == "file":
        text = value.text("content")
        base64_ = value.text("encoding", "utf-8") == "base64"
        content = _decode(text) if base64_ else text.encode()
        link = parse_pointer(content)  # a pointer counts as one however it was sent
        return _large(call, repo, path, link.oid) if link else Change("add", path, content)
    if key == "lfsFile":
        oid = value.text("oid")
        if not re.fullmatch(SHA256, oid):
            raise HubError(400, f"{path}: the oid must be a sha256 of 64 hexadecimal digits")
        return _large(call, repo, path, oid)
    raise HubError(400, f"Unknown operation {key[:40]!r} in a commit")


def _large(call: Call, repo: Repo, path: str, oid: str) -> Change:
    size = call.hub.lfs.size(repo, call.need_user(), oid, path)
    return Change("add", path, Pointer(oid, size).text(), oid)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # also for text that is not ASCII
        raise HubError(400, "The content is not valid base64") from None


def _check_card(proposal: Proposal) -> None:
    for change in proposal.changes:
        card = change.path == "README.md" and change.content.decode("utf-8", "replace")
        if card and (problem := metadata.problem(card)):
            raise HubError(400, f"Invalid metadata in README.md: {problem}")
