"""The Git LFS protocol: signed URLs for the download and upload of large files."""

import re
import secrets

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response

from palate.localhub.body import Body
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.objects import DAY, PART
from palate.localhub.repos import Repo

MAX_FILE = 1 << 40  # bytes
PART_NUMBER = r"[1-9][0-9]{0,6}"


@router.route("POST", "/{kind}/{ns}/{git}/info/lfs/objects/batch", reads=True)
def batch(call: Call) -> JSONResponse:
    """Return the URLs at which to upload or download objects; they are valid for a day."""
    if not call.params["git"].endswith(".git"):
        raise HubError(404, "Not found")
    call.params["name"] = call.params["git"].removesuffix(".git")
    repo, body = call.repo(), call.json
    upload = body.text("operation") == "upload"
    if upload:
        call.need_user()
        call.need_write_token()
    multipart = "multipart" in body.texts("transfers", [])
    objects = [
        _upload(call, repo, *_object(o), multipart)
        if upload
        else _download(call, repo, *_object(o))
        for o in body.objects("objects")
    ]
    content = {"transfer": "basic", "objects": objects}
    return JSONResponse(content, media_type="application/vnd.git-lfs+json")


def _object(spec: Body) -> tuple[str, int]:
    oid, size = spec.text("oid"), spec.integer("size")
    if not re.fullmatch(r"[0-9a-f]{64}", oid) or not 0 <= size <= MAX_FILE:
        message = "An object needs an oid of 64 hexadecimal digits and a size of at most 1 TiB"
        raise HubError(422, message)
    return oid, size


def _download(call: Call, repo: Repo, oid: str, size: int) -> dict:
    check_gate(call, repo)
    if not call.hub.lfs.linked(repo.id, oid):
        return {"oid": oid, "size": size, "error": {"code": 404, "message": "Not in this repo"}}
    ticket = call.hub.signer.sign("lfs-get", DAY, oid=oid, repo=repo.id)
    href = f"{call.base}/_lfs/{oid}?ticket={ticket}"
    return {"oid": oid, "size": size, "actions": {"download": {"href": href}}}


def _upload(call: Call, repo: Repo, oid: str, size: int, multipart: bool) -> dict:
    answer: dict = {"oid": oid, "size": size, "authenticated": True}
    user = call.need_user()
    if call.hub.lfs.offer(repo, user, oid):
        return answer
    call.hub.need_space(size)
    claims = {"oid": oid, "size": size, "user": user.name, "repo": repo.id}
    ticket = call.hub.signer.sign("lfs-put", DAY, **claims, upload=secrets.token_hex(12))
    address = f"{call.base}/_lfs/{oid}"
    action: dict = {"href": f"{address}?ticket={ticket}"}
    if multipart and size > PART:
        count = -(-size // PART)
        parts = {str(n): f"{address}/part/{n}?ticket={ticket}" for n in range(1, count + 1)}
        action = {"href": f"{address}/complete?ticket={ticket}"}
        action["header"] = {"chunk_size": str(PART), **parts}
    verify = {"href": f"{address}/verify?ticket={ticket}"}
    return answer | {"actions": {"upload": action, "verify": verify}}


def check_gate(call: Call, repo: Repo) -> None:
    """Raise `HubError` if only owners may read the repo's files and the caller is not one."""
    if repo.gated != "false" and not (call.user and call.user.owns(repo.ns)):
        message = f"Access to {repo.kind} {repo.full_name} is restricted"
        raise HubError(403 if call.user else 401, message, "GatedRepo")


def _ticket(call: Call, purpose: str) -> dict:
    claims = call.hub.signer.check(purpose, call.arg("ticket"))
    if claims["oid"] != call.params["oid"]:
        raise HubError(403, "This link is for a different file")
    return claims


@router.route("GET", "/_lfs/{oid}")
def download(call: Call) -> Response:
    claims = _ticket(call, "lfs-get")
    file = call.hub.lfs.path(claims["oid"])
    if not (call.hub.lfs.linked(claims["repo"], claims["oid"]) and file.exists()):
        raise HubError(404, "This file was deleted")
    headers = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
    return FileResponse(file, headers=headers, media_type="application/octet-stream")


@router.route("PUT", "/_lfs/{oid}")
async def upload(call: Call) -> Response:
    claims, lfs = _ticket(call, "lfs-put"), call.hub.lfs
    file, digest = await lfs.receive(call.request.stream(), claims["size"])
    await run_in_threadpool(lfs.keep, file, digest, claims)
    return Response(headers={"ETag": f'"{digest}"'})


@router.route("PUT", "/_lfs/{oid}/part/{number}")
async def upload_part(call: Call) -> Response:
    claims, lfs = _ticket(call, "lfs-put"), call.hub.lfs
    number = call.params["number"]
    before = (int(number) - 1) * PART if re.fullmatch(PART_NUMBER, number) else MAX_FILE
    if before >= claims["size"]:
        raise HubError(400, f"This upload has no part {number[:20]}")
    limit = min(PART, claims["size"] - before)
    file, digest = await lfs.receive(call.request.stream(), limit)
    file.replace(lfs.part(claims["upload"], int(number)))
    return Response(headers={"ETag": f'"{digest}"'})


@router.route("POST", "/_lfs/{oid}/complete")
def complete(call: Call) -> dict:
    call.hub.lfs.join(_ticket(call, "lfs-put"))
    return {}


@router.route("POST", "/_lfs/{oid}/verify")
def verify(call: Call) -> dict:
    claims = _ticket(call, "lfs-put")
    file = call.hub.lfs.path(claims["oid"])
    if not file.exists() or file.stat().st_size != claims["size"]:
        raise HubError(404, "This file was not uploaded")
    return {}
