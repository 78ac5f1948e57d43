"""Shares of rows that resemble each other, against other implementations and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import PAIRS, event
from scipy.stats import binomtest

from palate.core.rates import Rate, clustered, cyclic_triads, exact, two_sided
from palate.core.typed import read
from palate.label.agreement import report

counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.25, 0.5]))
def test_independent_rows_have_the_exact_interval_and_test(case, chance):
    hits, n = case
    expected = binomtest(hits, n).proportion_ci(method="exact")
    assert exact(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-9)
    tails = (binomtest(hits, n, chance, alternative=side).pvalue for side in ("less", "greater"))
    assert two_sided(hits, n, chance) == pytest.approx(min(1, 2 * min(tails)), abs=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 6)), min_size=1))
def test_a_rate_is_tested_as_its_interval_says_and_mirrors(rows):
    hits, prompts, people = zip(*rows, strict=True)
    rate = Rate.of(hits, prompts, people, chance=0.5)
    other = Rate.of([not h for h in hits], prompts, people, chance=0.5)
    if len(set(prompts)) < 2:
        assert (rate.interval, rate.p, other.interval) == (None, None, None)
        return
    low, high = rate.interval
    assert 0 <= low <= rate.rate <= high <= 1
    assert (rate.p < 0.05) == (not low <= 0.5 <= high)
    assert other.interval == pytest.approx((1 - high, 1 - low))
    assert rate.effective <= rate.n + 1e-9


def test_rows_that_repeat_a_prompt_add_nothing():
    once = Rate.of([True] * 7 + [False] * 3, range(10))
    often = Rate.of([True] * 70 + [False] * 30, [i // 10 for i in range(100)])
    assert once.effective == 10
    assert often.effective < 10
    assert Rate.of([True] * 40, [i // 4 for i in range(40)]).interval[0] < 0.75


@pytest.mark.parametrize(("prompts", "rate"), [(11, 0.5), (11, 0.9), (50, 0.7)])
def test_the_interval_covers_where_answers_to_a_prompt_agree(prompts, rate):
    random, kept, runs = np.random.default_rng(1), 0, 400
    names = np.repeat(np.arange(prompts), 5).tolist()
    for _ in range(runs):
        each = random.beta(rate * 7 / 3, (1 - rate) * 7 / 3, prompts)  # a correlation of 0.3
        won = (random.random((prompts, 5)) < each[:, None]).ravel().tolist()
        low, high = Rate.of(won, names).interval
        kept += low <= rate <= high
    assert kept / runs >= 0.94


def test_six_people_with_habits_that_cancel_out_show_no_bias():
    random, alarms, runs = np.random.default_rng(2), 0, 300
    people, prompts = np.tile(np.arange(6), 40), np.repeat(np.arange(40), 6)
    for _ in range(runs):
        habits = random.beta(2, 2, 6)
        left = random.random(240) < habits[people]
        alarms += Rate.of(left.tolist(), prompts.tolist(), people.tolist(), 0.5).p < 0.05
    assert alarms / runs <= 0.05


def test_agreement_of_ten_people_on_few_pairs_knows_how_little_that_is():
    random, kept, runs = np.random.default_rng(3), 0, 60
    pairs = [f"pair-{i}" for i in range(20)]
    truth = (1 + 0.2) / 2  # of two votes with a correlation of 0.2
    for _ in range(runs):
        each = random.beta(2, 2, 20)
        votes = random.random((20, 10)) < each[:, None]
        events = [
            event(PAIRS[0], annotator=f"p-{j}", chosen=PAIRS[0].a if votes[i, j] else PAIRS[0].b,
                  pair_id=pair, prompt_id=pair)
            for i, pair in enumerate(pairs) for j in range(10)
        ]  # fmt: skip
        agreement = report(events, []).agreement
        assert (agreement.n, agreement.prompts) == (900, 20)
        low, high = agreement.interval
        kept += low <= truth <= high
    assert kept / runs >= 0.9


def test_a_rate_says_its_doubt_and_why_there_is_none():
    assert Rate.of([], []).words() == "none"
    assert Rate.of([True] * 18 + [False] * 2, range(20)).words() == "18 of 20 (90%, 68.3–98.8%)"
    few = Rate.of([True, True, False], "xxx", chance=0.5)
    assert few.words() == "2 of 3 (67%; one prompt says nothing about others)"
    assert few.test() == ""
    assert "6 of 6 on 3 prompts (100%, " in Rate.of([True] * 6, "xxyyzz").words()
    assert Rate.of([True] * 9, range(9), chance=0.5).test(2) == ", p = 0.0078 adjusted for 2 tests"


def test_a_rate_stored_by_an_earlier_version_claims_no_interval():
    old = {"hits": 28, "n": 40, "rate": 0.7, "interval": [0.55, 0.82], "p": 0.01}
    rate = read(Rate, old, "run.json")
    assert (rate.rate, rate.interval, rate.p) == (0.7, None, None)
    assert "an earlier version" in rate.words()
    new = Rate.of([True, False, True], [1, 2, 2], [1, 2, 3], 0.5)
    assert read(Rate, new.to_json(), "run.json") == new


def test_means_of_ties_are_clustered_too():
    assert clustered([1.0, 0.5, 0.0], "xxx") is None
    low, high = clustered([1.0, 0.5, 0.5, 0.0] * 5, range(20))
    assert low < 0.5 < high


def test_circles_know_their_prompts_and_people():
    circle = {("x", "y"): "x", ("y", "z"): "y", ("x", "z"): "z"}
    rate = cyclic_triads({("ann", "one"): circle, ("ann", "two"): circle | {("x", "z"): "x"}})
    assert (rate.hits, rate.n, rate.prompts, rate.people) == (1, 2, 2, 1)
    assert rate.chance == 0.25
