"""The pairs that teach a reward most are asked first, across prompts."""

import json

import numpy as np
import pytest

from palate.core.errors import BadInput
from palate.core.schema import Candidate, Event, Prompt, pairs_of
from palate.label.assignment import Queue
from palate.label.strategies import Ranking, RewardNotes, Uncertain, strategy_of

PROMPTS = [Prompt.of(f"Idea {n}") for n in range(40)]
CANDIDATES = [Candidate.of(p.id, f"{p.text}, title {k}") for p in PROMPTS for k in (0, 1)]
PAIRS = pairs_of(CANDIDATES)
PLACE = {p.prompt_id: n for n, p in enumerate(PAIRS)}


def event(pair, number, chosen=None) -> Event:
    return Event(
        event_id=pair.id, kind="label", pair_id=pair.id, prompt_id=pair.prompt_id, left=pair.a,
        right=pair.b, chosen=chosen or pair.a, strength=None, annotator="p-1", milliseconds=900,
        time=f"2026-01-02T03:{number // 60:02}:{number % 60:02}.000Z", round=1, via="ballot",
    )  # fmt: skip


def vectors(steps) -> dict[str, tuple[float, ...]]:
    """Return vectors whose difference on the n-th pair is the n-th step."""
    sides = zip(PAIRS, steps, strict=True)
    return {x: tuple(v) for pair, step in sides
            for x, v in ((pair.a, step), (pair.b, np.zeros(len(step))))}  # fmt: skip


def asked(queue: Queue, n: int) -> list[int]:
    return [PLACE[q.pair.prompt_id] for q in queue.next("p-1", n, (), 0.0)]


def test_a_direction_that_was_measured_is_asked_about_last():
    steps = np.array([[1.0, 0.0] if n < 20 else [0.0, 1.0] for n in range(40)])
    queue = Queue(PAIRS, Uncertain(PAIRS, vectors(steps), 1.0))
    first = asked(queue, 1)[0]
    measured = range(20) if first < 20 else range(20, 40)
    queue.add([event(PAIRS[n], i) for i, n in enumerate(list(measured)[:10])])
    assert not {*asked(queue, 20)} & {*measured}


def test_the_longest_step_is_asked_first_and_one_without_vectors_last():
    steps = np.array([[float(n), 1.0] for n in range(40)])
    known = vectors(steps)
    del known[PAIRS[39].a]
    queue = Queue(PAIRS, Uncertain(PAIRS, known, 1.0))
    assert asked(queue, 5) == [38, 37, 36, 35, 34]
    queue.add([event(PAIRS[n], n) for n in range(1, 39)])
    assert asked(queue, 5) == [0]  # somebody else may come: half is left for them
    queue.add([event(PAIRS[0], 50)])
    assert asked(queue, 5) == [39]


def test_an_outcome_that_is_known_is_not_asked_for():
    steps = np.array([[3.0, 0.0]] * 30 + [[0.0, 1.0]] * 10)
    queue = Queue(PAIRS, Uncertain(PAIRS, vectors(steps), 1.0))
    queue.add([event(PAIRS[n], n) for n in range(15)])  # they all say the same
    assert min(asked(queue, 10)) >= 30


def test_until_there_is_a_reward_it_ranks():
    assert type(strategy_of("uncertain", PAIRS, RewardNotes(0, 1, ()))) is Ranking
    notes = RewardNotes(0, 1, (), 3.0, vectors(np.ones((40, 2))))
    assert RewardNotes.parse(notes.text(), "x") == notes
    assert type(strategy_of("uncertain", PAIRS, notes)) is Uncertain
    assert type(strategy_of("ranking", PAIRS, notes)) is Ranking


@pytest.mark.parametrize("labels", [0, 1, 40])
def test_it_asks_everything_once(labels):
    steps = np.random.default_rng(0).normal(size=(40, 4))
    queue = Queue(PAIRS, Uncertain(PAIRS, vectors(steps), 1.0))
    queue.add([event(PAIRS[n], n) for n in range(labels)])
    found = []
    while new := asked(queue, 7):
        found += new
        queue.add([event(PAIRS[n], len(found) + n) for n in new])
    assert sorted(found) == list(range(labels, 40))


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": {"a": [1.0], "b": [1.0, 2.0]}}, {"vectors": {"a": [0.1] * 10_000}},
        {"vectors": {"a": []}}, {"vectors": {"a": [float("nan")]}}, {"vectors": {"a": [1e300]}},
        {"penalty": 0.0}, {"penalty": -1.0}, {"penalty": float("nan")}, {"penalty": float("inf")},
    ],
)  # fmt: skip
def test_notes_that_cannot_be_computed_with_are_refused(changes):
    """In a label Space they would end every request for a pair in an error."""
    text = json.dumps({"version": 0, "round": 1, "doubts": []} | changes)
    with pytest.raises(BadInput, match=next(iter(changes))):
        RewardNotes.parse(text, "reward.json")
