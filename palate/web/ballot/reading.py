"""What the page sends, checked and made into events. Pure: no I/O."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from palate.core import ledger
from palate.core.schema import KINDS, Candidate, Event
from palate.label.assignment import Question

LONGEST_COMMENT = 2000
LONGEST_TEXT = 20_000
LONGEST_PAUSE = 24 * 3600 * 1000  # milliseconds; beyond, the clock was wrong
EVENT_ID = re.compile(r"[\w-]{8,100}", re.ASCII)


class Rejected(ValueError):
    """An event that cannot be right, and why."""


@dataclass(frozen=True)
class Shown:
    """A question as somebody saw it: candidate ids by side, their texts, and who they are."""

    question: Question
    left: Candidate
    right: Candidate
    annotator: str


def event_id_of(raw: Any) -> str:
    """Return the event's id; raises Rejected where there is none."""
    if not isinstance(raw, dict):
        raise Rejected("expected an object")
    id = raw.get("event_id")
    if not isinstance(id, str) or not EVENT_ID.fullmatch(id):
        raise Rejected("event_id: expected 8 to 100 letters, digits, - or _")
    return id


def read(raw: dict[str, Any], shown: Shown, known: Mapping[str, Event], round: int) -> Event:
    """Return the event that the page means; raises Rejected for one that cannot be right.

    `known` holds the events that an undo may name, by id. The time is this moment: a page's clock
    proves nothing.
    """
    pair, kind = shown.question.pair, raw.get("kind")
    if kind not in KINDS:
        raise Rejected(f"kind: expected one of {', '.join(KINDS)}")
    text = _rewrite(raw, shown) if kind == "rewrite" else None
    return Event(
        event_id=event_id_of(raw),
        kind=kind,
        pair_id=pair.id,
        prompt_id=pair.prompt_id,
        left=shown.left.id,
        right=shown.right.id,
        chosen=_choice(raw, shown) if kind == "label" else text and _new(shown, text, round),
        strength=_whole(raw, "strength", 1, 4) if kind == "label" else None,
        annotator=shown.annotator,
        milliseconds=_whole(raw, "milliseconds", 0, LONGEST_PAUSE),
        time=ledger.now(),
        round=round,
        via="ballot",
        target=_target(raw, shown, known) if kind == "undo" else None,
        comment=_text(raw, "comment", LONGEST_COMMENT),
        purpose=shown.question.purpose,
        text=text,
    )


def _choice(raw: dict, shown: Shown) -> str:
    sides = {"left": shown.left.id, "right": shown.right.id}
    if raw.get("choice") not in ("left", "right"):
        raise Rejected("choice: expected left or right")
    return sides[raw["choice"]]


def _rewrite(raw: dict, shown: Shown) -> str:
    text = _text(raw, "text", LONGEST_TEXT)
    if not text:
        raise Rejected("text: expected the better answer")
    if text in (shown.left.text.strip(), shown.right.text.strip()):
        raise Rejected("text: this is one of the two answers; choose it instead")
    if shown.question.purpose != "ask":
        raise Rejected("kind: this pair has been answered before; choose one of the two")
    return text


def _new(shown: Shown, text: str, round: int) -> str:
    return Candidate.of(shown.question.pair.prompt_id, text, round=round).id


def _target(raw: dict, shown: Shown, known: Mapping[str, Event]) -> str:
    target = known.get(raw.get("target") or "")
    mine = (shown.annotator, shown.question.pair.id, shown.question.purpose)
    if target is None or (target.annotator, target.pair_id, target.purpose) != mine:
        raise Rejected("target: there is nothing of yours to take back")
    return target.event_id


def _text(raw: dict, field: str, longest: int) -> str | None:
    value = raw.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > longest:
        raise Rejected(f"{field}: expected text of at most {longest} characters")
    clean = value.replace("\0", "").encode("utf-8", "replace").decode()
    return clean.strip() or None


def _whole(raw: dict, field: str, least: int, most: int) -> int | None:
    value = raw.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Rejected(f"{field}: expected a whole number from {least} to {most}")
    return value


def by_id(events: Iterable[Event]) -> dict[str, Event]:
    return {e.event_id: e for e in events}
