"""Events as the page sends them: checked, then made into `Event`s. Pure: no I/O."""

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from palate.core import ledger
from palate.core.ledger import place, standing_judgements
from palate.core.schema import KINDS, Candidate, Event, Gold, Kind, Purpose
from palate.label.assignment import Question
from palate.web.ballot.render import markdown

COMMENT_CHARACTERS = 2000
REWRITE_CHARACTERS = 20_000
MAX_AHEAD = 100_000  # events of a person that a server may not have seen yet
MAX_MILLISECONDS = 24 * 3600 * 1000  # a longer time means that a clock was wrong
EVENT_ID = re.compile(r"[\w-]{8,100}", re.ASCII)
Key = tuple[str, str, Purpose]  # annotator, pair, purpose
State = Literal["waiting", "saved", "published", "rejected"]


class Rejected(ValueError):
    """An event that cannot be valid, and why."""


@dataclass(frozen=True)
class Shown:
    """A question as one person saw it."""

    question: Question
    left: Candidate
    right: Candidate
    annotator: str  # their pseudonym
    aspects: tuple[str, ...] = ()  # of the project


@dataclass(frozen=True)
class WarmUp:
    """What a person is told of a warm-up that they have answered."""

    right: bool
    answer: str  # A or B
    why: str  # HTML


@dataclass(frozen=True)
class Receipt:
    """Where an event is: `waiting` (only in the browser), `saved`, `published`, or `rejected`.

    That a pair was a warm-up reaches the browser with the receipt, and no earlier.
    """

    event_id: str
    state: State
    reason: str | None = None
    warm_up: WarmUp | None = None


def warm_up(e: Event, gold: Mapping[str, Gold], aspect: str | None = None) -> WarmUp | None:
    """Return what there is to say once a warm-up is answered; `gold` by id of the better answer.

    In a project with aspects a warm-up has its answer in the first one, `aspect`.
    """
    better = e.left if e.left in gold else e.right
    if (
        e.purpose != "gold"
        or e.aspect != aspect
        or e.kind in ("skip", "flag", "undo")
        or better not in gold
    ):
        return None
    answer = "A" if better == e.left else "B"
    return WarmUp(e.chosen == better, answer, markdown(gold[better].why or ""))


def event_id_of(raw: object) -> str:
    """Return the event's id; raise Rejected if there is no valid one."""
    if not isinstance(raw, dict):
        raise Rejected("expected an object")
    event_id = raw.get("event_id")
    if not isinstance(event_id, str) or not EVENT_ID.fullmatch(event_id):
        raise Rejected("event_id: expected 8 to 100 letters, digits, - or _")
    return event_id


def parse_event(
    raw: Mapping[str, object],
    shown: Shown,
    known: Mapping[str, Event],
    number: int,
    sequence: int,
) -> Event:
    """Return the event that the page describes; raise Rejected if it cannot be valid.

    `known` maps ids to the events that an undo may name; `number` is the project's round. The time
    is now, because the page's clock cannot be trusted. `sequence` is the one that follows on what
    the server has of the person. A page that numbers its events is believed if it is near that: it
    knows the order of answers that it sends late or twice.
    """
    pair, kind = shown.question.pair, _kind(raw)
    text = _rewrite(raw, shown) if kind == "rewrite" else None
    return Event(
        event_id=event_id_of(raw),
        kind=kind,
        pair_id=pair.id,
        prompt_id=pair.prompt_id,
        left=shown.left.id,
        right=shown.right.id,
        chosen=_choice(raw, shown) if kind == "label" else text and _new_id(shown, text, number),
        strength=_integer(raw, "strength", 1, 4) if kind == "label" else None,
        annotator=shown.annotator,
        milliseconds=_integer(raw, "milliseconds", 0, MAX_MILLISECONDS),
        time=ledger.now(),
        round=number,
        via="ballot",
        target=_target(raw, shown, known) if kind == "undo" else None,
        comment=_text(raw, "comment", COMMENT_CHARACTERS),
        purpose=shown.question.purpose,
        text=text,
        sequence=_sequence(raw, sequence),
        aspect=None if kind == "flag" else _aspect(raw, shown),
    )


def _sequence(raw: Mapping[str, object], following: int) -> int:
    given = raw.get("sequence")
    believed = isinstance(given, int) and not isinstance(given, bool)
    return given if believed and 1 <= given <= following + MAX_AHEAD else following


