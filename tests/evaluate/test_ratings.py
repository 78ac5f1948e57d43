"""Ratings of several models, from votes between any two."""

import random
from itertools import combinations

import pytest

from palate.core.schema import Candidate, Event, Model, Pair
from palate.evaluate.ratings import ratings, table

BASE, ONE, TWO = (Model(f"me/{name}", name[0] * 40) for name in ("base", "one", "two"))


def votes(strength: dict[Model, float], each: int = 300) -> tuple[list[Event], list[Candidate]]:
    """Return votes between every two models that follow the strengths, in points."""
    draw, events, candidates = random.Random(0), [], []
    for n in range(each):
        for x, y in combinations(strength, 2):
            prompt = f"q{n % 40}"
            texts = [Candidate.of(prompt, f"{m.repo} {n} {x.repo}{y.repo}", model=m.repo,
                                  revision=m.revision) for m in (x, y)]  # fmt: skip
            candidates += texts
            left, right = draw.sample(texts, 2)
            chance = 1 / (1 + 10 ** ((strength[y] - strength[x]) / 400))
            chosen = texts[0] if draw.random() < chance else texts[1]
            events.append(
                Event(
                    event_id=f"event-{len(events):05}", kind="label", pair_id=Pair.of(*texts).id,
                    prompt_id=prompt, left=left.id, right=right.id, chosen=chosen.id,
                    strength=None, annotator="p-1", milliseconds=900, round=1, via="ballot",
                    time=f"2026-01-01T00:00:{len(events) % 60:02}.000Z",
                )
            )  # fmt: skip
    return events, candidates


def test_ratings_find_the_strengths_and_count_from_the_base():
    found = ratings(*votes({BASE: 0, ONE: 100, TWO: 200}), BASE)
    assert [r.model for r in found] == [TWO, ONE, BASE]
    assert found[2].points == 0
    assert found[2].interval is None
    for r, truth in zip(found, (200, 100), strict=False):
        assert r.points == pytest.approx(truth, abs=45)
        assert r.interval is not None
        assert r.interval[0] < truth < r.interval[1]
        assert r.votes == 600
    assert table(found)[0].startswith("1. me/two at ttttttt: +")


def test_two_models_need_no_ratings_and_one_that_always_wins_stays_finite():
    assert ratings(*votes({BASE: 0, ONE: 100}), BASE) == []
    found = ratings(*votes({BASE: 0, ONE: 4000, TWO: 8000}, each=20), BASE)
    assert [r.model for r in found] == [TWO, ONE, BASE]
    assert all(abs(r.points) < 5000 for r in found)
