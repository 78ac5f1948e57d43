"""The rule that decides: what it says of single cases, and how often it is wrong."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.evaluate.decision import PEOPLE_NEEDED, PROMPTS_NEEDED, Evidence, claims, share
from palate.evaluate.planning import stopping
from palate.evaluate.sequential import DECIDES, evidence, sequence

VOTES = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from("abcdef"), st.sampled_from((0, 0.5, 1))),
    min_size=1,
    max_size=120,
)


def test_votes_on_prompts_of_their_own_count_whole():
    votes = [(i, "ann", float(i < 34)) for i in range(50)]
    prompts, people = claims(votes)
    assert (prompts.units, prompts.design_effect) == (50, 1.0)
    assert prompts.evidence == evidence(34, 16)
    assert prompts.interval == sequence(34, 16)
    assert not people.decided


@pytest.mark.parametrize(
    ("case", "votes", "about_prompts", "about_people"),
    [
        ("11 prompts, one person, 11:0", [(i, 0, 1) for i in range(11)], True, False),
        ("11 prompts, one person, 10:1", [(i, 0, i > 0) for i in range(11)], False, False),
        ("1 prompt, 30 people, all alike", [(0, i, 1) for i in range(30)], False, False),
        (
            "8 prompts, 30 people, all alike",
            [(p, v, 1) for p in range(8) for v in range(30)],
            False,
            False,
        ),
        (
            "11 prompts, 20 people who agree, 7:4",
            [(p, v, p < 7) for p in range(11) for v in range(20)],
            False,
            False,
        ),
        (
            "60 prompts, 5 of 6 people each way",
            [(p, v, v < 5) for p in range(60) for v in range(6)],
            True,
            False,
        ),
        (
            "60 prompts, 8 people, 9 of 10 votes",
            [(p, v, (p + v) % 10 > 0) for p in range(60) for v in range(8)],
            True,
            True,
        ),
        ("every vote a tie", [(p, 0, 0.5) for p in range(40)], False, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_votes_decide(case, votes, about_prompts, about_people):
    prompts, people = claims([(p, v, float(r)) for p, v, r in votes])
    assert (prompts.decided, people.decided) == (about_prompts, about_people)


def test_all_rounds_on_the_same_prompts_together_are_within_five_percent():
    """Exact, for a vote a prompt: half of equal models that are called different seem better."""
    better = [stopping(0.5, DECIDES / share(number))[-1] / 2 for number in range(1, 11)]
    assert better[0] < 0.025
    assert sum(better) < 0.05
    assert sum(share(number) for number in range(2, 10_000)) == pytest.approx(1, abs=1e-3)


@given(VOTES)
def test_claims_hold_together(votes):
    counted = Evidence()
    for vote in votes:
        counted.add(*vote)
    for population, needed in (("prompts", PROMPTS_NEEDED), ("people", PEOPLE_NEEDED)):
        claim = counted.about(population)
        low, high = claim.interval
        assert 0 <= low <= counted.rate + 1e-9
        assert counted.rate - 1e-9 <= high <= 1
        assert claim.design_effect is None or claim.design_effect >= 1
        assert claim.units >= needed or not claim.decided
        assert claim.decided == (claim.evidence >= DECIDES)
        # decided says that one half is outside, whichever way it is put
        assert not claim.decided or not low <= 0.5 <= high or math.isclose(high, 0.5)


@given(VOTES, st.randoms(use_true_random=False))
def test_the_order_of_votes_does_not_matter(votes, random):
    other = list(votes)
    random.shuffle(other)
    for one, two in zip(claims(votes), claims(other), strict=True):
        assert one.evidence == pytest.approx(two.evidence)
        assert one.interval == pytest.approx(two.interval, abs=1e-6)


@given(VOTES)
def test_the_other_model_gets_the_mirrored_claim(votes):
    for one, two in zip(claims(votes), claims([(p, v, 1 - r) for p, v, r in votes]), strict=True):
        assert one.evidence == pytest.approx(two.evidence)
        assert one.interval == pytest.approx((1 - two.interval[1], 1 - two.interval[0]), abs=1e-6)


@pytest.mark.parametrize(
    ("prompts", "people", "correlation", "tastes"),
    [(11, 20, 0.3, 0.0), (20, 10, 0.1, 0.0), (30, 8, 0.0, 0.3)],
)
def test_equal_models_are_seldom_called_different(prompts, people, correlation, tastes):
    """A look after every vote; `benchmarks/votes.py` has all cells and more runs."""
    random = np.random.default_rng(1)
    runs = wrong = 0
    for _ in range(40):
        runs += 1
        rate = beta(random, correlation, prompts)
        taste = np.log(beta(random, tastes, people) / (1 - beta(random, tastes, people)))
        counted = Evidence()
        population = "people" if tastes else "prompts"
        for step in range(prompts * people):
            p, v = step % prompts, (step + step // prompts) % people
            chance = 1 / (1 + math.exp(-math.log(rate[p] / (1 - rate[p])) - taste[v]))
            counted.add(p, v, float(random.random() < chance))
            if step % 3 == 0 and counted.about(population).decided:
                wrong += 1
                break
    assert wrong / runs <= 0.1  # 5% and chance


def beta(random: np.random.Generator, correlation: float, size: int) -> np.ndarray:
    if not correlation:
        return np.full(size, 0.5)
    a = (1 / correlation - 1) / 2
    return random.beta(a, a, size).clip(1e-6, 1 - 1e-6)
