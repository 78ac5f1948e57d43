"""The JSON API of repos: information, listings, trees, history and settings."""

import re

import pygit2
from starlette.responses import Response

from palate.localhub import metadata
from palate.localhub.accounts import User
from palate.localhub.body import Body
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.git import (
    commit_at,
    find_commit,
    iso,
    last_commits,
    lookup,
    now,
    pointer,
    read_text,
    walk,
)
from palate.localhub.hardware import PLANS
from palate.localhub.plans import FREE_MACHINE, check_space, check_visibility
from palate.localhub.repos import Repo, split_id
from palate.localhub.routing import KINDS
from palate.localhub.space_routes import runtime, settings_from

REPO = "/api/{kind}/{ns}/{name}"
SDKS = ("gradio", "docker", "static", "streamlit")


@router.route("GET", "/api/whoami-v2")
def whoami(call: Call) -> dict:
    user = call.need_user()
    token = {"displayName": "local", "role": user.role, "createdAt": now()}
    orgs = [
        {"type": "org", "id": f"o-{o}", "name": o, "fullname": o, "roleInOrg": "admin"}
        | {"plan": _paid_plan(user, o), "canPay": user.credit}
        for o in user.orgs
    ]
    head = {"type": "user", "id": f"u-{user.name}", "name": user.name, "fullname": user.name}
    auth = {"type": "access_token", "accessToken": token}
    pro = user.plan_of(user.name) == "pro"
    return head | {"isPro": pro, "canPay": user.credit, "orgs": orgs, "auth": auth}


def _paid_plan(user: User, org: str) -> str | None:
    plan = user.plan_of(org)
    return plan if PLANS[plan]["zero_gpu_spaces"] else None


@router.route("POST", "/api/repos/create")
def create(call: Call) -> dict:
    user, body = call.need_user(), call.json
    ns, name = body.optional_text("organization") or user.name, body.text("name")
    kind, sdk = _kind(body), body.optional_text("sdk")
    if kind == "space" and sdk not in SDKS:
        raise HubError(400, '"sdk" is required for a Space: gradio, docker, static or streamlit')
    settings = settings_from(body) if kind == "space" else {}
    settings["visibility"] = body.optional_text("visibility")
    call.need_write_token()
    if kind == "space" and user.owns(ns) and not call.hub.repos.is_taken(kind, ns, name):
        hardware = settings.get("hardware", FREE_MACHINE)
        check_space(user, ns, call.hub.repos, sdk, hardware, settings["visibility"])
    private = _private(body, False)
    try:
        repo = call.hub.repos.create(
            user, kind, ns, name, private=private, sdk=sdk, settings=settings
        )
    except HubError as e:
        if e.status == 409:  # with exist_ok the client reads the URL from the refusal
            prefix = "" if kind == "model" else f"{kind}s/"
            e.body["url"] = f"{call.base}/{prefix}{ns}/{name}"
        raise
    return {"url": f"{call.base}{repo.path}", "name": repo.full_name, "id": f"{repo.id:024x}"}


def _kind(body: Body) -> str:
    kind = body.text("type", "model")
    if kind not in KINDS.values():
        raise HubError(400, f"Unknown repo type {kind[:40]!r}: expected model, dataset or space")
    return kind


def _private(body: Body, default: bool) -> bool:
    if visibility := body.optional_text("visibility"):
        return visibility != "public"
    return body.flag("private") if body.value.get("private") is not None else default


@router.route("DELETE", "/api/repos/delete")
def delete(call: Call) -> Response:
    user, body = call.need_user(), call.json
    ns = body.optional_text("organization") or user.name
    kind, name = _kind(body), body.text("name")
    repo = call.hub.repos.find(kind, ns, name, user, write=True, damaged=True)
    call.hub.repos.delete(repo)
    call.hub.lfs.sweep()
    if repo.kind == "space":
        call.hub.hosting.forget(repo)
    return Response("OK")


