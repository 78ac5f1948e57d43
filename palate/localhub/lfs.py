"""Large files: stored once by their sha256, readable through the repos that link them."""

import hashlib
import os
import re
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from starlette.responses import FileResponse, JSONResponse, Response

from palate.localhub.accounts import User
from palate.localhub.calls import Body, Call, router
from palate.localhub.database import Database
from palate.localhub.errors import HubError
from palate.localhub.repos import Repo

PART = 32 * 1024 * 1024  # bytes; larger uploads come in parts of this size
DAY = 24 * 3600


class LFS:
    def __init__(self, db: Database, root: Path):
        self._db, self._objects, self._incoming = db, root / "lfs", root / "incoming"
        self._lock = threading.Lock()
        self._objects.mkdir(exist_ok=True)
        shutil.rmtree(self._incoming, ignore_errors=True)  # uploads that a stop cut short
        self._incoming.mkdir()

    def path(self, oid: str) -> Path:
        return self._objects / oid[:2] / oid[2:4] / oid

    def part(self, upload: str, number: int) -> Path:
        return self._incoming / f"{upload}.{number}"

    def link(self, repo: Repo, user: User, oid: str, path: str) -> int:
        """Make an object part of `repo`; return its size in bytes.

        Knowing a hash is no right to its content: the repo has to link it already, or `user` to
        have uploaded it. Anything else is answered as if the object did not exist.
        """
        with self._lock:
            if not (self.path(oid).exists() and self.allowed(repo, user, oid)):
                message = f"{path} points to a large file that was not uploaded: upload it first"
                raise HubError(400, message)
            self._db.run("INSERT OR IGNORE INTO lfs_link VALUES(?,?)", repo.id, oid)
            return self.path(oid).stat().st_size

    def allowed(self, repo: Repo, user: User, oid: str) -> bool:
        return self.linked(repo, oid) or bool(
            self._db.one("SELECT 1 FROM lfs_upload WHERE user=? AND oid=?", user.name, oid)
        )

    def linked(self, repo: Repo, oid: str) -> bool:
        return bool(self._db.one("SELECT 1 FROM lfs_link WHERE repo=? AND oid=?", repo.id, oid))

    def forget(self, oids: Iterable[str]) -> None:
        """Delete those objects that no repo links any more."""
        for oid in oids:
            with self._lock:
                if not self._db.one("SELECT 1 FROM lfs_link WHERE oid=?", oid):
                    self._db.run("DELETE FROM lfs_upload WHERE oid=?", oid)
                    self.path(oid).unlink(missing_ok=True)

    async def receive(self, stream: AsyncIterator[bytes], limit: int) -> tuple[Path, str]:
        """Write an upload of at most `limit` bytes to disk; return the file and its sha256."""
        file = self._incoming / secrets.token_hex(12)
        digest, size = hashlib.sha256(), 0
        try:
            with file.open("wb") as f:
                async for chunk in stream:
                    size += len(chunk)
                    if size > limit:
                        raise HubError(413, f"More bytes than the announced {limit}")
                    digest.update(chunk)
                    f.write(chunk)
                f.flush()
                os.fsync(f.fileno())
        except BaseException as e:
            file.unlink(missing_ok=True)
            if isinstance(e, OSError | HubError):
                async for _ in stream:  # a client listens for the answer once it has sent all
                    pass
            raise
        return file, digest.hexdigest()

    def join(self, upload: str, count: int) -> tuple[Path, str]:
        """Put the parts of an upload together; return the file and its sha256."""
        file, digest = self._incoming / secrets.token_hex(12), hashlib.sha256()
        parts = [self.part(upload, n) for n in range(1, count + 1)]
        missing = [n for n, part in enumerate(parts, 1) if not part.exists()]
        if missing:
            raise HubError(400, f"Parts {missing[:10]} of this upload did not arrive: send them")
        try:
            with file.open("wb") as f:
                for part in parts:
                    with part.open("rb") as p:
                        while chunk := p.read(1 << 20):
                            digest.update(chunk)
                            f.write(chunk)
                f.flush()
                os.fsync(f.fileno())
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        for part in parts:
            part.unlink()
        return file, digest.hexdigest()

    def keep(self, file: Path, digest: str, claims: dict) -> None:
        """Make a complete upload an object, if it is what was announced."""
        if digest != claims["oid"] or file.stat().st_size != claims["size"]:
            file.unlink()
            raise HubError(400, f"The content's sha256 is {digest}, not {claims['oid']}")
        target = self.path(digest)
        with self._lock:
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
            folder = os.open(target.parent, os.O_RDONLY)
            os.fsync(folder)  # the name reaches the disk too
            os.close(folder)
            self._db.run("INSERT OR IGNORE INTO lfs_upload VALUES(?,?)", claims["user"], digest)


