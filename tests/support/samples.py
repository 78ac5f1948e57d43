"""Rows that several tests use: one prompt, four candidates, their six pairs, events on them."""

import uuid
from dataclasses import replace

from palate.core import ledger
from palate.core.schema import Candidate, Event, Pair, Prompt, pairs_of

PROMPT = Prompt.of("A prompt")
TEXTS = [Candidate.of(PROMPT.id, f"text {i}") for i in range(4)]
BY_ID = {c.id: c for c in TEXTS}
PAIRS = pairs_of(TEXTS)
ROWS = [(p, PROMPT, BY_ID[p.a], BY_ID[p.b]) for p in PAIRS]


def event(pair: Pair, kind: str = "label", **changes) -> Event:
    said = Event(
        event_id=uuid.uuid4().hex,
        kind=kind,
        pair_id=pair.id,
        prompt_id=pair.prompt_id,
        left=pair.b,
        right=pair.a,
        chosen=pair.a if kind == "label" else None,
        strength=3 if kind == "label" else None,
        annotator="p-1",
        milliseconds=900,
        time=ledger.now(),
        round=1,
        via="ballot",
    )
    return replace(said, **changes)
