"""The repos, one bare git folder each: looked up, created, moved and deleted."""

import json
import re
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pygit2

from palate.localhub.accounts import User, owns
from palate.localhub.database import Database
from palate.localhub.errors import HubError
from palate.localhub.folders import creating, mark, settle
from palate.localhub.git import GITATTRIBUTES, Change, edited, now, write_commit, write_tree

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}", re.ASCII)


@dataclass(frozen=True)
class Repo:
    """A repo at the time of its lookup."""

    id: int
    kind: str
    ns: str
    name: str
    folder: Path
    private: bool
    gated: str
    created: str
    sdk: str | None
    settings: dict

    @property
    def full_name(self) -> str:
        return f"{self.ns}/{self.name}"

    @property
    def path(self) -> str:
        """The repo's path on this Hub: /me/x, /datasets/me/x or /spaces/me/x."""
        prefix = "" if self.kind == "model" else f"/{self.kind}s"
        return f"{prefix}/{quote(self.full_name)}"

    @property
    def visibility(self) -> str:
        """A protected Space is a private repo whose app is public."""
        if self.private:
            return "protected" if self.settings.get("visibility") == "protected" else "private"
        return "public"

    def git(self) -> pygit2.Repository:
        return pygit2.Repository(str(self.folder))


def check_name(name: str) -> str:
    """Return `name`; `HubError` 400 if it cannot be the name of a repo."""
    if not NAME.fullmatch(name) or re.search(r"\.\.|--", name) or name.endswith((".git", ".", "-")):
        raise HubError(400, f"Invalid repo name {name[:100]!r}: use letters, digits, '.', '_', '-'")
    return name


def split_id(repo_id: str) -> tuple[str, str]:
    """Split namespace/name; `HubError` 400 for any other form."""
    ns, slash, name = repo_id.partition("/")
    if not slash:
        raise HubError(400, f"Invalid repo id {repo_id[:100]!r}: expected namespace/name")
    return ns, check_name(name)


