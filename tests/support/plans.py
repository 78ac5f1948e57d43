"""The plan of a local Hub's first user."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palate.localhub import LocalHub


def set_plan(hub: "LocalHub", plan: str, **more: object) -> None:
    """Give the first user a plan, and what else their entry in users.json is to say."""
    file = hub.root / "users.json"
    users = json.loads(file.read_text())
    users[hub.user] |= {"plan": plan, **more}
    file.write_text(json.dumps(users))


@contextmanager
def plan_of(hub: "LocalHub", plan: str, **more: object) -> Generator[None]:
    """A block in which the first user has the plan."""
    before = (hub.root / "users.json").read_text()
    set_plan(hub, plan, **more)
    try:
        yield
    finally:
        (hub.root / "users.json").write_text(before)
