"""Answers pairs through a Space's API, as its page does.

The demo's annotator uses it, and so do tests and benchmarks.
"""

import html
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import quote

from palate.core.errors import PalateError
from palate.demo.person import SimulatedAnnotator

if TYPE_CHECKING:
    from huggingface_hub.utils import httpx

MAX_UNPUBLISHED = 64  # events that may wait for the Hub before more pairs are requested
PAIRS_PER_REQUEST = 8
EVENTS_PER_REQUEST = 50
POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 60
TOO_MUCH = 429


class Pair(TypedDict):
    """A pair as a Space's API returns it; the texts are HTML."""

    id: str
    left: str
    right: str


class Batch(TypedDict):
    """Pairs to answer, how many are answered, an estimate of all, and how many others hold."""

    items: list[Pair]
    done: int
    total: int
    later: int


class Answer(TypedDict):
    """An event as the page sends it."""

    event_id: str
    assignment_id: str
    kind: str
    choice: str | None
    strength: int | None
    milliseconds: int


class Receipt(TypedDict):
    """Where an event is."""

    event_id: str
    state: str
    reason: str | None


def answer(
    url: str,
    name: str,
    annotator: SimulatedAnnotator,
    limit: int | None,
    advance: Callable[[int, int], None],
) -> int:
    """Answer pairs as the page would: keep each event and send it again until it is published.

    Stops once this person has judged `limit` more pairs, or all; returns how many. `advance` is
    called with the number that is on the Hub, and the goal. Raises PalateError if the Space refuses
    an event.
    """
    from huggingface_hub.utils import httpx

    outbox: dict[str, Answer] = {}
    headers = {"x-annotator": quote(name)}
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS) as client:
        asked = 0  # here: the server counts an answer once Argilla has it
        while True:
            in_hand = [event["assignment_id"] for event in outbox.values()]
            wanted = PAIRS_PER_REQUEST if len(outbox) < MAX_UNPUBLISHED else 0
            batch: Batch = _post(client, "/api/next", {"n": wanted, "have": in_hand}).json()
            left = batch["total"] - batch["done"]
            goal = asked + left if limit is None else min(limit, asked + left)
            pairs = batch["items"][: None if limit is None else limit - asked]
            for pair in pairs:
                event = _answer(pair, annotator)
                outbox[event["event_id"]] = event
            asked += len(pairs)
            advance(asked - len(outbox), max(goal, asked))
            more = (limit is None or asked < limit) and (left or batch["later"])
            if not pairs and not outbox and not more:
                return asked
            for event_id in _published(client, list(outbox.values())):
                outbox.pop(event_id, None)
            if not pairs:
                time.sleep(POLL_SECONDS)  # the rest is on its way to the Hub, or with others


def _answer(pair: Pair, annotator: SimulatedAnnotator) -> Answer:
    side, strength = annotator.judge(_plain(pair["left"]), _plain(pair["right"]))
    return {
        "event_id": str(uuid.uuid4()),
        "assignment_id": pair["id"],
        "kind": "tie" if side == "tie" else "label",
        "choice": None if side == "tie" else side,
        "strength": None if side == "tie" else strength,
        "milliseconds": 1000,
    }


def _published(client: "httpx.Client", events: list[Answer]) -> Iterable[str]:
    """Send the events; yield the ids of those that are on the Hub."""
    for start in range(0, len(events), EVENTS_PER_REQUEST):
        body = {"events": events[start:][:EVENTS_PER_REQUEST]}
        answer = client.post("/api/events", json=body)
        if answer.status_code == TOO_MUCH:  # for now
            return
        receipts: list[Receipt] = answer.raise_for_status().json()["results"]
        for receipt in receipts:
            if receipt["state"] == "rejected":
                raise PalateError(f"The Space refused an event: {receipt['reason']}")
            if receipt["state"] == "published":
                yield receipt["event_id"]


def _post(client: "httpx.Client", path: str, body: Mapping[str, object]) -> "httpx.Response":
    return client.post(path, json=body).raise_for_status()


def _plain(fragment: str) -> str:
    """Return the text of an HTML fragment."""
    return html.unescape(re.sub(r"<[^>]*>", "", fragment)).strip()
