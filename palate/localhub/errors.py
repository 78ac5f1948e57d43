"""The exceptions of the local Hub.

ServeError    the server cannot start with this address, port, folder or users.json
HubError      the answer to a request that the Hub refuses
"""

import errno
import sqlite3

import pygit2


class ServeError(Exception):
    """The server cannot start; the message says what to change."""


class HubError(Exception):
    """An answer with an HTTP status of 400 or more.

    `code` is sent as `X-Error-Code`, from which huggingface_hub chooses the exception to raise;
    `body` is added to the JSON answer.
    """

    def __init__(self, status: int, message: str, code: str | None = None, **body: object):
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body


def disk_full(error: Exception) -> bool:
    """Tell whether `error` means that the disk is full, whichever library raised it."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # libgit2 passes on the system's message, but not its number
    return isinstance(error, OSError | pygit2.GitError) and "No space left" in str(error)