class Repos:
    """The repos of one Hub; their git folders are in `folder`."""

    def __init__(self, db: Database, folder: Path):
        self._db, self._folder = db, folder
        self._locks: dict[int, threading.RLock] = {}
        folder.mkdir(exist_ok=True)
        self.unknown_folders, self._damaged = settle(db, folder)

    def _repo(self, row: sqlite3.Row) -> Repo:
        fields = dict(row) | {"folder": self._folder / row["folder"]}
        fields |= {"private": bool(row["private"]), "settings": json.loads(row["settings"])}
        return Repo(**fields)

    def find(
        self,
        kind: str,
        ns: str,
        name: str,
        user: User | None,
        write: bool = False,
        damaged: bool = False,
    ) -> Repo:
        """Return the repo with that name now or formerly; `HubError` 404 if `user` may not read it.

        A repo whose files are gone is returned only with `damaged`, to delete it.
        """
        key = (kind, ns, name)
        row = self._db.one("SELECT * FROM repo WHERE kind=? AND ns=? AND name=?", *key)
        row = row or self._db.one(
            "SELECT repo.* FROM moved JOIN repo ON repo.id = moved.repo"
            " WHERE moved.kind=? AND moved.ns=? AND moved.name=?",
            *key,
        )
        if row is None or (row["private"] and not owns(user, row["ns"])):
            if user is None:  # the same answer for a private repo as for a missing one
                raise HubError(401, "Invalid username or password.", "RepoNotFound")
            raise HubError(404, "Repository not found", "RepoNotFound")
        repo = self._repo(row)
        if write and user is None:
            raise HubError(401, "Invalid username or password.")
        if write and not owns(user, repo.ns):
            message = f"You don't have the rights to write to {repo.full_name}: it is not yours"
            raise HubError(403, message)
        if repo.id in self._damaged and not damaged:
            message = f"The files of {repo.full_name} are gone from this Hub's disk: see its log"
            raise HubError(404, message, "RepoNotFound")
        return repo

    def by_id(self, repo_id: int) -> Repo:
        """Return the repo as it is now, without checking access; `HubError` 404 if deleted."""
        row = self._db.one("SELECT * FROM repo WHERE id=?", repo_id)
        if row is None:
            raise HubError(404, "Repository not found", "RepoNotFound")
        return self._repo(row)

    def is_taken(self, kind: str, ns: str, name: str) -> bool:
        """Tell whether a repo has this name."""
        row = self._db.one("SELECT 1 FROM repo WHERE kind=? AND ns=? AND name=?", kind, ns, name)
        return row is not None

    def intact(self) -> list[Repo]:
        """Return all repos whose files exist."""
        rows = self._db.all("SELECT * FROM repo")
        return [self._repo(row) for row in rows if row["id"] not in self._damaged]

    def listing(self, user: User | None, kind: str | None = None) -> list[Repo]:
        """Return what `user` may see, newest first."""
        rows = self._db.all(
            "SELECT * FROM repo WHERE kind = ifnull(?, kind) ORDER BY id DESC", kind
        )
        visible = [r for r in rows if not r["private"] or owns(user, r["ns"])]
        return [self._repo(r) for r in visible if r["id"] not in self._damaged]

    @contextmanager
    def lock(self, repo: Repo) -> Generator[pygit2.Repository]:
        """A block with exclusive write access to `repo`."""
        with self._exclusive(repo):
            yield repo.git()

    @contextmanager
    def _exclusive(self, repo: Repo) -> Generator[None]:
        with self._locks.setdefault(repo.id, threading.RLock()):
            if not self._db.one("SELECT 1 FROM repo WHERE id=?", repo.id):
                raise HubError(404, "Repository not found", "RepoNotFound")
            yield

    def create(
        self,
        user: User,
        kind: str,
        ns: str,
        name: str,
        *,
        private: bool = False,
        sdk: str | None = None,
        settings: dict | None = None,
    ) -> Repo:
        """Create a repo with a first commit.

        Raises `HubError` 400, 403 or 409 for an invalid, foreign or taken name.
        """
        check_name(name)
        if not user.owns(ns):
            message = f'You don\'t have the rights to create a {kind} under the namespace "{ns}"'
            raise HubError(403, message)
        folder = self._folder / secrets.token_hex(12)
        values = (kind, ns, name, folder.name, int(private), now(), sdk, json.dumps(settings or {}))
        try:
            with creating(folder):
                _first_commit(folder, user, kind, name, sdk)
                return self._insert(values)  # last: a repo that can be found is complete
        except sqlite3.IntegrityError:
            raise HubError(409, f"You already created this {kind} repo: {ns}/{name}") from None

    def _insert(self, values: tuple[object, ...]) -> Repo:
        with self._db.transaction():
            new = self._db.run(
                "INSERT INTO repo(kind, ns, name, folder, private, created, sdk, settings)"
                " VALUES(?,?,?,?,?,?,?,?)",
                *values,
            ).lastrowid
            self._db.run("DELETE FROM moved WHERE kind=? AND ns=? AND name=?", *values[:3])
            row = self._db.one("SELECT * FROM repo WHERE id=?", new)
        assert row is not None
        return self._repo(row)

    def delete(self, repo: Repo) -> None:
        """Delete a repo and its links to LFS objects."""
        with self._exclusive(repo):
            marker = mark(repo.folder)
            with self._db.transaction():
                for table in ("lfs_link", "lfs_promise", "moved"):
                    self._db.run(f"DELETE FROM {table} WHERE repo=?", repo.id)
                self._db.run("DELETE FROM repo WHERE id=?", repo.id)
            shutil.rmtree(repo.folder, ignore_errors=True)
            marker.unlink()

    def move(self, repo: Repo, user: User, to: str) -> None:
        """Rename `repo`; the old name leads to it until another repo takes it."""
        ns, name = split_id(to)
        if not user.owns(ns):
            raise HubError(403, f'You don\'t have the rights to the namespace "{ns}"')
        try:
            with self._db.transaction():
                self._db.run("UPDATE repo SET ns=?, name=? WHERE id=?", ns, name, repo.id)
                self._db.run(
                    "DELETE FROM moved WHERE kind=? AND ns=? AND name=?", repo.kind, ns, name
                )
                old = (repo.kind, repo.ns, repo.name, repo.id)
                if repo.full_name.lower() != to.lower():
                    self._db.run("INSERT OR REPLACE INTO moved VALUES(?,?,?,?)", *old)
        except sqlite3.IntegrityError:
            raise HubError(409, f"A {repo.kind} repo called {to} already exists") from None

    def update(self, repo: Repo, **columns: object) -> None:
        """Set columns of the repo's row."""
        names = ", ".join(f"{name}=?" for name in columns)
        self._db.run(f"UPDATE repo SET {names} WHERE id=?", *columns.values(), repo.id)

    def configure(self, repo: Repo, **settings: object) -> dict:
        """Change some of the repo's settings and return all of them."""
        with self._db.transaction():
            row = self._db.one("SELECT settings FROM repo WHERE id=?", repo.id)
            if row is None:
                raise HubError(404, "Repository not found", "RepoNotFound")
            merged = json.loads(row["settings"]) | settings
            self.update(repo, settings=json.dumps(merged))
        return merged


def _first_commit(folder: Path, user: User, kind: str, name: str, sdk: str | None) -> None:
    git = pygit2.init_repository(str(folder), bare=True, initial_head="main")
    files = {".gitattributes": GITATTRIBUTES}
    if kind == "space":
        files["README.md"] = (
            f"---\ntitle: {name}\nsdk: {sdk}\napp_file: app.py\npinned: false\n---\n"
        )
    changes = [Change("add", path, text.encode()) for path, text in files.items()]
    tree = write_tree(git, edited(None, changes), changes)
    write_commit(git, "refs/heads/main", user.name, "initial commit", tree, [])
