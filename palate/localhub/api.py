"""The JSON of repos: information, listings, trees, history, branches, tags and settings."""

import re

import pygit2
from starlette.responses import Response

from palate.localhub import metadata
from palate.localhub.calls import KINDS, Body, Call, router
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
from palate.localhub.lfs import check_gate
from palate.localhub.repos import Repo, split_id
from palate.localhub.spaces import runtime, settings_from

REPO = "/api/{kind}/{ns}/{name}"


@router.route("GET", "/api/whoami-v2")
def whoami(call: Call) -> dict:
    user = call.need_user()
    token = {"displayName": "local", "role": user.role, "createdAt": now()}
    orgs = [
        {"type": "org", "id": f"o-{o}", "name": o, "fullname": o, "roleInOrg": "admin"}
        for o in user.orgs
    ]
    head = {"type": "user", "id": f"u-{user.name}", "name": user.name, "fullname": user.name}
    auth = {"type": "access_token", "accessToken": token}
    return head | {"isPro": False, "canPay": False, "orgs": orgs, "auth": auth}


@router.route("POST", "/api/repos/create")
def create(call: Call) -> dict:
    user, body = call.need_user(), call.json
    ns, name = body.text("organization", None) or user.name, body.text("name")
    kind = _kind(body)
    if kind == "space" and body.text("sdk", None) not in (
        "gradio",
        "docker",
        "static",
        "streamlit",
    ):
        raise HubError(400, '"sdk" is required for a Space: gradio, docker, static or streamlit')
    settings = settings_from(body) if kind == "space" else {}
    settings["visibility"] = body.text("visibility", None)
    sdk, private = body.text("sdk", None), _private(body, False)
    try:
        repo = call.hub.repos.create(
            user, kind, ns, name, private=private, sdk=sdk, settings=settings
        )
    except HubError as e:
        if e.status == 409:  # a client that accepts this reads the address from the refusal
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
    if visibility := body.text("visibility", None):
        return visibility != "public"
    return body.flag("private") if body.value.get("private") is not None else default


@router.route("DELETE", "/api/repos/delete")
def delete(call: Call) -> Response:
    user, body = call.need_user(), call.json
    ns = body.text("organization", None) or user.name
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


@router.route("POST", REPO + "/duplicate")
def duplicate(call: Call) -> dict:
    user, source, body = call.need_user(), call.repo(), call.json
    check_gate(call, source)
    ns, name = split_id(body.text("repository"))
    settings = settings_from(body) if source.kind == "space" else {}
    settings["variables"] = source.settings.get("variables", {}) | settings.get("variables", {})
    repo = call.hub.repos.create(
        user,
        source.kind,
        ns,
        name,
        private=_private(body, source.private),
        sdk=source.sdk,
        settings=settings,
        copy_of=source,
    )
    return {"url": f"{call.base}{repo.path}"}


@router.route("POST", "/api/validate-yaml", reads=True)
def validate_yaml(call: Call) -> dict:
    text = call.json.text("content")
    if problem := metadata.problem(text):
        errors = [{"message": f"Error: {problem}"}]
        raise HubError(400, problem, errors=errors, warnings=[])
    missing = [] if metadata.front_matter(text) else [{"message": "the card has no metadata"}]
    return {"errors": [], "warnings": missing}


@router.route("GET", "/api/{kind}")
def listing(call: Call) -> Response:
    def wanted(repo: Repo) -> bool:
        author, search = call.arg("author").lower(), call.arg("search").lower()
        return author in ("", repo.ns.lower()) and search in repo.full_name.lower()

    full = call.flag("full") or call.flag("cardData")
    repos = filter(wanted, call.hub.repos.listing(call.user, KINDS[call.params["kind"]]))
    infos = [info(call, repo, full=full) for repo in repos]
    return call.page([i for i in infos if all(f in i["tags"] for f in call.many("filter"))])


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
    found = info(call, repo, revision=revision, blobs=blobs)
    if expand:
        found = {k: v for k, v in found.items() if k in ("_id", "id", "modelId", *expand)}
    return found


