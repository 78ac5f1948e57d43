"""What an export makes of a ledger in which everything happens is what it always made.

`stored/mixed/` has the hashes of the version that read each row several times.
"""

import hashlib
import json
import random
from pathlib import Path

from card_projects import InMemory, project_of

from palate.core.schema import SPLITS, Candidate, Event, Prompt, pairs_of
from palate.label import preferences
from palate.label.agreement import report

STORED = Path(__file__).parents[1] / "stored/mixed"
TEXTS = ("Plain words", "Longer words, and a digit: 7", "**Bold**?", '"Quoted" words!', "A\nB")
KINDS = ("label",) * 8 + ("tie", "both_bad", "skip", "rewrite", "flag", "undo")
PURPOSES = ("ask",) * 9 + ("repeat",)


def mixed() -> InMemory:
    """Return a project of 6 people with 400 events of every kind, drawn from a seed."""
    chance = random.Random(16)
    prompts = [Prompt.of(f"Subject {i}", SPLITS[i % 11 // 4]) for i in range(22)]
    candidates = [
        Candidate.of(p.id, f"{text} on {p.text}", model=f"me/m{n % 2}", revision="a" * 40)
        for p in prompts
        for n, text in enumerate(TEXTS)
    ]
    text = {c.id: c.text for c in candidates}
    pairs, events = pairs_of(candidates), []
    for n in range(400):
        pair, kind = chance.choice(pairs), chance.choice(KINDS)
        better = Candidate.of(pair.prompt_id, f"Better {n}", round=1)
        left, right = chance.sample((pair.a, pair.b), 2)
        shorter, longer = sorted((pair.a, pair.b), key=lambda c: (len(text[c]), c))
        picked = longer if chance.random() < 0.8 else shorter
        earlier = chance.choice(events).event_id if events else None
        events.append(
            Event(
                f"event-{n:04}",
                kind,
                pair.id,
                pair.prompt_id,
                left,
                right,
                {"label": picked, "rewrite": better.id}.get(kind),
                chance.choice((None, 1, 2, 3, 4)),
                f"p-{chance.randrange(6):010}",
                chance.choice((None, 300, 900, 2500)),
                f"2026-{1 + n // 500:02}-{1 + n // 50:02}T{n % 24:02}:{n % 60:02}:00.000Z",
                1,
                "ballot",
                target=earlier if kind == "undo" else None,
                comment="A note" if n % 97 == 0 else None,
                purpose=chance.choice(PURPOSES),
                text=better.text if kind == "rewrite" else None,
                sequence=chance.choice((None, n + 1)),
            )
        )
    rebuilt = preferences.rebuild(prompts, candidates, events)
    written = [*rebuilt.rows["test"], *rebuilt.rows["train"]]
    rows = {"prompts": prompts, "candidates": candidates, "labels": events, "preferences": written}
    return project_of(rows, list(preferences.preference_files(rebuilt)))


def hashes(of: InMemory) -> dict[str, str]:
    """Return the hashes of what follows from the labels; figures to nine places."""
    files = preferences.preference_files(preferences.rebuild(of.prompts, of.candidates, of.labels))
    figures = json.dumps(report(of.labels, of.candidates).to_json())
    rounded = json.loads(figures, parse_float=lambda digits: round(float(digits), 9))
    texts = files | {"report": json.dumps(rounded)}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def test_preferences_and_figures_are_those_of_before():
    assert hashes(mixed()) == json.loads((STORED / "hashes.json").read_text("utf-8"))
