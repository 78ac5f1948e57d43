"""Users and their tokens, read from a file, and signed links that grant a right for a while."""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from palate.localhub.errors import HubError, ServeError
from palate.localhub.hardware import PLANS

RESERVED = {
    *("_lfs", "api", "datasets", "healthz", "jobs", "login"),
    *("logout", "models", "oauth", "spaces", "static", ".well-known"),
}
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
MIN_TOKEN_LENGTH = 8  # characters
LOGIN_SECONDS = 600.0  # for which a sign-in link works
USERS_FORM = '{"me": {"token": "hf_…", "plan": "free", "orgs": {"my-org": "team"}}}'
NO_PLAN = {True: "free", False: "free-organization"}  # of a person, of an organisation


@dataclass(frozen=True)
class User:
    """A user, who owns the repos under their name and under their organisations.

    `plans` holds their own plan and those of their organisations, by namespace.
    """

    name: str
    token: str
    orgs: tuple[str, ...] = ()
    read_token: str | None = None
    role: Literal["write", "read"] = "write"  # of the token that was sent
    credit: bool = True  # without it jobs and paid machines are refused with 402, as on the Hub
    plans: dict[str, str] = field(default_factory=dict, compare=False)

    def owns(self, namespace: str) -> bool:
        return namespace.lower() in (self.name.lower(), *(org.lower() for org in self.orgs))

    def plan_of(self, namespace: str) -> str:
        """Return the plan of the user, or of an organisation of theirs."""
        plans = {name.lower(): plan for name, plan in self.plans.items()}
        return plans.get(namespace.lower(), NO_PLAN[namespace.lower() == self.name.lower()])


def owns(user: User | None, namespace: str) -> bool:
    return user is not None and user.owns(namespace)


def create_private(file: Path, content: str) -> None:
    """Write `file` atomically, readable by its owner only; leave an existing file as it is."""
    scratch = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    with suppress(FileExistsError):  # another process was first
        os.link(scratch, file)
    scratch.unlink()


def create_root(root: Path) -> None:
    """Create the folder of a Hub, readable by its owner only; ServeError if that is impossible."""
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as e:
        raise ServeError(f"cannot use {root} as the Hub's folder: {e.strerror}") from None


def read_users(file: Path) -> dict[str, User]:
    """Return the users by name, in the file's order; create the file with two if it is missing.

    Its form is `{"me": {"token": "hf_…", "plan": "free", "orgs": {"my-org": "team"}}, …}`; "orgs"
    may also be a list, of organisations without a plan. A "read_token" may read everything its user
    owns and change nothing; with `"credit": false` jobs and paid machines are refused with 402.
    Raises ServeError, naming the problem, for any other form.
    """
    if not file.exists():
        orgs = {"me": {"my-org": "team"}, "you": {}}
        specs = {
            name: {"token": f"hf_{secrets.token_urlsafe(24)}", "plan": "free", "orgs": orgs[name]}
            for name in orgs
        }
        create_private(file, json.dumps(specs, indent=2) + "\n")
    try:
        specs = json.loads(file.read_text())
    except ValueError as e:
        raise _wrong_file(file, str(e)) from None
    if not isinstance(specs, dict) or not specs:
        raise _wrong_file(file, "no user")
    for name, spec in specs.items():
        if problem := _problem(name, spec):
            raise _wrong_file(file, problem)
    users = {name: _user(name, spec) for name, spec in specs.items()}
    tokens = [t for user in users.values() for t in (user.token, user.read_token) if t]
    if len(set(tokens)) < len(tokens):
        raise _wrong_file(file, "a token occurs twice")
    return users


def _wrong_file(file: Path, problem: str) -> ServeError:
    return ServeError(f"{file}: {problem}. Expected {USERS_FORM}; fix the file or delete it.")


def _problem(name: str, spec: object) -> str | None:
    """Say what is wrong with the entry of one user."""
    if not isinstance(spec, dict):
        return f"user {name!r} is not an object"
    for key in ("token", "read_token"):
        token = spec.get(key)
        if token is None and key == "read_token":
            continue
        if not isinstance(token, str) or len(token) < MIN_TOKEN_LENGTH:
            return f"the {key} of user {name!r} has fewer than {MIN_TOKEN_LENGTH} characters"
    orgs = spec.get("orgs", [])
    if not isinstance(orgs, list | dict) or not all(isinstance(org, str) for org in orgs):
        return f"the orgs of user {name!r} are not a list of names"
    plans = {name: spec.get("plan", NO_PLAN[True]), **(orgs if isinstance(orgs, dict) else {})}
    for who, plan in plans.items():
        if plan not in PLANS:
            return f"the plan of {who!r} is {plan!r}, expected one of {', '.join(PLANS)}"
    for word in (name, *orgs):
        if not NAME.fullmatch(word) or word.lower() in RESERVED:
            return f"{word!r} cannot be the name of a user or organisation"
    return None


def _user(name: str, spec: dict) -> User:
    credit = spec.get("credit", True) is not False
    orgs = spec.get("orgs", [])
    plans = {name: spec.get("plan", NO_PLAN[True]), **(orgs if isinstance(orgs, dict) else {})}
    read_token = spec.get("read_token")
    return User(name, spec["token"], tuple(orgs), read_token, credit=credit, plans=plans)


class Accounts:
    """The users in `file`; a change to the file takes effect with the next request."""

    def __init__(self, file: Path):
        self._file = file
        self._users = read_users(file)
        self._read_at = file.stat().st_mtime_ns

    def users(self) -> dict[str, User]:
        changed_at = self._file.stat().st_mtime_ns if self._file.exists() else self._read_at
        if changed_at != self._read_at:
            self._read_at = changed_at
            try:
                self._users = read_users(self._file)
            except ServeError as e:
                print(f"warning: the users are unchanged: {e}", flush=True)
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
        """Return a URL-safe text that `check` accepts for that purpose, for `seconds`."""
        claims |= {"purpose": purpose, "expires": time.time() + seconds}
        text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"{text}.{self._digest(text)}"

    def check(self, purpose: str, signed: str) -> dict:
        """Return the claims; `HubError` 403 if altered, expired or meant for something else."""
        text, _, digest = signed.partition(".")
        if hmac.compare_digest(self._digest(text).encode(), digest.encode()):
            claims = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            if claims["purpose"] == purpose and claims["expires"] > time.time():
                return claims
        raise HubError(403, "This link is invalid or has expired. Ask for a new one.")

    def fingerprint(self, token: str) -> str:
        """Return what represents a token in a session, so that a new token ends the session."""
        return self._digest("token:" + token)[:16]

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def login_url(endpoint: str, key: Path, user: str, target: str = "/") -> str:
    """Return a link that signs a browser in once, within ten minutes, and opens `target`."""
    ticket = Signer(key).sign("login", LOGIN_SECONDS, user=user, nonce=secrets.token_hex(12))
    return f"{endpoint}/login?next={quote(target, safe='/')}&ticket={ticket}"
