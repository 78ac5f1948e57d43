"""The content of files, and git's own read-only protocol."""

import os
import re
import subprocess
from urllib.parse import quote, urlencode

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
# what a repo holds is somebody's: opened by itself it may draw, but neither run nor reach anything
HARMLESS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


def content(call: Call, blob: pygit2.Blob) -> bytes:
    """The bytes of a file, wherever they are kept."""
    link = pointer(blob)
    return call.hub.lfs.path(link.oid).read_bytes() if link else blob.data


def media_type(path: str, blob: pygit2.Blob) -> str:
    """As an image or as text, never as a page: what a browser shows must not run here."""
    image = IMAGES.get(path.rsplit(".", 1)[-1].lower())
    if image:
        return image
    binary = pointer(blob) is not None or blob.is_binary
    return "application/octet-stream" if binary else "text/plain; charset=utf-8"


@router.route(
    "GET", *(f"/{{kind}}/{{ns}}/{{name}}/{how}/{{rev}}/{{path...}}" for how in ("resolve", "raw"))
)
def resolve(call: Call) -> Response:
    """A file at a revision; with Range, a part of it."""
    repo, rev, path = call.repo(), call.params["rev"], call.params["path"]
    if repo.full_name != f"{call.params['ns']}/{call.params['name']}":  # it was moved
        target = f"{repo.path}/resolve/{quote(rev, safe='')}/{quote(path)}"
        return Response(status_code=307, headers={"Location": target})
    check_gate(call, repo)
    commit = commit_at(repo.git(), rev)
    blob = lookup(commit.tree, path)
    if not isinstance(blob, pygit2.Blob):
        raise HubError(404, f"Entry not found: {path[:200]}", "EntryNotFound")
    name = quote(path.rsplit("/", 1)[-1])
    disposition = f"inline; filename*=UTF-8''{name}"
    headers = {"X-Repo-Commit": str(commit.id), "Content-Disposition": disposition} | HARMLESS
    link, kind = pointer(blob), media_type(path, blob)
    if link is None:
        return _part(call, blob.data, kind, headers | {"ETag": f'"{blob.id}"'})
    file = call.hub.lfs.content(repo, link.oid)
    headers |= {"ETag": f'"{link.oid}"', "X-Linked-Etag": f'"{link.oid}"'}
    headers["X-Linked-Size"] = str(link.size)
    return FileResponse(file, headers=headers, media_type=kind)


def _part(call: Call, data: bytes, kind: str, headers: dict[str, str]) -> Response:
    """`data`, or the one range of it that the client asks for."""
    headers = headers | {"Accept-Ranges": "bytes"}
    wanted = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", call.headers.get("range", ""))
    if not wanted or not data or wanted[0] == "bytes=-":
        return Response(data, headers=headers, media_type=kind)
    size = len(data)
    start = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[2]))
    stop = min(int(wanted[2]) + 1, size) if wanted[1] and wanted[2] else size
    if start >= min(stop, size):
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(data[start:stop], 206, headers, kind)


@router.route("GET", "/{kind}/{ns}/{name}/info/refs")
@router.route("POST", "/{kind}/{ns}/{name}/git-upload-pack", reads=True)
def clone(call: Call) -> Response:
    """`git clone` and `git fetch`; pushes go through the commit API."""
    call.params["name"] = call.params["name"].removesuffix(".git")
    repo = call.repo()
    check_gate(call, repo)
    if call.method == "GET" and call.arg("service") != "git-upload-pack":
        raise HubError(403, "This Hub takes commits through its API, not through git push")
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(repo.folder),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_PROJECT_ROOT": str(repo.folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": call.headers.get("git-protocol", ""),
        "PATH_INFO": "/info/refs" if call.method == "GET" else "/git-upload-pack",
        "REQUEST_METHOD": call.method,
        "QUERY_STRING": urlencode(call.query, doseq=True),
        "CONTENT_TYPE": call.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(call.body)),
        "HTTP_CONTENT_ENCODING": call.headers.get("content-encoding", ""),
    }
    done = subprocess.run(
        ["git", "http-backend"], input=call.body, env=environment, capture_output=True, check=False
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    lines = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line]
    headers = dict(lines)
    status = int(headers.pop("Status", "200").split()[0]) if lines else 500
    if status >= 500:  # a repo that can be opened can be served: git did not understand the client
        raise HubError(400, "git could not read this request")
    return Response(body, status, headers)
