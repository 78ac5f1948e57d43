"""What the label Space that tests/web serves asks and holds, and an event on its next pair."""

import uuid

QUESTION = "Which <b>one</b> {{x}} `+(window.pwned=1)+` ${y} \\?"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x03\0\0\0\x02\x08\x02"
ADA = {"x-annotator": "Ada", "content-type": "application/json"}


def ask(client, headers: dict) -> dict:
    """Return an event on the next pair, as the page would send it."""
    item = client.post("/api/next", json={"n": 1}, headers=headers).json()["items"][0]
    return {
        "event_id": str(uuid.uuid4()), "assignment_id": item["id"], "kind": "label",
        "choice": "left", "strength": 3, "milliseconds": 900,
    }  # fmt: skip
