"""Discussions and pull requests; a pull request's commits are at refs/pr/N."""

import json
import re
import secrets

import pygit2

from palate.localhub.accounts import owns
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.git import check_text, commit_at, now, write_commit
from palate.localhub.lfs import check_gate
from palate.localhub.repos import Repo

HERE = "/api/{kind}/{ns}/{name}/discussions"


def _event(call: Call, kind: str, **data: object) -> dict:
    author = {"name": call.need_user().name}
    head = {"id": secrets.token_hex(12), "type": kind, "createdAt": now(), "author": author}
    return head | {"data": data}


def _comment(call: Call, text: str) -> dict:
    author = {"name": call.need_user().name}
    latest = {"raw": text, "html": "", "updatedAt": now(), "author": author}
    return _event(call, "comment", edited=False, hidden=False, latest=latest, history=[])


def open_discussion(
    call: Call,
    repo: Repo,
    title: str,
    text: str,
    *,
    base: pygit2.Commit | None = None,
    status: str = "open",
) -> dict:
    """Store a new discussion, a pull request if it has a `base`; hold the repo's lock."""
    number = call.hub.next_discussion(repo)
    doc = {
        "num": number,
        "title": title,
        "author": {"name": call.need_user().name},
        "createdAt": now(),
        "status": status,
        "repo": {"name": repo.full_name, "type": repo.kind},
        "isPullRequest": base is not None,
        "events": [_comment(call, text)],
    }
    if base is not None:
        changes = {"base": "refs/heads/main", "mergeCommitId": None}
        doc |= {"changes": changes, "filesWithConflicts": [], "baseSha": str(base.id)}
    call.hub.db.run("INSERT INTO discussion VALUES(?,?,?)", repo.id, number, json.dumps(doc))
    return doc


def add_commit_event(call: Call, repo: Repo, number: int, subject: str, oid: str) -> None:
    doc = read(call, repo, str(number))
    doc["events"].append(_event(call, "commit", subject=subject, oid=oid))
    _write(call, repo, doc)


def read(call: Call, repo: Repo, number: str) -> dict:
    sql = "SELECT doc FROM discussion WHERE repo=? AND num=?"
    possible = re.fullmatch(r"[0-9]{1,9}", number)
    row = call.hub.db.one(sql, repo.id, int(number)) if possible else None
    if row is None:
        raise HubError(404, f"Discussion {number[:20]} not found")
    return json.loads(row["doc"])


def _write(call: Call, repo: Repo, doc: dict) -> None:
    sql = "UPDATE discussion SET doc=? WHERE repo=? AND num=?"
    call.hub.db.run(sql, json.dumps(doc), repo.id, doc["num"])


def all_of(call: Call, repo: Repo) -> list[dict]:
    sql = "SELECT doc FROM discussion WHERE repo=? ORDER BY num DESC"
    return [json.loads(row["doc"]) for row in call.hub.db.all(sql, repo.id)]


@router.route("GET", HERE)
def listing(call: Call) -> dict:
    def wanted(doc: dict) -> bool:
        kind, status, author = (
            call.arg("type", "all"),
            call.arg("status", "all"),
            call.arg("author"),
        )
        is_open = doc["status"] in ("open", "draft")
        return (
            (kind == "all" or (kind == "pull_request") == doc["isPullRequest"])
            and (status == "all" or (status == "open") == is_open)
            and (not author or author == doc["author"]["name"])
        )

    docs = list(filter(wanted, all_of(call, call.repo())))
    start = call.number("p", 0) * 10
    return {"discussions": docs[start : start + 10], "count": len(docs), "start": start}


@router.route("POST", HERE)
def create(call: Call) -> dict:
    repo, body = call.repo(), call.json
    call.need_user()
    title, text, pull = body.text("title"), body.text("description"), body.flag("pullRequest")
    check_text(title)  # it becomes the message of a merge
    with call.hub.repos.lock(repo) as git:
        base = commit_at(git, "main") if pull else None
        if base is not None:
            ref = f"refs/pr/{call.hub.next_discussion(repo)}"
            git.references.create(ref, base.id, force=True)
        status = "draft" if pull else "open"
        doc = open_discussion(call, repo, title, text, base=base, status=status)
    url = f"{call.base}{repo.path}/discussions/{doc['num']}"
    return {"num": doc["num"], "pullRequest": doc["isPullRequest"], "url": url}


@router.route("GET", HERE + "/{num}")
def details(call: Call) -> dict:
    repo = call.repo()
    doc = read(call, repo, call.params["num"])
    if doc["isPullRequest"] and call.flag("diff"):
        check_gate(call, repo)  # a diff shows what is in files
        git = repo.git()
        head = commit_at(git, f"refs/pr/{doc['num']}")
        base = commit_at(git, doc["baseSha"])
        doc["diff"] = base.tree.diff_to_tree(head.tree).patch or ""
    return doc


@router.route("POST", HERE + "/{num}/{action}")
def act(call: Call) -> dict:
    """Comment, rename, close, reopen or merge."""
    user, repo, body = call.need_user(), call.repo(), call.json
    with call.hub.repos.lock(repo) as git:
        doc = read(call, repo, call.params["num"])
        action = call.params["action"]
        if action != "comment" and not (user.owns(repo.ns) or doc["author"]["name"] == user.name):
            raise HubError(403, "Only its author and the repo's owner may change this discussion")
        if action == "comment":
            event = _comment(call, body.text("comment"))
        elif action == "title":
            title = check_text(body.text("title"))
            event = _event(call, "title-change", **{"from": doc["title"], "to": title})
            doc["title"] = title
        elif action == "status":
            doc["status"] = _status(body.text("status"))
            event = _event(call, "status-change", status=doc["status"])
        elif action == "merge":
            event = _merge(call, repo, git, doc)
        else:
            raise HubError(404, "Not found")
        if action != "comment" and (text := body.text("comment", "")):
            doc["events"].append(_comment(call, text))
        doc["events"].append(event)
        _write(call, repo, doc)
    return {"newMessage": event, "newTitle": event, "newStatus": event, "updatedComment": event}


def _status(status: str) -> str:
    if status not in ("open", "closed", "draft"):
        raise HubError(400, f"Unknown status {status[:40]!r}: expected open, closed or draft")
    return status


def _merge(call: Call, repo: Repo, git: pygit2.Repository, doc: dict) -> dict:
    user = call.need_user()
    if not owns(user, repo.ns):
        raise HubError(403, "Only the repo's owner may merge")
    if not doc["isPullRequest"] or doc["status"] not in ("open", "draft"):
        raise HubError(400, f"Cannot merge: this is {doc['status']}, not an open pull request")
    main, head = commit_at(git, "main"), commit_at(git, f"refs/pr/{doc['num']}")
    if str(head.id) == doc["baseSha"]:
        raise HubError(400, "This pull request has no changes")
    oid = main.id
    if git.merge_base(main.id, head.id) != head.id:  # or else a killed Hub had merged it already
        index = git.merge_commits(main, head)
        if index.conflicts:
            raise HubError(409, "Merge conflict: commit to the pull request what should be there")
        message, parents = f"{doc['title']} (#{doc['num']})", [main.id, head.id]
        tree = index.write_tree(git)
        oid = write_commit(git, "refs/heads/main", user.name, message, tree, parents)
    doc["status"], doc["changes"]["mergeCommitId"] = "merged", str(oid)
    return _event(call, "status-change", status="merged")