@router.route("POST", "/api/repos/move")
def move(call: Call) -> Response:
    user, body = call.need_user(), call.json
    ns, name = split_id(body.text("fromRepo"))
    repo = call.hub.repos.find(_kind(body), ns, name, user, write=True)
    call.hub.repos.move(repo, user, body.text("toRepo"))
    return Response("OK")


@router.route("POST", "/api/validate-yaml", reads=True)
def validate_yaml(call: Call) -> dict:
    text = call.json.text("content")
    if problem := metadata.problem(text):
        errors = [{"message": f"Error: {problem}"}]
        raise HubError(400, problem, errors=errors, warnings=[])
    warnings = [] if metadata.front_matter(text) else [{"message": "the card has no metadata"}]
    return {"errors": [], "warnings": warnings}


@router.route("GET", "/api/{kind}")
def listing(call: Call) -> Response:
    def matches(repo: Repo) -> bool:
        author, search = call.arg("author").lower(), call.arg("search").lower()
        return author in ("", repo.ns.lower()) and search in repo.full_name.lower()

    full = call.flag("full") or call.flag("cardData")
    repos = filter(matches, call.hub.repos.listing(call.user, KINDS[call.params["kind"]]))
    infos = [info(call, repo, full=full) for repo in repos]
    tags = call.many("filter")
    return call.page([i for i in infos if all(tag in i["tags"] for tag in tags)])


@router.route("GET", "/api/settings/repositories", "/api/organizations/{ns}/settings/repositories")
def own_repos(call: Call) -> Response:
    user = call.need_user()
    ns = call.params.get("ns", user.name)
    if not user.owns(ns):
        raise HubError(403, f"You don't have the rights to the namespace {ns!r}")
    repos = [r for r in call.hub.repos.listing(user) if r.ns.lower() == ns.lower()]
    return call.page([_storage(r) for r in repos])


def _storage(repo: Repo) -> dict:
    head = find_commit(repo.git(), "main")
    blobs = [e for e, _ in walk(head.tree) if isinstance(e, pygit2.Blob)] if head else []
    size = sum(link.size if (link := pointer(b)) else b.size for b in blobs)
    updated = iso(head.commit_time) if head else repo.created
    name = {"id": repo.full_name, "type": repo.kind}
    return name | {"updatedAt": updated, "visibility": repo.visibility, "storage": size}


@router.route("GET", REPO, REPO + "/revision/{rev}")
def details(call: Call) -> dict:
    repo, expand = call.repo(), call.many("expand")
    revision, blobs = call.params.get("rev"), call.flag("blobs")
    answer = info(call, repo, revision=revision, blobs=blobs)
    if expand:
        return {k: v for k, v in answer.items() if k in ("_id", "id", "modelId", *expand)}
    return answer


def info(
    call: Call, repo: Repo, *, revision: str | None = None, blobs: bool = False, full: bool = True
) -> dict:
    """Return a ModelInfo, DatasetInfo or SpaceInfo; with its card and files if `full`."""
    git = repo.git()
    head = commit_at(git, revision) if revision else find_commit(git, "main")
    card = metadata.card_data(read_text(head.tree, "README.md")) if head else None
    answer = {
        "_id": f"{repo.id:024x}",
        "id": repo.full_name,
        "author": repo.ns,
        "sha": str(head.id) if head else None,
        "private": repo.private,
        "visibility": repo.visibility,
        "disabled": False,
        "gated": False if repo.gated == "false" else repo.gated,
        "createdAt": repo.created,
        "lastModified": iso(head.commit_time) if head else repo.created,
        "likes": 0,
        "downloads": 0,
        "tags": [*metadata.tags(card or {}), "region:us"],
    }
    if repo.kind == "model":
        answer |= {"modelId": repo.full_name, "library_name": (card or {}).get("library_name")}
        answer["pipeline_tag"] = (card or {}).get("pipeline_tag")
        if index := (card or {}).get("model-index"):
            answer["model-index"] = index
    if repo.kind == "space":
        port = repo.settings.get("port")
        host = f"http://127.0.0.1:{port}" if port else f"{call.base}{repo.path}"
        answer |= {"sdk": repo.sdk, "runtime": runtime(repo.settings), "host": host}
        answer["subdomain"] = f"{repo.ns}-{repo.name}".lower()
    if full:
        files = walk(head.tree) if head else []
        names = [_sibling(e, p, blobs) for e, p in files if isinstance(e, pygit2.Blob)]
        answer |= {"cardData": card, "siblings": names}
    return answer


