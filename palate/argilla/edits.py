"""What somebody changed in Argilla's own UI, as events for the ledger. Pure: no I/O."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from palate.argilla.store import Response, answers_of, events_of
from palate.core.ledger import standing_judgements
from palate.core.schema import Candidate, Event, Pair, digest

ANSWERS = ("choice", "strength", "rewrite", "comment")


def edit(
    response: Response, pair: Pair, known: Iterable[Event], round: int, annotator: str
) -> Event | None:
    """Return the event that makes the ledger agree with Argilla; None if they agree.

    `known` are the events of `annotator` (a pseudonym) on this pair that are known elsewhere; the
    response may carry others. The event's id follows from the response and its time, so finding
    the same edit twice is harmless.
    """
    said = list({e.event_id: e for e in [*known, *events_of(response)]}.values())
    status, expected = answers_of(said)
    shown = {name: response.values.get(name) for name in ANSWERS}
    if response.status == status and (
        status != "submitted" or shown == {name: expected.get(name) for name in ANSWERS}
    ):
        return None
    change = _change(response, pair, said, shown)
    if change is None:
        return None
    time = datetime.fromisoformat(response.updated + ("" if _zoned(response.updated) else "+00:00"))
    return Event(
        event_id="argilla-" + digest(response.id, response.updated),
        pair_id=pair.id,
        prompt_id=pair.prompt_id,
        left=pair.a,
        right=pair.b,
        annotator=annotator,
        milliseconds=None,
        time=time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        round=round,
        via="argilla",
        comment=shown["comment"] if shown["comment"] != expected.get("comment") else None,
        **change,
    )


def _change(
    response: Response, pair: Pair, said: Sequence[Event], shown: dict[str, Any]
) -> dict[str, Any] | None:
    """Return kind, choice and strength of what Argilla shows; None where it shows nothing."""
    nothing = {"chosen": None, "strength": None}
    if response.status == "discarded":
        return {"kind": "skip", **nothing}
    if response.status == "draft":
        standing = standing_judgements(said)
        return {"kind": "undo", "target": standing[-1].event_id, **nothing} if standing else None
    if shown["choice"] == "rewrite" and shown["rewrite"]:
        new = Candidate.of(pair.prompt_id, shown["rewrite"])
        return {"kind": "rewrite", "chosen": new.id, "strength": None, "text": new.text}
    if shown["choice"] in ("tie", "both_bad"):
        return {"kind": shown["choice"], **nothing}
    if shown["choice"] in ("a", "b"):
        chosen = pair.a if shown["choice"] == "a" else pair.b
        return {"kind": "label", "chosen": chosen, "strength": shown["strength"]}
    return None


def _zoned(time: str) -> bool:
    return time.endswith("Z") or "+" in time[10:]
