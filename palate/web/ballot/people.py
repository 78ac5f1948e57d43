"""Who is at the page, and what they may do: own, label, answer a question, send so much, count.

On the Hub, people sign in with Hugging Face; on one's own machine they type a name.
"""

import hashlib
import hmac
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from palate.core import hub, ledger
from palate.core.errors import PalateError, Unreachable, printable
from palate.core.ledger import PEOPLE_FILE, People, Statement
from palate.core.project import Project
from palate.core.schema import PURPOSES, Decision, Event, Purpose, to_json

if TYPE_CHECKING:  # `palate deploy` imports this module where Gradio is not installed
    from starlette.requests import Request

WRITER_ROLES = ("admin", "write")  # in an organisation
NAME_CHARACTERS = 80
BURST_BYTES = 400_000
BYTES_A_SECOND = 1_500
EVENTS_ON_A_PAIR = 50  # of one person, in each aspect
REQUESTS_AT_ONCE = 16  # of one person; a Space answers 40 at once
RIGHTS_SECONDS = 120.0  # for which an organization's answer counts


@dataclass(frozen=True)
class Person:
    """Somebody at the page: `subject` identifies them, and only Argilla is told `name`."""

    subject: str
    name: str
    verified: bool = False  # signed in with Hugging Face, not a name typed on this machine
    # organisation → role there; looked up only when a rule needs it
    organisations: Callable[[], dict[str, str]] = field(default=dict, compare=False)


@dataclass(frozen=True)
class Access:
    """A project's rule for who may label: anyone, an organisation, or a list of people.

    Owners may always label.
    """

    owner: str  # the namespace of the project's repo
    annotators: str | tuple[str, ...] = "anyone"

    @classmethod
    def of(cls, project: Project) -> "Access":
        return cls(project.id.partition("/")[0], project.settings.annotators)

    def may_label(self, person: Person) -> bool:
        """Tell whether the person may label; anyone who types a name on this machine may."""
        if not person.verified or self.annotators == "anyone" or self.owns(person):
            return True
        if isinstance(self.annotators, str):
            return self.annotators.casefold() in {org.casefold() for org in person.organisations()}
        return person.name.casefold() in {name.casefold() for name in self.annotators}

    def owns(self, person: Person) -> bool:
        """Tell whether the person may write to the project's repo, alone or by an organisation."""
        if not person.verified or person.name.casefold() == self.owner.casefold():
            return person.verified
        roles = {org.casefold(): role for org, role in person.organisations().items()}
        return roles.get(self.owner.casefold()) in WRITER_ROLES


class SignedOut(PalateError):
    """A person's sign-in was withdrawn where they signed in."""


class OverBudget(PalateError):
    """A person has sent too much at once."""


class Budgets:
    """How much each person may still add: `BURST_BYTES` at once, then `BYTES_A_SECOND`.

    That is enough for labels that piled up offline; a flood stays in the browser that sends it.
    Of requests, a person may have `REQUESTS_AT_ONCE` under way.
    """

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._left: dict[str, tuple[float, float]] = {}  # annotator → bytes, and since when
        self._on_pair: Counter[tuple[str, str, str | None]] = Counter()

    @contextmanager
    def request(self, subject: str) -> Generator[None]:
        """Count a request while it lasts, on the thread that serves; raise OverBudget if full."""
        if self._under_way[subject] >= REQUESTS_AT_ONCE:
            raise OverBudget("You sent many requests at once. The page tries again in a while.")
        self._under_way[subject] += 1
        try:
            yield
        finally:
            self._under_way -= Counter([subject])  # which forgets those with none

    def spend(self, annotator: str, events: Iterable[Event], now: float) -> None:
        """Take events from the person's budget at `now`, in seconds; raise OverBudget if all of
        them do not fit: a part would leave an undo without its target."""
        left, since = self._left.get(annotator, (BURST_BYTES, now))
        left = min(BURST_BYTES, left + BYTES_A_SECOND * (now - since))
        left -= _bytes(events)
        if left < 0:
            raise OverBudget("You sent much at once. The page sends the rest in a while.")
        self._left[annotator] = left, now

    def give_back(self, annotator: str, events: Iterable[Event]) -> None:
        """Return what was spent on events that were not kept."""
        left, since = self._left[annotator]
        self._left[annotator] = min(BURST_BYTES, left + _bytes(events)), since

    def note(self, events: Iterable[Event]) -> None:
        """Count events that were accepted, here or elsewhere."""
        self._on_pair.update((e.annotator, e.pair_id, e.aspect) for e in events)

    def is_full(self, event: Event, batch: Iterable[Event]) -> bool:
        """Tell whether the person has said enough about the pair, with what `batch` adds."""
        place = event.annotator, event.pair_id, event.aspect
        more = sum((e.annotator, e.pair_id, e.aspect) == place for e in batch)
        return self._on_pair[place] + more >= EVENTS_ON_A_PAIR


def _bytes(events: Iterable[Event]) -> int:
    return sum(len(to_json(e).encode()) for e in events)


def decide(project_id: str, annotators: Sequence[str], decision: Decision) -> None:
    """Add the owner's decision about a person to the dataset, where it changes anything."""

    def build(sha: str, paths: list[str]) -> hub.Change[None]:
        statements = ledger.statements(project_id, sha, paths)
        people = People.of(statements)
        changed = [who for who in annotators if _changes(people, who, decision)]
        if not changed:
            return hub.Change(None)
        statements += [Statement(who, decision, ledger.now()) for who in changed]
        files = {PEOPLE_FILE: ledger.jsonl(statements)}
        return hub.Change(None, f"{decision.title()} {len(changed)}", files)

    hub.update(project_id, "dataset", build)


