"""Events on one pair, numbered."""

from dataclasses import replace

from palate.core.schema import Candidate, Event, Pair, Prompt

PROMPT = Prompt.of("A prompt")
X, Y = Candidate.of(PROMPT.id, "x"), Candidate.of(PROMPT.id, "y")


def event(number: int, kind: str = "label", **changes) -> Event:
    base = Event(
        f"e{number}", "label", Pair.of(X, Y).id, PROMPT.id, X.id, Y.id, X.id, 3, "ann", 800,
        f"2026-01-01T00:00:{number:02}.000Z", 1, "ballot",
    )  # fmt: skip
    chosen = base.chosen if kind == "label" else None
    return replace(base, **({"kind": kind, "chosen": chosen} | changes))
