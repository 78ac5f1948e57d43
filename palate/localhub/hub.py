"""The state of a Hub, shared by all requests."""

import errno
import fcntl
import os
import shutil
import sqlite3
from io import TextIOWrapper
from pathlib import Path

import pygit2

from palate.localhub.accounts import Accounts, Signer, User, create_root
from palate.localhub.database import Database
from palate.localhub.errors import HubError, ServeError
from palate.localhub.hosting import Hosting
from palate.localhub.jobs import Jobs
from palate.localhub.objects import LFS
from palate.localhub.ports import LOOPBACK_HOSTS, address
from palate.localhub.processes import Apart
from palate.localhub.recovery import recover, remove_scratch_files
from palate.localhub.repos import Repos

RESERVE = 1_000_000  # bytes kept free for the database
DISK_FULL = "The disk of this Hub is full. Free some space and try again."


class Hub:
    """Everything a Hub knows, kept in `root`; only one process at a time may open it.

    Raises ServeError if another process has, or if users.json is wrong.
    """

    def __init__(self, root: Path, host: str, port: int):
        self.root, self.host, self.port = root, host, port
        self.pid, self.stopping = os.getpid(), False
        create_root(root)
        self._lock = _lock(root)
        remove_scratch_files(root)
        try:
            self.accounts = Accounts(root / "users.json")
        except ServeError:
            self._lock.close()
            raise
        self.signer = Signer(root / "key")
        self.db = Database(root / "hub.db")
        self.repos = Repos(self.db, root / "git")
        self.lfs = LFS(self.db, root)
        recover(self.repos, self.lfs)
        self.address = address(host, port)
        apart = Apart(root, network=host not in LOOPBACK_HOSTS)
        self.jobs = Jobs(self.db, root / "jobs", apart)
        self.hosting = Hosting(root, self.db, self.repos, self.lfs, self.address, apart)

    def need_space(self, count: int) -> None:
        """Raise `HubError` 507 unless `count` bytes and a reserve fit on the disk.

        libgit2 cannot be relied on to report a full disk: it loses the system's error.
        """
        if shutil.disk_usage(self.root).free < count + RESERVE:
            raise HubError(507, DISK_FULL)

    @property
    def cookie(self) -> str:
        return f"palate_hub_{self.port}"  # browsers share cookies between the ports of a host

    def session_user(self, cookies: dict[str, str]) -> User | None:
        """Return who signed in in this browser, unless their token has changed since."""
        try:
            claims = self.signer.check("session", cookies.get(self.cookie, ""))
        except HubError:
            return None
        user = self.accounts.users().get(claims["user"])
        same = user and claims["token"] == self.signer.fingerprint(user.token)
        return user if same else None


def _lock(root: Path) -> TextIOWrapper:
    """Return a locked file, which the system unlocks when this process ends."""
    file = (root / "open").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        message = f"{root} is in use by another local Hub: stop it, or choose another --root"
        raise ServeError(message) from None
    return file


def disk_full(error: Exception) -> bool:
    """Tell whether `error` means that the disk is full, whichever library raised it."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # libgit2 passes on the system's message, but not its number
    return isinstance(error, OSError | pygit2.GitError) and "No space left" in str(error)