def _changes(people: People, who: str, decision: Decision) -> bool:
    closed = who in people.uncounted and who not in people.back
    if decision == "forget":
        return who not in people.forgotten or not closed
    if decision == "erased":
        return who in people.forgotten and who not in people.erased
    return closed == (decision == "include")


def pseudonyms(key: bytes, subject: str, people: People) -> list[str]:
    """Return the annotator ids that the subject has had, today's last; none reveals the name.

    Nobody gets another one, except a forgotten person whom the owner lets label again.
    """
    ids = [_pseudonym(key, subject)]
    while ids[-1] in people.back:
        ids.append(_pseudonym(key, subject, str(len(ids))))
    return ids


def _pseudonym(key: bytes, *subject: str) -> str:
    return "p-" + _mac(key, b"annotator", *(part.encode() for part in subject)).hex()[:10]


def seal(key: bytes, annotator: str, purpose: Purpose, pair_id: str) -> str:
    """Return the id of a question on the page: it shows nothing, and nobody else can use it.

    A pair's id comes from its texts and the names of its models, so it would unblind a vote. This
    is deterministic encryption with a synthetic IV (Rogaway and Shrimpton 2006).
    """
    plain = f"{PURPOSES.index(purpose)}{pair_id}".encode()
    tag = _mac(key, b"tag", annotator.encode(), plain)[:16]
    return (tag + _xor(plain, _mac(key, b"stream", tag))).hex()


def unseal(key: bytes, annotator: str, sealed: str) -> tuple[Purpose, str] | None:
    """Return the purpose and the pair's id, or None if the id is not this person's."""
    try:
        content = bytes.fromhex(sealed)
    except ValueError:
        return None
    tag, hidden = content[:16], content[16:]
    plain = _xor(hidden, _mac(key, b"stream", tag))
    if not hmac.compare_digest(tag, _mac(key, b"tag", annotator.encode(), plain)[:16]):
        return None
    text = plain.decode()
    return PURPOSES[int(text[0])], text[1:]


def _mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"\x1f".join(parts), hashlib.sha256).digest()


def _xor(text: bytes, seed: bytes) -> bytes:
    stream = hashlib.shake_256(seed).digest(len(text))
    return bytes(a ^ b for a, b in zip(text, stream, strict=True))


def owner_key(secret: str) -> str:
    """Return the key to the owner's page on this machine, where nobody signs in."""
    return hmac.new(secret.encode(), b"owner", hashlib.sha256).hexdigest()[:32]


def sign_in_required() -> bool:
    """Tell whether people sign in, as they do on the Hub, instead of typing a name."""
    return bool(os.environ.get("OAUTH_CLIENT_ID"))


def session_cookie() -> tuple[str, str]:
    """Return the name and the key of the sign-in's cookie.

    Browsers share cookies between the ports of a host, so every app has another name.
    """
    app = hashlib.sha256(os.environ["OAUTH_CLIENT_ID"].encode()).hexdigest()[:12]
    key = hashlib.sha256(f"palate {os.environ['OAUTH_CLIENT_SECRET']}".encode()).hexdigest()
    return f"palate-{app}", key


def person_of(request: "Request") -> Person | None:
    """Return who sent the request, or None if they have neither signed in nor given a name."""
    if sign_in_required():
        return _signed_in(request)
    name = printable(unquote(request.headers.get("x-annotator", ""), errors="replace"))
    name = name.strip()[:NAME_CHARACTERS]
    return Person(f"local:{name.casefold()}", name) if name else None


def _signed_in(request: "Request") -> Person | None:
    signed_in = request.session.get("person")
    if not signed_in or (signed_in["expires"] or math.inf) < time.time():
        return None
    token, period = signed_in["token"], int(time.monotonic() // RIGHTS_SECONDS)
    if _ended(token, period):
        return None
    return Person(
        f"hf:{signed_in['sub']}",
        signed_in["name"],
        verified=True,
        organisations=lambda: _organisations(token, period),
    )


@lru_cache(maxsize=10_000)
def _ended(token: str, period: int) -> bool:
    """Tell whether the provider has withdrawn the token; asked once a `period`.

    A provider that cannot be asked ends no session: people go on, without rights to check.
    """
    try:
        _organisations(token, period)
    except SignedOut:
        return True
    except Unreachable:
        return False
    return False


@lru_cache(maxsize=10_000)
def _organisations(token: str, period: int) -> dict[str, str]:
    """Return the token's user's organisations, with their role in each; asked once a `period`.

    Raises SignedOut if the token is no longer valid, Unreachable when the provider cannot be
    asked: nobody has rights that cannot be checked.
    """
    from huggingface_hub.utils import get_session

    headers = {"authorization": f"Bearer {token}"}
    try:
        url = f"{provider()}/oauth/userinfo"
        response = get_session().get(url, headers=headers, timeout=10)
        if response.status_code in (401, 403):
            raise SignedOut("Your sign-in has ended. Sign in again.")
        response.raise_for_status()
        organisations = response.json().get("orgs") or ()
        return {o["preferred_username"]: o.get("roleInOrg") or "read" for o in organisations}
    except SignedOut:
        raise
    except Exception as error:  # whatever the answer was
        raise Unreachable(
            f"{provider()} does not say which organizations you belong to"
            f" ({type(error).__name__}). Try again in a minute, or sign in again."
        ) from error


def provider() -> str:
    return os.environ.get("OPENID_PROVIDER_URL", "https://huggingface.co")
