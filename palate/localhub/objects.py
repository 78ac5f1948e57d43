"""Large files: stored once by their sha256, linked by repos, deleted when no ref needs them.

A *link* gives a repo an object. A *promise* records that a user has uploaded an object, or need not
upload it, in order to commit it to a repo; it lasts a day. `sweep` deletes objects with neither.
"""

import hashlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import pygit2
from starlette.concurrency import run_in_threadpool

from palate.localhub.accounts import User
from palate.localhub.database import Database
from palate.localhub.errors import HubError
from palate.localhub.git import referenced
from palate.localhub.repos import Repo

PART = 32 * 1024 * 1024  # bytes; larger uploads come in parts of this size
DAY = 24 * 3600.0  # seconds that an upload waits for its commit


class LFS:
    """The large files of one Hub, in `root`."""

    def __init__(self, db: Database, root: Path):
        self._db, self._objects, self._incoming = db, root / "lfs", root / "incoming"
        self._lock, self._joining = threading.Lock(), threading.Lock()
        self.links_known = True
        self._objects.mkdir(exist_ok=True)
        shutil.rmtree(self._incoming, ignore_errors=True)  # uploads that a stop interrupted
        self._incoming.mkdir()

    def path(self, oid: str) -> Path:
        return self._objects / oid[:2] / oid[2:4] / oid

    def part(self, upload: str, number: int) -> Path:
        return self._incoming / f"{upload}.{number}"

    def content(self, repo: Repo, oid: str) -> Path:
        """Return the file of an object that `repo` links; `HubError` 404 if it does not.

        A pointer in git grants no access to its object: anybody can write one.
        """
        if not (self.linked(repo.id, oid) and self.path(oid).exists()):
            raise HubError(
                404, "This large file is not, or no longer, in the repo", "EntryNotFound"
            )
        return self.path(oid)

    def linked(self, repo: int, oid: str) -> bool:
        return bool(self._db.one("SELECT 1 FROM lfs_link WHERE repo=? AND oid=?", repo, oid))

    def size(self, repo: Repo, user: User, oid: str, path: str) -> int:
        """Return the size of an object that `user` wants to commit to `repo`.

        Knowing a hash grants no access to its content: the repo must link the object already, or
        `user` must have uploaded it or own a repo with it. Otherwise it is treated as missing.
        """
        with self._lock:
            self._check(repo, user, oid, path)
            return self.path(oid).stat().st_size

    def link(self, repo: Repo, user: User, files: dict[str, str]) -> None:
        """Link objects, by path, to `repo`: before a ref needs them, under the repo's lock."""
        with self._lock, self._db.transaction():
            for path, oid in files.items():
                self._check(repo, user, oid, path)
                self._db.run("INSERT OR IGNORE INTO lfs_link VALUES(?,?)", repo.id, oid)

    def keep_promises(self, repo: Repo, user: User, oids: Iterable[str]) -> None:
        """Delete the promises of `user` to commit objects to `repo`, once they are committed."""
        delete = "DELETE FROM lfs_promise WHERE oid=? AND user=? AND repo=?"
        with self._db.transaction():
            for oid in oids:
                self._db.run(delete, oid, user.name, repo.id)

    def offer(self, repo: Repo, user: User, oid: str) -> bool:
        """Tell whether `user` can commit an object to `repo` within a day without uploading it."""
        with self._lock:
            known = self.path(oid).exists() and self._allowed(repo, user, oid)
            if known:
                self._promise(oid, user.name, repo.id)
            return known

    def _check(self, repo: Repo, user: User, oid: str, path: str) -> None:
        if not (self.path(oid).exists() and self._allowed(repo, user, oid)):
            message = f"{path} points to a large file that was not uploaded: upload it first"
            raise HubError(400, message)

    def _allowed(self, repo: Repo, user: User, oid: str) -> bool:
        if self.linked(repo.id, oid):
            return True
        if self._db.one("SELECT 1 FROM lfs_promise WHERE oid=? AND user=?", oid, user.name):
            return True
        owners = "SELECT DISTINCT ns FROM lfs_link JOIN repo ON repo.id = repo WHERE oid=?"
        return any(user.owns(row["ns"]) for row in self._db.all(owners, oid))

    def _promise(self, oid: str, user: str, repo: int) -> None:
        promise = "INSERT OR REPLACE INTO lfs_promise VALUES(?,?,?,?)"
        self._db.run(promise, oid, user, repo, time.time())

    async def receive(self, stream: AsyncIterator[bytes], limit: int) -> tuple[Path, str]:
        """Write an upload of at most `limit` bytes to disk; return the file and its sha256."""
        file = self._incoming / secrets.token_hex(12)
        digest, size = hashlib.sha256(), 0
        try:
            with file.open("wb") as f:
                async for chunk in stream:
                    size += len(chunk)
                    if size > limit:
                        raise HubError(413, f"The upload has more than the announced {limit} bytes")
                    digest.update(chunk)
                    f.write(chunk)
                f.flush()
                await run_in_threadpool(os.fsync, f.fileno())  # other requests go on meanwhile
        except BaseException as e:
            file.unlink(missing_ok=True)
            if isinstance(e, OSError | HubError):
                async for (
                    _
                ) in stream:  # a client reads the answer only after it has sent everything
                    pass
            raise
        return file, digest.hexdigest()

    def join(self, claims: dict) -> None:
        """Join the parts of an upload; does nothing if they were joined already."""
        with self._joining:  # a client that timed out asks again while the first request runs
            done = self.path(claims["oid"])
            promised = "SELECT 1 FROM lfs_promise WHERE oid=? AND user=? AND repo=?"
            values = (claims["oid"], claims["user"], claims["repo"])
            if done.exists() and self._db.one(promised, *values):
                return
            count = -(-claims["size"] // PART)
            parts = [self.part(claims["upload"], n) for n in range(1, count + 1)]
            missing = [n for n, part in enumerate(parts, 1) if not part.exists()]
            if missing:
                message = f"Parts {missing[:10]} of this upload are missing: send them"
                raise HubError(400, message)
            file, digest = self._joined(parts)
            for part in parts:
                part.unlink()
            self.keep(file, digest, claims)

    def _joined(self, parts: list[Path]) -> tuple[Path, str]:
        """Write the parts to one file; return it and its sha256."""
        file, digest = self._incoming / secrets.token_hex(12), hashlib.sha256()
        try:
            with file.open("wb") as f:
                for chunk in _chunks(parts):
                    digest.update(chunk)
                    f.write(chunk)
                f.flush()
                os.fsync(f.fileno())
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return file, digest.hexdigest()

    def keep(self, file: Path, digest: str, claims: dict) -> None:
        """Store a complete upload as an object, if it has the announced sha256 and size."""
        if digest != claims["oid"] or file.stat().st_size != claims["size"]:
            file.unlink()
            raise HubError(400, f"The content's sha256 is {digest}, not {claims['oid']}")
        target = self.path(digest)
        with self._lock:
            self._promise(digest, claims["user"], claims["repo"])  # first: a sweep may follow
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
            folder = os.open(target.parent, os.O_RDONLY)
            os.fsync(folder)  # so that the name reaches the disk too
            os.close(folder)

    def prune(self, repo: Repo, git: pygit2.Repository) -> None:
        """Drop the links of `repo` that no ref needs; the caller holds the repo's lock."""
        rows = self._db.all("SELECT oid FROM lfs_link WHERE repo=?", repo.id)
        linked = {row["oid"] for row in rows}
        superfluous = linked - referenced(git, linked)
        with self._db.transaction():
            for oid in superfluous:
                self._db.run("DELETE FROM lfs_link WHERE repo=? AND oid=?", repo.id, oid)

    def sweep(self) -> None:
        """Delete the objects without a link or a promise.

        Nothing is deleted while the database may not know all links. Each object is checked and
        deleted separately, under the lock that guards links and promises, so a sweep may be
        interrupted at any point and run during uploads and commits.
        """
        if not self.links_known:
            return
        self._db.run("DELETE FROM lfs_promise WHERE at < ?", time.time() - DAY)
        known = "SELECT 1 FROM lfs_link WHERE oid=?1 UNION SELECT 1 FROM lfs_promise WHERE oid=?1"
        for file in self._objects.glob("*/*/*"):
            with self._lock:
                if not self._db.one(known, file.name):
                    file.unlink(missing_ok=True)
        for file in self._incoming.iterdir():  # parts of abandoned uploads
            if file.stat().st_mtime < time.time() - DAY:
                file.unlink(missing_ok=True)


def _chunks(files: list[Path]) -> Iterator[bytes]:
    """Yield the content of the files, a megabyte at a time."""
    for file in files:
        with file.open("rb") as f:
            while chunk := f.read(1 << 20):
                yield chunk
