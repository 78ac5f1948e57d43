"""How long the owner's page takes to find labels among 20,000.

    python benchmarks/owner.py [--labels 20000] [--json]

Calls what the page calls, without the network: 2,000 prompts with four texts of about 900
characters, twenty people, flags, notes, repeats and answers that differ. `first`
is the first call after a start, which reads all events; `after a label` is the first call after a
new one arrived. Each filter is asked 20 times.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

from palate.core.ledger import standing_judgements
from palate.core.schema import Candidate, Event, Pair, Prompt, pairs_of
from palate.web.labelling.labels import Labels

PROMPTS, PEOPLE, TIMES = 2000, 20, 20
START = datetime(2026, 11, 1, tzinfo=UTC)
FILTERS: dict[str, dict[str, object]] = {
    "none": {},
    "person": {"who": "p-3"},
    "prompt": {"prompt": "number 12"},
    "kind": {"kind": "tie"},
    "disagreement": {"differs": True},
    "too fast": {"fast": True},
    "flagged": {"flagged": True},
    "all together": {"who": "p-3", "prompt": "number 1", "differs": True, "kind": "label"},
    "last page": {"page": 300},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.labels)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, milliseconds in figures.items():
        print(f"{name:<16}{milliseconds:8.1f} ms")


def measure(number: int) -> dict[str, float]:
    """Return the slowest milliseconds of each filter."""
    prompts, candidates = texts()
    events = list(labels_on(pairs_of(candidates), number))
    ballot = Mock(spec=["events", "texts", "prompts"])
    ballot.texts.return_value = candidates
    ballot.prompts.return_value = {p.id: p for p in prompts}
    ballot.events.side_effect = lambda: list(events)
    labels = Labels(ballot)
    figures = {"first": seconds(labels, {})}
    for name, query in FILTERS.items():
        figures[name] = max(seconds(labels, query) for _ in range(TIMES))
    events.append(replace(events[0], event_id="new", annotator="p-new"))
    figures["after a label"] = seconds(labels, {"differs": True})
    start = time.perf_counter()
    labels.show({"id": standing_judgements(events)[0].event_id})
    figures["one pair"] = 1000 * (time.perf_counter() - start)
    return figures


def seconds(labels: Labels, query: dict[str, object]) -> float:
    start = time.perf_counter()
    json.dumps(labels.find(query))
    return 1000 * (time.perf_counter() - start)


def texts() -> tuple[list[Prompt], list[Candidate]]:
    prompts = [Prompt.of(f"Prompt number {i} of a large project, {i % 7}") for i in range(PROMPTS)]
    chance = random.Random(0)
    words = [f"word{i}" for i in range(500)]
    texts = [
        Candidate.of(p.id, " ".join(chance.choices(words, k=140)), model=f"m{n}")
        for p in prompts
        for n in range(4)
    ]
    return prompts, texts


def labels_on(pairs: list[Pair], number: int) -> Iterator[Event]:
    chance = random.Random(1)
    for n in range(number):
        pair = pairs[n % len(pairs)]
        kind = chance.choices(("label", "tie", "skip", "flag"), (90, 6, 3, 1))[0]
        moment = (START + timedelta(seconds=n)).isoformat(timespec="milliseconds")
        yield Event(
            f"event-{n:06}", kind, pair.id, pair.prompt_id, pair.a, pair.b,
            chance.choice((pair.a, pair.b)) if kind == "label" else None,
            3 if kind == "label" else None, f"p-{(n // len(pairs) * 7) % PEOPLE + n % 7}",
            chance.choice((300, 4000, 9000, 30_000)),
            moment.replace("+00:00", "Z"),
            1, "ballot", comment="a note" if n % 50 == 0 else None, sequence=n + 1,
            purpose="repeat" if n % 23 == 0 else "ask",
        )  # fmt: skip


if __name__ == "__main__":
    main()
