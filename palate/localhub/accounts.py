"""Who may do what: users and tokens from a file, and links that prove a right for a while."""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from palate.localhub.errors import HubError

RESERVED = {
    *("_lfs", "api", "datasets", "healthz", "jobs", "login"),
    *("logout", "models", "oauth", "spaces", "static", ".well-known"),
}
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?", re.ASCII)


@dataclass(frozen=True)
class User:
    """Somebody who may read and write the repos of their own name and of their organisations."""

    name: str
    token: str
    orgs: tuple[str, ...] = ()
    read_token: str | None = None
    role: Literal["write", "read"] = "write"  # of the token with which they came
    credit: bool = True  # without it, jobs are answered with 402, as by a Hub that has to be paid

    def owns(self, namespace: str) -> bool:
        return namespace.lower() in (self.name.lower(), *(org.lower() for org in self.orgs))


def owns(user: User | None, namespace: str) -> bool:
    return user is not None and user.owns(namespace)


def create_private(file: Path, content: str) -> None:
    """Write `file`, readable by its owner alone, all of it or nothing; not if there is one."""
    scratch = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    with suppress(FileExistsError):  # another process was first
        os.link(scratch, file)
    scratch.unlink()


def read_users(file: Path) -> dict[str, User]:
    """The users by name, in the order of the file, which is made with two if there is none.

    Raises `ValueError`, saying what is wrong and where, if the file is not of the form
    `{"me": {"token": "hf_…", "orgs": ["my-org"]}, …}`; a "read_token" may look at all that is
    theirs, and change nothing; with `"credit": false` jobs are refused with 402.
    """
    if not file.exists():
        new = {"me": ["my-org"], "you": []}
        tokens = {name: f"hf_{secrets.token_urlsafe(24)}" for name in new}
        users = {name: {"token": tokens[name], "orgs": orgs} for name, orgs in new.items()}
        create_private(file, json.dumps(users, indent=2) + "\n")
    try:
        users = {name: _user(name, spec) for name, spec in json.loads(file.read_text()).items()}
    except (ValueError, AttributeError) as e:
        form = '{"me": {"token": "hf_…", "orgs": ["my-org"]}}'
        raise ValueError(f"{file}: {e}. Expected {form}; mend it or delete it.") from None
    tokens = [t for user in users.values() for t in (user.token, user.read_token) if t]
    if not users or len(set(tokens)) < len(tokens):
        raise ValueError(f"{file}: expected at least one user, each with a token of their own.")
    return users


def _user(name: str, spec: dict) -> User:
    token, reading, orgs = spec.get("token"), spec.get("read_token"), spec.get("orgs", [])
    if not isinstance(token, str) or len(token) < 8:
        raise ValueError(f"user {name!r} has no token of at least eight characters")
    if reading is not None and not (isinstance(reading, str) and len(reading) >= 8):
        raise ValueError(f"the read_token of user {name!r} has fewer than eight characters")
    if not isinstance(orgs, list) or not all(isinstance(org, str) for org in orgs):
        raise ValueError(f"the orgs of user {name!r} are not a list of names")
    for word in (name, *orgs):
        if not NAME.fullmatch(word) or word.lower() in RESERVED:
            raise ValueError(f"{word!r} cannot be the name of a user or organisation")
    credit = spec.get("credit", True) is not False
    return User(name, token, tuple(orgs), reading, credit=credit)


class Accounts:
    """The users in `file`; a change of the file counts from the next request on."""

    def __init__(self, file: Path):
        self._file = file
        self._users = read_users(file)
        self._seen = file.stat().st_mtime_ns

    def users(self) -> dict[str, User]:
        changed = self._file.stat().st_mtime_ns if self._file.exists() else self._seen
        if changed != self._seen:
            self._seen = changed
            try:
                self._users = read_users(self._file)
            except ValueError as e:
                print(f"warning: users stay as they were: {e}", flush=True)
        return self._users

    def with_token(self, token: str) -> User | None:
        for user in self.users().values():
            if hmac.compare_digest(user.token.encode(), token.encode()):
                return user
            if user.read_token and hmac.compare_digest(user.read_token.encode(), token.encode()):
                return replace(user, role="read")
        return None


class Signer:
    """Makes and checks short texts that only this Hub can have written."""

    def __init__(self, file: Path):
        if not file.exists():
            create_private(file, secrets.token_hex(32))
        self._key = file.read_text().encode()

    def sign(self, purpose: str, seconds: float, **claims: object) -> str:
        """A text, fit for a URL, that `check` accepts for that purpose and time."""
        claims |= {"purpose": purpose, "expires": time.time() + seconds}
        text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"{text}.{self._digest(text)}"

    def check(self, purpose: str, signed: str) -> dict:
        """What was signed; `HubError` 403 if it was altered, is for something else or too old."""
        text, _, digest = signed.partition(".")
        if hmac.compare_digest(self._digest(text).encode(), digest.encode()):
            claims = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            if claims["purpose"] == purpose and claims["expires"] > time.time():
                return claims
        raise HubError(403, "This link is not valid, or no longer: ask for a new one.")

    def fingerprint(self, token: str) -> str:
        """Stands for a token in a session, which ends when the token is changed."""
        return self._digest("token:" + token)[:16]

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
