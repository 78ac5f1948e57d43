"""What the Hub answers when it cannot do what was asked."""

import errno
import sqlite3

import pygit2


class HubError(Exception):
    """An answer with an HTTP status of 400 or more.

    `code` goes into `X-Error-Code`, from which huggingface_hub chooses the exception it raises;
    `body` is added to the JSON answer.
    """

    def __init__(self, status: int, message: str, code: str | None = None, **body: object):
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body


def disk_full(error: Exception) -> bool:
    """Whether `error`, however deep it was raised, means that no space is left."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # libgit2 passes the system's message on, but not its number
    return isinstance(error, OSError | pygit2.GitError) and "No space left" in str(error)
