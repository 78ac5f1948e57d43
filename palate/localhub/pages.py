"""Pages for people: what lies on this Hub, read-only."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import jinja2
import pygit2
from starlette.responses import HTMLResponse, RedirectResponse, Response

from palate.localhub import metadata, render
from palate.localhub.accounts import User, owns
from palate.localhub.calls import KINDS, Call, router
from palate.localhub.discussions import all_of
from palate.localhub.discussions import read as read_discussion
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

HERE = Path(__file__).parent
REPO = "/{kind}/{ns}/{name}"
PER_PAGE = 50  # commits, rows
SHOWN = 1_000_000  # bytes of a file that a page shows at most
SESSION = 30 * 24 * 3600  # seconds that a browser stays signed in
POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self' 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _ago(seconds: float) -> str:
    passed = time.time() - seconds
    for name, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if count := int(passed // length):
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


_templates.filters |= {"ago": _ago, "date": _date, "size": render.size, "path": quote}


def page(template: str, user: User | None, values: dict, status: int = 200) -> HTMLResponse:
    html = _templates.get_template(template).render(values, user=user)
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    headers |= {"Referrer-Policy": "same-origin", "Cache-Control": "no-store"}
    return HTMLResponse(html, status, headers)


@router.route("GET", "/healthz")
def health(call: Call) -> dict:
    return {"pid": call.hub.pid}


@router.route("GET", "/static/{file}")
def static(call: Call) -> Response:
    kind = {"hub.css": "text/css", "icon.svg": "image/svg+xml"}.get(call.params["file"])
    if kind is None:
        raise HubError(404, "Not found")
    content = (HERE / "static" / call.params["file"]).read_bytes()
    return Response(content, 200, {"Cache-Control": "max-age=300"}, kind)


@router.route("GET", "/login")
def login_form(call: Call) -> Response:
    """The form for a token; with a ticket from the command line, straight to the page."""
    target = _own_path(call.arg("next", "/"))
    if not call.arg("ticket"):
        return page("login.html", call.user, {"target": target, "wrong": False})
    try:
        claims = call.hub.signer.check("login", call.arg("ticket"))
        call.hub.db.run("DELETE FROM used_ticket WHERE expires < ?", time.time())
        used = "INSERT OR IGNORE INTO used_ticket VALUES(?,?)"
        first = call.hub.db.run(used, claims["nonce"], claims["expires"]).rowcount
        user = call.hub.accounts.users().get(claims["user"]) if first else None
    except HubError:
        user = None
    if user is None:
        return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)
    return _signed_in(call, user, target)


@router.route("POST", "/login")
def login(call: Call) -> Response:
    _check_origin(call)
    target = _own_path(next(iter(call.form("next")), "/"))
    token = next(iter(call.form("token")), "").strip()
    user = call.hub.accounts.with_token(token)
    if user is None:
        return page("login.html", None, {"target": target, "wrong": True}, 403)
    return _signed_in(call, user, target)


@router.route("POST", "/logout")
def logout(call: Call) -> Response:
    _check_origin(call)
    response = RedirectResponse("/", 303)
    response.delete_cookie(call.hub.cookie)
    return response


def _check_origin(call: Call) -> None:
    origin = call.headers.get("origin", call.base)
    if origin not in (call.base, "null") or call.headers.get("sec-fetch-site") == "cross-site":
        raise HubError(403, "Sign in on the Hub's own page")


def _own_path(target: str) -> str:
    """`target` if it is a page of this Hub, otherwise the start page."""
    own = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if own else "/"


def _signed_in(call: Call, user: User, target: str) -> Response:
    claims = {"user": user.name, "token": call.hub.signer.fingerprint(user.token)}
    session = call.hub.signer.sign("session", SESSION, **claims)
    # not a redirect: a browser that comes from elsewhere would not send a strict cookie along
    response = page("signed_in.html", user, {"target": target})
    response.set_cookie(
        call.hub.cookie, session, max_age=SESSION, httponly=True, samesite="strict", path="/"
    )
    return response


@router.route("GET", "/", "/{kind}", "/{kind}/{ns}")
def listing(call: Call) -> Response:
    kind, ns = KINDS.get(call.params.get("kind", "")), call.params.get("ns")
    search = call.arg("search").strip()
    repos = [
        repo
        for repo in call.hub.repos.listing(call.user, kind if ns is None else None)
        if (ns is None or repo.ns.lower() == ns.lower())
        and search.lower() in repo.full_name.lower()
    ]
    if ns is not None and not repos and not owns(call.user, ns):
        raise HubError(404 if call.user else 401, f"There is nothing by {ns} to see here")
    found = [(repo, head) for repo in repos if (head := find_commit(repo.git(), "main"))]
    found.sort(key=lambda item: item[1].commit_time, reverse=True)
    values = {"repos": found, "kind": kind, "ns": ns, "search": search}
    return page("listing.html", call.user, values)


def _repo_page(
    call: Call, template: str, repo: Repo, revision: str, tab: str, **values: object
) -> Response:
    values |= {"repo": repo, "revision": revision, "rev": quote(revision, safe=""), "tab": tab}
    pulls = len(all_of(call, repo))
    return page(template, call.user, values | {"discussions": pulls})


@router.route("GET", REPO)
def card(call: Call) -> Response:
    repo = call.repo()
    head = find_commit(repo.git(), "main")
    text = (read_text(head.tree, "README.md") if head else None) or ""
    data = metadata.card_data(text) or {}
    html = render.card(text, f"{repo.path}/resolve/main", f"{repo.path}/blob/main")
    facts = [(label, value, _link(call, *link)) for label, value, link in render.facts(data)]
    values = {"html": html, "facts": facts, "results": render.results(data)}
    return _repo_page(call, "card.html", repo, "main", "card", **values)


def _link(call: Call, kind: str, repo_id: str) -> str | None:
    """Where a repo that a card names is on this Hub, if it is and the reader may see it."""
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
    here = lookup(commit.tree, path)
    if not isinstance(here, pygit2.Tree):
        raise HubError(404, f"There is no folder {path} in {repo.full_name} at {rev}")
    found = list(walk(here, f"{path}/" if path else "", recursive=False))
    last = last_commits(commit, git, [p for _, p in found])
    found.sort(key=lambda item: isinstance(item[0], pygit2.Blob))
    entries = [
        {"path": p, "name": p.rsplit("/", 1)[-1], "size": _size(e), "last": last.get(p)}
        for e, p in found
    ]
    values = {"path": path, "entries": entries, "crumbs": _crumbs(path)}
    return _repo_page(call, "tree.html", repo, rev, "files", **values)


def _size(entry: pygit2.Blob | pygit2.Tree) -> int | None:
    if isinstance(entry, pygit2.Tree):
        return None
    link = pointer(entry)
    return link.size if link else entry.size


def _crumbs(path: str) -> list[tuple[str, str]]:
    """Each folder on the way to `path`, as (name, path)."""
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
        raise HubError(404, f"There is no file {path} in {repo.full_name} at {rev}")
    count, kind = _size(blob) or 0, media_type(path, blob)
    values: dict = {"text": None, "table": None, "html": None, "image": kind.startswith("image/")}
    values |= {"number": call.number("page", 1), "more": False, "per_page": PER_PAGE}
    if kind.startswith("text/") and count <= SHOWN:
        text = content(call, blob).decode("utf-8", "replace")
        values |= _shown(repo, path, rev, text, max(1, values["number"]))
    values |= {"path": path, "size": count, "crumbs": _crumbs(path)}
    values["last"] = last_commits(commit, git, [path])[path]
    return _repo_page(call, "blob.html", repo, rev, "files", **values)


def _shown(repo: Repo, path: str, rev: str, text: str, number: int) -> dict:
    if path.lower().endswith(".md"):
        place = f"{quote(rev, safe='')}/{quote(path.rpartition('/')[0])}".rstrip("/")
        places = f"{repo.path}/resolve/{place}", f"{repo.path}/blob/{place}"
        return {"html": render.card(text, *places)}
    table = render.rows(path, text)
    if not table:
        return {"text": text}
    columns, rows = table
    start = (number - 1) * PER_PAGE
    part = {"columns": columns, "rows": rows[start : start + PER_PAGE], "count": len(rows)}
    return {"table": part, "more": len(rows) > start + PER_PAGE}


@router.route("GET", REPO + "/commits/{rev}")
def history(call: Call) -> Response:
    repo, rev = call.repo(), call.params["rev"]
    git, number = repo.git(), max(1, call.number("page", 1))
    start, skip = commit_at(git, rev), (max(1, number) - 1) * PER_PAGE
    commits = list(git.walk(start.id, pygit2.enums.SortMode.TOPOLOGICAL))
    values = {"commits": commits[skip : skip + PER_PAGE], "number": number}
    values |= {"count": len(commits), "more": len(commits) > skip + PER_PAGE}
    return _repo_page(call, "commits.html", repo, rev, "history", **values)


@router.route("GET", REPO + "/commit/{rev}")
def change(call: Call) -> Response:
    """What one commit changed."""
    repo, rev = call.repo(), call.params["rev"]
    check_gate(call, repo)
    commit = commit_at(repo.git(), rev)
    if commit.parents:
        diff = commit.parents[0].tree.diff_to_tree(commit.tree)
    else:
        diff = commit.tree.diff_to_tree(swap=True)
    patches = [(p.delta.new_file.path, p.delta.status_char(), _lines(p)) for p in diff if p]
    values = {"commit": commit, "patches": patches[:100], "count": len(patches)}
    return _repo_page(call, "commit.html", repo, rev, "history", **values)


def _lines(patch: pygit2.Patch) -> list[str]:
    if patch.delta.is_binary:
        return ["a binary file"]
    lines = [line for hunk in patch.hunks for line in hunk.lines]
    shown = [f"{line.origin}{line.content.rstrip()}"[:400] for line in lines[:200]]
    return shown + ([f" … {len(lines) - 200} more lines"] if len(lines) > 200 else [])


@router.route("GET", REPO + "/discussions", REPO + "/discussions/{num}")
def discussions(call: Call) -> Response:
    repo = call.repo()
    number = call.params.get("num")
    docs = [read_discussion(call, repo, number)] if number else all_of(call, repo)
    values = {"docs": docs, "open": number is not None}
    return _repo_page(call, "discussions.html", repo, "main", "discussions", **values)


@router.route("GET", "/jobs/{ns}", "/jobs/{ns}/{id}")
def jobs(call: Call) -> Response:
    user, ns, job = call.need_user(), call.params["ns"], call.params.get("id")
    if not user.owns(ns):
        raise HubError(404, f"There are no jobs of {ns} to see here")
    found = [call.hub.jobs.get(ns, job)] if job else call.hub.jobs.all_of(ns)
    log = call.hub.jobs.log(job).read_text() if job and call.hub.jobs.log(job).exists() else ""
    lines = [json.loads(line)["data"] for line in log.splitlines()[-2000:]]
    values = {"ns": ns, "jobs": found, "lines": lines, "one": job is not None}
    return page("jobs.html", user, values)


def refuse(call_path: str, user: User | None, error: HubError) -> Response:
    """An error as a page; a sign-in where that may help."""
    if error.status == 401:
        return RedirectResponse(f"/login?next={quote(_own_path(call_path), safe='')}", 303)
    return page("error.html", user, {"error": error}, error.status)
