"""Everything but the files of repos, in one SQLite database."""

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS repo(
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, ns TEXT COLLATE NOCASE, name TEXT COLLATE NOCASE,
  folder TEXT, private INT, gated TEXT DEFAULT 'false', created TEXT, sdk TEXT,
  settings TEXT DEFAULT '{}', UNIQUE(kind, ns, name));
CREATE TABLE IF NOT EXISTS moved(
  kind TEXT, ns TEXT COLLATE NOCASE, name TEXT COLLATE NOCASE, repo INT, UNIQUE(kind, ns, name));
CREATE TABLE IF NOT EXISTS lfs_link(repo INT, oid TEXT, UNIQUE(repo, oid));
CREATE TABLE IF NOT EXISTS lfs_promise(
  oid TEXT, user TEXT, repo INT, at REAL, UNIQUE(oid, user, repo));
CREATE INDEX IF NOT EXISTS lfs_link_oid ON lfs_link(oid);
DROP TABLE IF EXISTS lfs_upload; -- of an earlier version
CREATE TABLE IF NOT EXISTS job(id TEXT PRIMARY KEY, ns TEXT, pid INT, doc TEXT);
CREATE TABLE IF NOT EXISTS webhook(id TEXT PRIMARY KEY, user TEXT, doc TEXT);
CREATE TABLE IF NOT EXISTS used_ticket(nonce TEXT PRIMARY KEY, expires REAL);
"""


class Database:
    """One connection per thread; a statement outside a `transaction` commits at once."""

    def __init__(self, file: Path):
        self._file = file
        self._threads = threading.local()
        self._connection().executescript(SCHEMA)

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._threads, "connection"):
            connection = sqlite3.connect(self._file, timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            # FULL: an answered request survives a power cut, not only a killed process
            connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
            self._threads.connection = connection
        return self._threads.connection

    def run(self, sql: str, *values: object) -> sqlite3.Cursor:
        return self._connection().execute(sql, values)

    def all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self.run(sql, *values).fetchall()

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        return self.run(sql, *values).fetchone()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Commit all statements of the block, or none."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK")
            raise
        self.run("COMMIT")
