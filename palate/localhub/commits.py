"""Commits as clients send them: checked as a whole, then applied as a whole."""

import base64
import re
from dataclasses import dataclass, field

import pygit2

from palate.localhub import metadata
from palate.localhub.calls import Body, Call, router
from palate.localhub.discussions import add_commit_event, open_discussion
from palate.localhub.errors import HubError
from palate.localhub.git import (
    Change,
    Pointer,
    check_path,
    check_text,
    commit_at,
    edited,
    find_commit,
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

REGULAR_LIMIT = 10_000_000  # bytes; larger files are LFS's whatever their name


@dataclass
class Proposal:
    """What a client asks to commit; `parent` is the commit that it believes to be the newest."""

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
    """For each file that a client wants to commit: by LFS or in the commit, or not at all."""
    call.need_user()
    git = call.repo(write=not call.flag("create_pr")).git()
    commit = commit_at(git, call.params["rev"])
    patterns, body = lfs_patterns(commit), call.json
    gitignore = body.text("gitIgnore", None) or read_text(commit.tree, ".gitignore") or ""
    files = []
    for file in body.objects("files"):
        path = check_path(file.text("path"))
        large = file.integer("size", 0) > REGULAR_LIMIT or b"\0" in _decode(file.text("sample", ""))
        mode = "lfs" if large or matches(path, patterns) else "regular"
        answer = {"path": path, "uploadMode": mode, "shouldIgnore": ignored(path, gitignore)}
        known = lookup(commit.tree, path)
        if isinstance(known, pygit2.Blob):
            link = pointer(known)
            answer["oid"] = link.oid if link else str(known.id)
        files.append(answer)
    return {"files": files, "commitOid": str(commit.id)}


@router.route("POST", "/api/{kind}/{ns}/{name}/commit/{rev}")
def commit(call: Call) -> dict:
    """Apply a commit to a branch or a pull request, or open a pull request with it."""
    user, create_pr = call.need_user(), call.flag("create_pr")
    repo = call.repo(write=not create_pr)
    call.hub.need_space(len(call.body))
    proposal = _proposal(call, repo)
    _check_card(proposal)
    with call.hub.repos.lock(repo) as git:
        ref, base = _target(git, call.params["rev"], create_pr)
        if proposal.parent and proposal.parent != str(base.id):
            named = find_commit(git, proposal.parent) if create_pr else None
            if named is None:
                message = "The branch was updated since you opened this page."
                raise HubError(412, f"{message} Please refresh and try again.")
            base = named
        index = edited(base.tree, proposal.changes)  # the last that may be refused
        call.hub.lfs.link(repo, user, proposal.large)
        tree, pull = write_tree(git, index, proposal.changes), None
        if create_pr:
            number = call.hub.next_discussion(repo)
            ref = f"refs/pr/{number}"
        oid = write_commit(git, ref, user.name, proposal.message, tree, [base.id])
        if create_pr:
            title, text = proposal.summary, proposal.description
            pull = open_discussion(call, repo, title, text, base=base, status="open")
        if number := re.fullmatch(r"refs/pr/(\d+)", ref):
            add_commit_event(call, repo, int(number[1]), proposal.summary, str(oid))
        call.hub.lfs.keep_promises(repo, user, proposal.large.values())
    if repo.kind == "space" and ref == "refs/heads/main" and repo.settings.get("stage") != "PAUSED":
        call.hub.hosting.deploy(repo)
    web = f"{call.base}{repo.path}"
    answer = {"success": True, "commitOid": str(oid), "commitUrl": f"{web}/commit/{oid}"}
    if pull:
        answer["pullRequestUrl"] = f"{web}/discussions/{pull['num']}"
    return answer | {"hookOutput": ""}


def _target(git: pygit2.Repository, rev: str, create_pr: bool) -> tuple[str, pygit2.Commit]:
    """The ref to move and the commit it is at."""
    base = commit_at(git, rev)
    for ref in (f"refs/heads/{rev}", rev):
        if ref.startswith(("refs/heads/", "refs/pr/")) and find_ref(git, ref):
            return ref, base
    if create_pr:
        raise HubError(404, f"Invalid rev id: {rev}", "RevisionNotFound")
    raise HubError(400, f"Cannot commit to {rev}: it is a tag or a commit, not a branch")


def _proposal(call: Call, repo: Repo) -> Proposal:
    proposal = Proposal()
    for raw in filter(bytes.strip, call.body.split(b"\n")):
        line = Body.parse(raw)
        key, value = line.text("key"), Body(line.value.get("value"))
        if key == "header":
            proposal.summary = check_text(value.text("summary"))
            proposal.description = check_text(value.text("description", ""))
            proposal.parent = value.text("parentCommit", None)
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
        link = parse_pointer(content)  # it counts as one however it was sent
        return _large(call, repo, path, link.oid) if link else Change("add", path, content)
    if key == "lfsFile":
        oid = value.text("oid")
        if not re.fullmatch(r"[0-9a-f]{64}", oid):
            raise HubError(400, f"{path}: the oid has to be a sha256 of 64 hexadecimal digits")
        return _large(call, repo, path, oid)
    raise HubError(400, f"Unknown operation {key[:40]!r} in a commit")


def _large(call: Call, repo: Repo, path: str, oid: str) -> Change:
    size = call.hub.lfs.size(repo, call.need_user(), oid, path)
    return Change("add", path, Pointer(oid, size).text(), oid)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # not ASCII either
        raise HubError(400, "Content that is not valid base64") from None


def _check_card(proposal: Proposal) -> None:
    for change in proposal.changes:
        card = change.path == "README.md" and change.content.decode("utf-8", "replace")
        if card and (problem := metadata.problem(card)):
            raise HubError(400, f"Invalid metadata in README.md: {problem}")
