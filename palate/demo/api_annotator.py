"""Answers pairs through a Space's API, as its page does.

The demo's annotator uses it, and so do tests and benchmarks.
"""

import html
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from palate.core.errors import PalateError
from palate.demo.person import SimulatedAnnotator

MAX_UNPUBLISHED = 64  # events that may wait for the Hub before more pairs are requested
PAIRS_PER_REQUEST = 8
EVENTS_PER_REQUEST = 50
POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 60

JsonObject = dict[str, Any]


def answer(
    url: str,
    name: str,
    annotator: SimulatedAnnotator,
    limit: int | None,
    advance: Callable[[int, int], None],
) -> int:
    """Answer pairs as the page would: keep each event and send it again until it is published.

    Stops once this person has judged `limit` pairs, or all; returns how many that is. `advance` is
    called with the pairs done and the goal. Raises PalateError if the Space refuses an event.
    """
    from huggingface_hub.utils import httpx

    outbox: dict[str, JsonObject] = {}
    headers = {"x-annotator": quote(name)}
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS) as client:
        while True:
            in_hand = [event["assignment_id"] for event in outbox.values()]
            wanted = PAIRS_PER_REQUEST if len(outbox) < MAX_UNPUBLISHED else 0
            state = _post(client, "/api/next", {"n": wanted, "have": in_hand})
            goal = state["total"] if limit is None else min(limit, state["total"])
            pairs = state["items"][: max(0, goal - state["done"])]
            for pair in pairs:
                event = _event(pair, annotator)
                outbox[event["event_id"]] = event
            advance(min(state["done"], goal), goal)
            more = state["done"] < goal and (state["total"] > state["done"] or state["later"])
            if not pairs and not outbox and not more:
                return state["done"]
            for event_id in _published(client, list(outbox.values())):
                outbox.pop(event_id, None)
            if not pairs:
                time.sleep(POLL_SECONDS)  # the rest is on its way to the Hub, or with others


def _event(pair: JsonObject, annotator: SimulatedAnnotator) -> JsonObject:
    side, strength = annotator.judge(_plain(pair["left"]), _plain(pair["right"]))
    return {
        "event_id": str(uuid.uuid4()),
        "assignment_id": pair["id"],
        "kind": "tie" if side == "tie" else "label",
        "choice": None if side == "tie" else side,
        "strength": None if side == "tie" else strength,
        "milliseconds": 1000,
    }


def _published(client: Any, events: list[JsonObject]) -> Iterable[str]:
    """Send the events; yield the ids of those that are on the Hub."""
    for start in range(0, len(events), EVENTS_PER_REQUEST):
        body = {"events": events[start:][:EVENTS_PER_REQUEST]}
        for receipt in _post(client, "/api/events", body)["results"]:
            if receipt["state"] == "rejected":
                raise PalateError(f"The Space refused an event: {receipt['reason']}")
            if receipt["state"] == "published":
                yield receipt["event_id"]


def _post(client: Any, path: str, body: JsonObject) -> JsonObject:
    response = client.post(path, json=body)
    response.raise_for_status()
    return response.json()


def _plain(fragment: str) -> str:
    """Return the text of an HTML fragment."""
    return html.unescape(re.sub(r"<[^>]*>", "", fragment)).strip()