def info(
    call: Call, repo: Repo, *, revision: str | None = None, blobs: bool = False, full: bool = True
) -> dict:
    """What clients call ModelInfo, DatasetInfo or SpaceInfo; the card and files if `full`."""
    git = repo.git()
    head = commit_at(git, revision) if revision else find_commit(git, "main")
    card = metadata.card_data(read_text(head.tree, "README.md")) if head else None
    found = {
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
        found |= {"modelId": repo.full_name, "library_name": (card or {}).get("library_name")}
        found["pipeline_tag"] = (card or {}).get("pipeline_tag")
        if index := (card or {}).get("model-index"):
            found["model-index"] = index
    if repo.kind == "space":
        port = repo.settings.get("port")
        host = f"http://127.0.0.1:{port}" if port else f"{call.base}{repo.path}"
        found |= {"sdk": repo.sdk, "runtime": runtime(repo.settings), "host": host}
        found["subdomain"] = f"{repo.ns}-{repo.name}".lower()
    if full:
        files = walk(head.tree) if head else []
        names = [_sibling(e, p, blobs) for e, p in files if isinstance(e, pygit2.Blob)]
        found |= {"cardData": card, "siblings": names}
    return found


def _sibling(blob: pygit2.Blob, path: str, details: bool) -> dict:
    if not details:
        return {"rfilename": path}
    link = pointer(blob)
    found = {"rfilename": path, "blobId": str(blob.id), "size": link.size if link else blob.size}
    if link:
        found["lfs"] = {"sha256": link.oid, "size": link.size, "pointerSize": blob.size}
    return found


@router.route("GET", REPO + "/auth-check", REPO + "/auth-check/write")
def auth_check(call: Call) -> Response:
    repo = call.repo(write=call.path.endswith("/write"))
    check_gate(call, repo)
    return Response("OK")


@router.route("GET", REPO + "/tree/{rev}/{path...}")
def tree(call: Call) -> Response:
    git, path = call.repo().git(), call.params["path"]
    commit = commit_at(git, call.params["rev"])
    folder = lookup(commit.tree, path)
    if not isinstance(folder, pygit2.Tree):
        message = f'{path} is not a folder on "{call.params["rev"]}"'
        raise HubError(404, message, "EntryNotFound")
    found = list(walk(folder, f"{path}/" if path else "", call.flag("recursive")))
    if not call.flag("expand"):
        return call.page([_entry(e, p) for e, p in found])
    last = last_commits(commit, git, [p for _, p in found])
    return call.page([_entry(e, p, last) for e, p in found], 50)


@router.route("POST", REPO + "/paths-info/{rev}", reads=True)
def paths_info(call: Call) -> list[dict]:
    git = call.repo().git()
    commit = commit_at(git, call.params["rev"])
    paths = dict.fromkeys(p.strip("/") for p in call.form("paths"))
    found = {p: e for p in paths if p and (e := lookup(commit.tree, p))}
    expand = [v.lower() for v in call.form("expand")] == ["true"]
    last = last_commits(commit, git, found) if expand else None
    return [_entry(e, p, last) for p, e in found.items()]


def _entry(entry: pygit2.Object, path: str, last: dict | None = None) -> dict:
    found: dict = {"type": "directory", "oid": str(entry.id), "size": 0, "path": path}
    if isinstance(entry, pygit2.Blob):
        link = pointer(entry)
        found |= {"type": "file", "size": link.size if link else entry.size}
        if link:
            found["lfs"] = {"oid": link.oid, "size": link.size, "pointerSize": entry.size}
    if last and path in last:
        commit = last[path]
        title, date = commit.message.split("\n")[0], iso(commit.commit_time)
        found["lastCommit"] = {"id": str(commit.id), "title": title, "date": date}
    return found


@router.route("GET", REPO + "/commits/{rev}")
def commits(call: Call) -> Response:
    git = call.repo().git()
    start = commit_at(git, call.params["rev"])
    found = []
    for commit in git.walk(start.id, pygit2.enums.SortMode.TOPOLOGICAL):
        title, _, message = commit.message.partition("\n\n")
        head = {"id": str(commit.id), "title": title, "message": message}
        formatted = {"formatted": dict(head)} if call.many("expand") else {}
        who, date = [{"user": commit.author.name}], iso(commit.commit_time)
        found.append({**head, "authors": who, "date": date, **formatted})
    return call.page(found, 50, "p")


@router.route("PUT", REPO + "/settings")
def settings(call: Call) -> dict:
    repo, body = call.repo(write=True), call.json
    private, gated = _private(body, repo.private), repo.gated
    if "gated" in body.value:
        gated = str(body.value["gated"]).lower()
        if not re.fullmatch("auto|manual|false", gated):
            raise HubError(400, '"gated" has to be "auto", "manual" or false')
    call.hub.repos.update(repo, private=int(private), gated=gated)
    if "visibility" in body.value:
        call.hub.repos.configure(repo, visibility=body.text("visibility"))
    return {"private": private, "gated": gated}
