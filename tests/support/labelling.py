"""Two people at the labelling page, and what their browser sends."""

import uuid

from palate.web.ballot.people import Person

ADA, BO = Person("local:ada", "Ada"), Person("local:bo", "Bo")


def label(item: dict, **changes) -> dict:
    event = {
        "event_id": str(uuid.uuid4()), "assignment_id": item["id"], "kind": "label",
        "choice": "left", "strength": 3, "milliseconds": 900,
    }  # fmt: skip
    return event | changes