class Numbers:
    """The sequences that events have: each person's highest. Safe to use from any thread."""

    def __init__(self) -> None:
        self._highest, self._lock = Counter[str](), threading.Lock()

    def note(self, events: Iterable[Event]) -> None:
        """Take note of events, whose sequences are given."""
        with self._lock:
            for e in events:
                self._highest[e.annotator] = max(self._highest[e.annotator], e.sequence or 0)

    def highest(self, annotator: str) -> int:
        with self._lock:
            return self._highest[annotator]

    def following(self, annotator: str) -> int:
        """Return a sequence for the annotator's next event that no other event has."""
        with self._lock:
            self._highest[annotator] += 1
            return self._highest[annotator]


def rejection(raw: object, reason: str) -> Receipt:
    """Return the receipt of an event that is refused, however malformed its id is."""
    given = str(raw.get("event_id") if isinstance(raw, dict) else "")[:100]
    return Receipt(given.encode("utf-8", "replace").decode(), "rejected", reason)


def _kind(raw: Mapping[str, object]) -> Kind:
    for kind in KINDS:
        if raw.get("kind") == kind:
            return kind
    raise Rejected(f"kind: expected one of {', '.join(KINDS)}")


def _aspect(raw: Mapping[str, object], shown: Shown) -> str | None:
    given, aspects = raw.get("aspect"), shown.aspects
    if given is None and not aspects:
        return None
    if isinstance(given, str) and given in aspects:
        return given
    raise Rejected(f"aspect: expected {' or '.join(aspects) or 'none'}; load the page again")


def _choice(raw: Mapping[str, object], shown: Shown) -> str:
    choice = raw.get("choice")
    if choice == "left":
        return shown.left.id
    if choice == "right":
        return shown.right.id
    raise Rejected("choice: expected left or right")


def _rewrite(raw: Mapping[str, object], shown: Shown) -> str:
    text = _text(raw, "text", REWRITE_CHARACTERS)
    if not text:
        raise Rejected("text: expected the better answer")
    if text in (shown.left.text.strip(), shown.right.text.strip()):
        raise Rejected("text: this is one of the two answers; choose it instead")
    return text


def _new_id(shown: Shown, text: str, number: int) -> str:
    return Candidate.of(shown.question.pair.prompt_id, text, round=number).id


def _target(raw: Mapping[str, object], shown: Shown, known: Mapping[str, Event]) -> str:
    name = raw.get("target")
    target = known.get(name) if isinstance(name, str) else None
    mine = (shown.annotator, shown.question.pair.id, shown.question.purpose, raw.get("aspect"))
    if target is None or mine != (
        target.annotator, target.pair_id, target.purpose, target.aspect
    ):  # fmt: skip
        raise Rejected("target: you have nothing to take back on this pair")
    return target.event_id


def _text(raw: Mapping[str, object], name: str, most: int) -> str | None:
    value = raw.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > most:
        raise Rejected(f"{name}: expected text of at most {most} characters")
    clean = value.replace("\0", "").encode("utf-8", "replace").decode()
    return clean.strip() or None


def _integer(raw: Mapping[str, object], name: str, least: int, most: int) -> int | None:
    value = raw.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Rejected(f"{name}: expected a whole number from {least} to {most}")
    return value


class Whole:
    """What people have said on each pair in the project's aspects.

    A pair with aspects is answered in all of them or not at all. The first aspect's answer closes
    a pair, so the page sends it last. An answer in it that comes without the others, or another
    one's undo alone, waits in the browser until the rest is there.
    """

    def __init__(self, aspects: Sequence[str]):
        self._aspects = tuple(aspects)
        self._said: dict[Key, list[Event]] = defaultdict(list)

    def note(self, events: Iterable[Event]) -> None:
        for e in events if self._aspects else ():
            self._said[_key(e)].append(e)

    def early(self, events: Iterable[Event]) -> set[str]:
        """Return the ids of those events that would leave a pair answered in part.

        Of a person's events on a pair, the first ones are kept as far as they leave it whole.
        """
        new: dict[Key, list[Event]] = defaultdict(list)
        for e in events if self._aspects else ():
            if e.kind != "flag":
                new[_key(e)].append(e)
        held: set[str] = set()
        for key, own in new.items():
            own.sort(key=place)
            kept = next((n for n in range(len(own), 0, -1) if self._is_whole(key, own[:n])), 0)
            held |= {e.event_id for e in own[kept:]}
        return held

    def _is_whole(self, key: Key, new: Sequence[Event]) -> bool:
        said = {e.aspect for e in standing_judgements([*self._said[key], *new], key[-1])}
        return self._aspects[0] not in said or said.issuperset(self._aspects)


def _key(e: Event) -> Key:
    return e.annotator, e.pair_id, e.purpose