def _sibling(blob: pygit2.Blob, path: str, details: bool) -> dict:
    if not details:
        return {"rfilename": path}
    link = pointer(blob)
    sibling = {"rfilename": path, "blobId": str(blob.id), "size": link.size if link else blob.size}
    if link:
        sibling["lfs"] = {"sha256": link.oid, "size": link.size, "pointerSize": blob.size}
    return sibling


@router.route("GET", REPO + "/tree/{rev}/{path...}")
def tree(call: Call) -> Response:
    git, path = call.repo().git(), call.params["path"]
    commit = commit_at(git, call.params["rev"])
    folder = lookup(commit.tree, path)
    if not isinstance(folder, pygit2.Tree):
        message = f'{path} is not a folder on "{call.params["rev"]}"'
        raise HubError(404, message, "EntryNotFound")
    entries = list(walk(folder, f"{path}/" if path else "", call.flag("recursive")))
    if not call.flag("expand"):
        return call.page([_entry(e, p) for e, p in entries])
    last = last_commits(commit, git, [p for _, p in entries])
    return call.page([_entry(e, p, last) for e, p in entries], 50)


@router.route("POST", REPO + "/paths-info/{rev}", reads=True)
def paths_info(call: Call) -> list[dict]:
    git = call.repo().git()
    commit = commit_at(git, call.params["rev"])
    paths = dict.fromkeys(p.strip("/") for p in call.form("paths"))
    entries = {p: e for p in paths if p and (e := lookup(commit.tree, p))}
    expand = [v.lower() for v in call.form("expand")] == ["true"]
    last = last_commits(commit, git, entries) if expand else None
    return [_entry(e, p, last) for p, e in entries.items()]


def _entry(entry: pygit2.Object, path: str, last: dict[str, pygit2.Commit] | None = None) -> dict:
    answer: dict = {"type": "directory", "oid": str(entry.id), "size": 0, "path": path}
    if isinstance(entry, pygit2.Blob):
        link = pointer(entry)
        answer |= {"type": "file", "size": link.size if link else entry.size}
        if link:
            answer["lfs"] = {"oid": link.oid, "size": link.size, "pointerSize": entry.size}
    if last and path in last:
        commit = last[path]
        title, date = commit.message.split("\n")[0], iso(commit.commit_time)
        answer["lastCommit"] = {"id": str(commit.id), "title": title, "date": date}
    return answer


@router.route("GET", REPO + "/commits/{rev}")
def commits(call: Call) -> Response:
    git = call.repo().git()
    start = commit_at(git, call.params["rev"])
    history = []
    for commit in git.walk(start.id, pygit2.enums.SortMode.TOPOLOGICAL):
        title, _, message = commit.message.partition("\n\n")
        head = {"id": str(commit.id), "title": title, "message": message}
        formatted = {"formatted": dict(head)} if call.many("expand") else {}
        who, date = [{"user": commit.author.name}], iso(commit.commit_time)
        history.append({**head, "authors": who, "date": date, **formatted})
    return call.page(history, 50, "p")


@router.route("PUT", REPO + "/settings")
def settings(call: Call) -> dict:
    repo, body = call.repo(write=True), call.json
    private, gated = _private(body, repo.private), repo.gated
    if "gated" in body.value:
        gated = str(body.value["gated"]).lower()
        if not re.fullmatch("auto|manual|false", gated):
            raise HubError(400, '"gated" must be "auto", "manual" or false')
    if repo.kind == "space":
        visibility = body.optional_text("visibility")
        check_visibility(call.need_user(), repo.ns, visibility)
    call.hub.repos.update(repo, private=int(private), gated=gated)
    if "visibility" in body.value:
        call.hub.repos.configure(repo, visibility=body.text("visibility"))
    return {"private": private, "gated": gated}
