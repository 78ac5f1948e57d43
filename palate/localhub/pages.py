"""Read-only pages of what is on this Hub."""

import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pygit2
from starlette.responses import RedirectResponse, Response

from palate.localhub import metadata, render
from palate.localhub.accounts import owns
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.files import content, media_type
from palate.localhub.git import (
    commit_at,
    find_commit,
    last_commits,
    lookup,
    pointer,
    read_text,
    walk,
)
from palate.localhub.lfs import check_gate
from palate.localhub.repos import Repo
from palate.localhub.routing import KINDS
from palate.localhub.templates import page, repo_page

STATIC = Path(__file__).parent / "static"
STATIC_TYPES = {"hub.css": "text/css", "icon.svg": "image/svg+xml"}
REPO = "/{kind}/{ns}/{name}"
PER_PAGE = 50  # commits, rows
MAX_SHOWN = 1_000_000  # bytes of a file that a page shows
MAX_PATCHES = 100  # files of a commit that a page shows
MAX_PATCH_LINES = 200
MAX_PATCH_LINE = 400  # characters
MAX_LOG_LINES = 2000
MAX_LOG_BYTES = 2_000_000  # from its end


@router.route("GET", "/healthz")
def health(call: Call) -> dict:
    return {"pid": call.hub.pid}


@router.route("GET", "/static/{file}")
def static(call: Call) -> Response:
    kind = STATIC_TYPES.get(call.params["file"])
    if kind is None:
        raise HubError(404, "Not found")
    data = (STATIC / call.params["file"]).read_bytes()
    return Response(data, 200, {"Cache-Control": "max-age=300"}, kind)


@router.route("GET", "/", "/{kind}", "/{kind}/{ns}")
def listing(call: Call) -> Response:
    """List the repos that the user may see: all, of one kind or of one namespace."""
    kind, ns = KINDS.get(call.params.get("kind", "")), call.params.get("ns")
    search = call.arg("search").strip()
    repos = [
        repo
        for repo in call.hub.repos.listing(call.user, kind if ns is None else None)
        if (ns is None or repo.ns.lower() == ns.lower())
        and search.lower() in repo.full_name.lower()
    ]
    if ns is not None and not repos and not owns(call.user, ns):
        raise HubError(404 if call.user else 401, f"{ns} has no repos that you can see")
    heads = [(repo, head) for repo in repos if (head := find_commit(repo.git(), "main"))]
    heads.sort(key=lambda pair: pair[1].commit_time, reverse=True)
    values = {"repos": heads, "kind": kind, "ns": ns, "search": search}
    return page("listing.html", call.user, values)


@router.route("GET", REPO)
def card(call: Call) -> Response:
    repo = call.repo()
    head = find_commit(repo.git(), "main")
    text = (read_text(head.tree, "README.md") if head else None) or ""
    data = metadata.card_data(text) or {}
    html = render.card(text, f"{repo.path}/resolve/main", f"{repo.path}/blob/main")
    facts = [(label, value, _link(call, *link)) for label, value, link in render.facts(data)]
    values = {"html": html, "facts": facts, "results": render.results(data)}
    return repo_page(call.user, "card.html", repo, "main", "card", **values)


def _link(call: Call, kind: str, repo_id: str) -> str | None:
    """Return the path of a repo that a card names, None if the reader cannot see it here."""
    ns, _, name = repo_id.partition("/")
    try:
        return call.hub.repos.find(kind, ns, name, call.user).path
    except HubError:
        return None


@router.route("GET", REPO + "/tree/{rev}/{path...}")
def folder(call: Call) -> Response:
    repo, rev, path = call.repo(), call.params["rev"], call.params["path"]
    git = repo.git()
    commit = commit_at(git, rev)
    tree = lookup(commit.tree, path)
    if not isinstance(tree, pygit2.Tree):
        raise HubError(404, f"{repo.full_name} has no folder {path} at {rev}")
    content = list(walk(tree, f"{path}/" if path else "", recursive=False))
    content.sort(key=lambda pair: isinstance(pair[0], pygit2.Blob))
    last = last_commits(commit, git, [p for _, p in content])
    entries = [
        {"path": p, "name": p.rsplit("/", 1)[-1], "size": _size(e), "last": last.get(p)}
        for e, p in content
    ]
    values = {"path": path, "entries": entries, "crumbs": _crumbs(path)}
    return repo_page(call.user, "tree.html", repo, rev, "files", **values)


def _size(entry: pygit2.Blob | pygit2.Tree) -> int | None:
    """Return the size of a file in bytes, None for a folder."""
    if isinstance(entry, pygit2.Tree):
        return None
    link = pointer(entry)
    return link.size if link else entry.size


def _crumbs(path: str) -> list[tuple[str, str]]:
    """Return name and path of each folder on the way to `path`."""
    parts = path.split("/") if path else []
    return [(part, "/".join(parts[: i + 1])) for i, part in enumerate(parts)]


