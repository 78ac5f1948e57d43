"""Answers pairs through a Space's own API, as the page does: what stands in for a person.

The demo's annotator uses it, and so do tests and benchmarks.
"""

import html
import re
import time
import uuid
from collections.abc import Callable

from palate.errors import PalateError


def answer(
    url: str, name: str, taste, limit: int | None, advance: Callable[[int, int], None]
) -> int:
    """Answer pairs as the page would: each event kept and sent again until it is published.

    Returns how many pairs this person has judged. Raises PalateError for a refused event.
    """
    from huggingface_hub.utils import httpx

    outbox: dict[str, dict] = {}
    mine: set[str] = set()  # assignments answered here, some of them not counted there yet
    headers = {"x-annotator": name, "origin": url}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        while True:
            page = client.post("/api/next", json={"n": 8, "have": sorted(mine)})
            page.raise_for_status()
            state = page.json()
            goal = state["total"] if limit is None else min(limit, state["total"])
            items = [] if limit is not None and state["done"] >= goal else state["items"]
            for item in items[: goal - state["done"]]:
                mine.add(item["id"])
                outbox |= _event(item, taste)
            _send(client, outbox)
            advance(min(state["done"] + len(items), goal), goal)
            if not items and not outbox:
                return state["done"]
            if not items:
                time.sleep(0.2)  # the rest is on its way to the Hub


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
    if not outbox:
        return
    answer = client.post("/api/events", json={"events": list(outbox.values())[:50]})
    answer.raise_for_status()
    for receipt in answer.json()["results"]:
        if receipt["state"] == "rejected":
            raise PalateError(f"The Space refused an event: {receipt['reason']}")
        if receipt["state"] == "published":
            outbox.pop(receipt["event_id"], None)


def _plain(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page)).strip()
