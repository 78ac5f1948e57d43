"""The content of files."""

import re
from urllib.parse import quote

import pygit2
from starlette.responses import FileResponse, Response

from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.git import commit_at, lookup, pointer
from palate.localhub.lfs import check_gate

IMAGES = {
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webp": "image/webp",
}
# files come from users: opened alone they may be drawn, but neither run nor load anything
SANDBOX = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


def content(call: Call, blob: pygit2.Blob) -> bytes:
    """Return the bytes of a file, from git or from LFS."""
    link = pointer(blob)
    return call.hub.lfs.path(link.oid).read_bytes() if link else blob.data


def media_type(path: str, blob: pygit2.Blob) -> str:
    """Return an image or text type, never that of a page: nothing may run in the Hub's origin."""
    image = IMAGES.get(path.rsplit(".", 1)[-1].lower())
    if image:
        return image
    binary = pointer(blob) is not None or blob.is_binary
    return "application/octet-stream" if binary else "text/plain; charset=utf-8"


@router.route(
    "GET", *(f"/{{kind}}/{{ns}}/{{name}}/{how}/{{rev}}/{{path...}}" for how in ("resolve", "raw"))
)
def resolve(call: Call) -> Response:
    """Return a file at a revision; with a Range header, a part of it."""
    repo, rev, path = call.repo(), call.params["rev"], call.params["path"]
    if repo.full_name != f"{call.params['ns']}/{call.params['name']}":  # it was renamed
        target = f"{repo.path}/resolve/{quote(rev, safe='')}/{quote(path)}"
        return Response(status_code=307, headers={"Location": target})
    check_gate(call, repo)
    commit = commit_at(repo.git(), rev)
    blob = lookup(commit.tree, path)
    if not isinstance(blob, pygit2.Blob):
        raise HubError(404, f"Entry not found: {path[:200]}", "EntryNotFound")
    name = quote(path.rsplit("/", 1)[-1])
    disposition = f"inline; filename*=UTF-8''{name}"
    headers = {"X-Repo-Commit": str(commit.id), "Content-Disposition": disposition} | SANDBOX
    link, kind = pointer(blob), media_type(path, blob)
    if link is None:
        return _part(call, blob.data, kind, headers | {"ETag": f'"{blob.id}"'})
    file = call.hub.lfs.content(repo, link.oid)
    headers |= {"ETag": f'"{link.oid}"', "X-Linked-Etag": f'"{link.oid}"'}
    headers["X-Linked-Size"] = str(link.size)
    return FileResponse(file, headers=headers, media_type=kind)


def _part(call: Call, data: bytes, kind: str, headers: dict[str, str]) -> Response:
    """Return `data`, or the one range of it that the client asks for."""
    headers = headers | {"Accept-Ranges": "bytes"}
    bounds = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", call.headers.get("range", ""))
    if not bounds or not data or bounds[0] == "bytes=-":
        return Response(data, headers=headers, media_type=kind)
    size = len(data)
    start = int(bounds[1]) if bounds[1] else max(0, size - int(bounds[2]))
    stop = min(int(bounds[2]) + 1, size) if bounds[1] and bounds[2] else size
    if start >= min(stop, size):
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(data[start:stop], 206, headers, kind)