@router.route("GET", REPO + "/blob/{rev}/{path...}")
def file(call: Call) -> Response:
    repo, rev, path = call.repo(), call.params["rev"], call.params["path"]
    check_gate(call, repo)
    git = repo.git()
    commit = commit_at(git, rev)
    blob = lookup(commit.tree, path)
    if not isinstance(blob, pygit2.Blob):
        raise HubError(404, f"{repo.full_name} has no file {path} at {rev}")
    size, kind = _size(blob) or 0, media_type(path, blob)
    values: dict[str, object] = {"text": None, "table": None, "html": None}
    values |= {"image": kind.startswith("image/"), "more": False, "per_page": PER_PAGE}
    number = max(1, call.number("page", 1))
    if kind.startswith("text/") and size <= MAX_SHOWN:
        text = content(call, blob).decode("utf-8", "replace")
        values |= _rendered(repo, path, rev, text, number)
    values |= {"number": number, "path": path, "size": size, "crumbs": _crumbs(path)}
    values["last"] = last_commits(commit, git, [path])[path]
    return repo_page(call.user, "blob.html", repo, rev, "files", **values)


def _rendered(repo: Repo, path: str, rev: str, text: str, number: int) -> dict[str, object]:
    """Return what the page shows of a text file: Markdown, one page of a table, or the text."""
    if path.lower().endswith(".md"):
        folder = f"{quote(rev, safe='')}/{quote(path.rpartition('/')[0])}".rstrip("/")
        bases = f"{repo.path}/resolve/{folder}", f"{repo.path}/blob/{folder}"
        return {"html": render.card(text, *bases)}
    records = render.records(path, text)
    if not records:
        return {"text": text}
    start = (number - 1) * PER_PAGE
    table = render.table(records[start : start + PER_PAGE]) | {"count": len(records)}
    return {"table": table, "more": len(records) > start + PER_PAGE}


@router.route("GET", REPO + "/commits/{rev}")
def history(call: Call) -> Response:
    repo, rev = call.repo(), call.params["rev"]
    git, number = repo.git(), max(1, call.number("page", 1))
    head, start = commit_at(git, rev), (number - 1) * PER_PAGE
    commits = list(git.walk(head.id, pygit2.enums.SortMode.TOPOLOGICAL))
    values = {"commits": commits[start : start + PER_PAGE], "number": number}
    values |= {"count": len(commits), "more": len(commits) > start + PER_PAGE}
    return repo_page(call.user, "commits.html", repo, rev, "history", **values)


@router.route("GET", REPO + "/commit/{rev}")
def change(call: Call) -> Response:
    """Show the changes of one commit."""
    repo, rev = call.repo(), call.params["rev"]
    check_gate(call, repo)
    commit = commit_at(repo.git(), rev)
    if commit.parents:
        diff = commit.parents[0].tree.diff_to_tree(commit.tree)
    else:
        diff = commit.tree.diff_to_tree(swap=True)
    patches = [(p.delta.new_file.path, p.delta.status_char(), _lines(p)) for p in diff if p]
    values = {"commit": commit, "patches": patches[:MAX_PATCHES], "count": len(patches)}
    return repo_page(call.user, "commit.html", repo, rev, "history", **values)


def _lines(patch: pygit2.Patch) -> list[str]:
    if patch.delta.is_binary:
        return ["binary file"]
    lines = [line for hunk in patch.hunks for line in hunk.lines]
    shown = [
        f"{line.origin}{line.content.rstrip()}"[:MAX_PATCH_LINE] for line in lines[:MAX_PATCH_LINES]
    ]
    hidden = len(lines) - len(shown)
    return shown + ([f" … {hidden} more lines"] if hidden else [])


@router.route("GET", "/jobs")
def own_jobs(call: Call) -> Response:
    return RedirectResponse(f"/jobs/{call.user.name}" if call.user else "/login?next=/jobs", 303)


@router.route("GET", "/jobs/{ns}", "/jobs/{ns}/{job}")
def jobs(call: Call) -> Response:
    """List the jobs of a namespace, or show one with the end of its log."""
    user, ns, job = call.need_user(), call.params["ns"], call.params.get("job")
    if not user.owns(ns):
        raise HubError(404, f"{ns} has no jobs that you can see")
    docs = [call.hub.jobs.get(ns, job)] if job else call.hub.jobs.of_namespace(ns)
    lines = log_lines(call.hub.jobs.log(job)) if job else []
    values = {"ns": ns, "jobs": docs, "lines": lines, "one": job is not None}
    return page("jobs.html", user, values)


def log_lines(file: Path) -> list[str]:
    """Return the end of a job's log, without lines that are, or stay, half written."""
    if not file.exists():
        return []
    with file.open("rb") as log:
        start = max(0, file.stat().st_size - MAX_LOG_BYTES)
        log.seek(start)
        lines = log.read(MAX_LOG_BYTES).split(b"\n")[1 if start else 0 :]
    entries = []
    for line in lines[-MAX_LOG_LINES:]:
        with suppress(ValueError):
            entries.append(json.loads(line)["data"])
    return entries
