"""Answers pairs through a Space's own API, as the page does: what stands in for a person.

The demo's annotator uses it, and so do tests and benchmarks.
"""

import html
import re
import time
import uuid
from collections.abc import Callable
from urllib.parse import quote

from palate.core.errors import PalateError

AHEAD = 64  # events that may be on their way to the Hub before the next pair is asked for


def answer(
    url: str, name: str, taste, limit: int | None, advance: Callable[[int, int], None]
) -> int:
    """Answer pairs as the page would: each event kept and sent again until it is published.

    Stops when this person has judged `limit` pairs, or all; returns how many those are. Raises
    PalateError for a refused event.
    """
    from huggingface_hub.utils import httpx

    outbox: dict[str, dict] = {}
    headers = {"x-annotator": quote(name)}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        while True:
            have = [e["assignment_id"] for e in outbox.values()]
            state = _post(client, "/api/next", {"n": 8 * (len(outbox) < AHEAD), "have": have})
            goal = state["total"] if limit is None else min(limit, state["total"])
            items = state["items"][: max(0, goal - state["done"])]
            for item in items:
                outbox |= _event(item, taste)
            advance(min(state["done"], goal), goal)
            open_ = state["done"] < goal and (state["total"] > state["done"] or state["later"])
            if not items and not outbox and not open_:
                return state["done"]
            _send(client, outbox)
            if not items:
                time.sleep(0.2)  # the rest is on its way to the Hub, or in somebody else's hands


def _event(item: dict, taste) -> dict[str, dict]:
    side, strength = taste.judge(_plain(item["left"]), _plain(item["right"]))
    event_id = str(uuid.uuid4())
    event = {
        "event_id": event_id,
        "assignment_id": item["id"],
        "kind": "tie" if side == "tie" else "label",
        "choice": None if side == "tie" else side,
        "strength": None if side == "tie" else strength,
        "milliseconds": 1000,
    }
    return {event_id: event}


def _send(client, outbox: dict[str, dict]) -> None:
    events = list(outbox.values())
    for start in range(0, len(events), 50):
        body = {"events": events[start : start + 50]}
        for receipt in _post(client, "/api/events", body)["results"]:
            if receipt["state"] == "rejected":
                raise PalateError(f"The Space refused an event: {receipt['reason']}")
            if receipt["state"] == "published":
                outbox.pop(receipt["event_id"], None)


def _post(client, path: str, body: dict) -> dict:
    answer = client.post(path, json=body)
    answer.raise_for_status()
    return answer.json()


def _plain(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page)).strip()