@router.route("POST", "/{kind}/{ns}/{git}/info/lfs/objects/batch")
def batch(call: Call) -> JSONResponse:
    """Where to upload or download each of some objects: addresses that hold for a day."""
    if not call.params["git"].endswith(".git"):
        raise HubError(404, "Not found")
    call.params["name"] = call.params["git"].removesuffix(".git")
    repo, body = call.repo(), call.json
    upload = body.text("operation") == "upload"
    if upload:
        call.need_user()
    answer = _upload if upload else _download
    objects = [answer(call, repo, _object(o), body) for o in body.objects("objects")]
    answered = {"transfer": "basic", "objects": objects}
    return JSONResponse(answered, media_type="application/vnd.git-lfs+json")


def _object(spec: Body) -> tuple[str, int]:
    oid, size = spec.text("oid"), spec.integer("size")
    if not re.fullmatch(r"[0-9a-f]{64}", oid) or size < 0:
        raise HubError(422, "An object has an oid of 64 hexadecimal digits and a size")
    return oid, size


def _download(call: Call, repo: Repo, spec: tuple[str, int], body: Body) -> dict:
    oid, size = spec
    check_gate(call, repo)
    if not call.hub.lfs.linked(repo, oid):
        return {"oid": oid, "size": size, "error": {"code": 404, "message": "Not in this repo"}}
    ticket = call.hub.signer.sign("lfs-get", DAY, oid=oid, repo=repo.id)
    href = f"{call.base}/_lfs/{oid}?ticket={ticket}"
    return {"oid": oid, "size": size, "actions": {"download": {"href": href}}}


def _upload(call: Call, repo: Repo, spec: tuple[str, int], body: Body) -> dict:
    oid, size = spec
    answer: dict = {"oid": oid, "size": size, "authenticated": True}
    user, lfs = call.need_user(), call.hub.lfs
    if lfs.path(oid).exists() and lfs.allowed(repo, user, oid):
        return answer
    call.hub.need_space(size)
    claims = {"oid": oid, "size": size, "user": user.name, "upload": secrets.token_hex(12)}
    ticket = call.hub.signer.sign("lfs-put", DAY, **claims)
    address = f"{call.base}/_lfs/{oid}"
    action: dict = {"href": f"{address}?ticket={ticket}"}
    if "multipart" in body.texts("transfers", []) and size > PART:
        count = -(-size // PART)
        parts = {str(n): f"{address}/part/{n}?ticket={ticket}" for n in range(1, count + 1)}
        action = {"href": f"{address}/complete?ticket={ticket}"}
        action["header"] = {"chunk_size": str(PART), **parts}
    verify = {"href": f"{address}/verify?ticket={ticket}"}
    return answer | {"actions": {"upload": action, "verify": verify}}


def check_gate(call: Call, repo: Repo) -> None:
    """Raise `HubError` if the repo's files are for its owners and the caller is none."""
    if repo.gated != "false" and not (call.user and call.user.owns(repo.ns)):
        message = f"Access to {repo.kind} {repo.full_name} is restricted"
        raise HubError(403 if call.user else 401, message, "GatedRepo")


def _ticket(call: Call, purpose: str) -> dict:
    claims = call.hub.signer.check(purpose, call.arg("ticket"))
    if claims["oid"] != call.params["oid"]:
        raise HubError(403, "This link is for another file")
    return claims


@router.route("GET", "/_lfs/{oid}")
def download(call: Call) -> Response:
    claims = _ticket(call, "lfs-get")
    file = call.hub.lfs.path(claims["oid"])
    if not file.exists():
        raise HubError(404, "This file was deleted")
    headers = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
    return FileResponse(file, headers=headers, media_type="application/octet-stream")


@router.route("PUT", "/_lfs/{oid}")
async def upload(call: Call) -> Response:
    claims, lfs = _ticket(call, "lfs-put"), call.hub.lfs
    file, digest = await lfs.receive(call.request.stream(), claims["size"])
    lfs.keep(file, digest, claims)
    return Response(headers={"ETag": f'"{digest}"'})


@router.route("PUT", "/_lfs/{oid}/part/{number}")
async def upload_part(call: Call) -> Response:
    claims, lfs = _ticket(call, "lfs-put"), call.hub.lfs
    number = call.params["number"]
    if not re.fullmatch(r"[1-9]\d{0,6}", number) or (int(number) - 1) * PART >= claims["size"]:
        raise HubError(400, f"There is no part {number[:20]} of this upload")
    file, digest = await lfs.receive(call.request.stream(), PART)
    file.replace(lfs.part(claims["upload"], int(number)))
    return Response(headers={"ETag": f'"{digest}"'})


@router.route("POST", "/_lfs/{oid}/complete")
def complete(call: Call) -> dict:
    claims = _ticket(call, "lfs-put")
    file, digest = call.hub.lfs.join(claims["upload"], -(-claims["size"] // PART))
    call.hub.lfs.keep(file, digest, claims)
    return {}


@router.route("POST", "/_lfs/{oid}/verify")
def verify(call: Call) -> dict:
    claims = _ticket(call, "lfs-put")
    file = call.hub.lfs.path(claims["oid"])
    if not file.exists() or file.stat().st_size != claims["size"]:
        raise HubError(404, "This file was not uploaded")
    return {}
