"""Intervals and tests against published tables, other implementations and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import beta

from palate.evaluate import sequential


def exact_stopping(rate: float, most: int = 500) -> tuple[float, float | None]:
    """Return the chance to stop within `most` votes, and the median, by the exact distribution."""
    alive, stopped, median = np.zeros(most + 2), 0.0, None
    alive[0] = 1.0
    for n in range(1, most + 1):
        after = alive * (1 - rate)
        after[1:] += alive[:-1] * rate
        for wins in range(n + 1):
            if after[wins] and sequential.evidence(wins, n - wins) >= sequential.DECIDES:
                stopped, after[wins] = stopped + after[wins], 0.0
        alive = after
        if median is None and stopped >= 0.5:
            median = n
    return stopped, median


def test_looking_after_every_vote_rarely_calls_equal_models_different():
    stopped, _ = exact_stopping(0.5, 300)
    assert 0.02 < stopped < 0.05


@pytest.mark.parametrize(("rate", "most"), [(0.68, 58), (0.75, 32), (0.85, 16)])
def test_few_votes_decide_what_is_clear(rate, most):
    stopped, median = exact_stopping(rate, 200)
    assert stopped > 0.95
    assert median is not None
    assert median <= most


@given(st.integers(0, 60), st.integers(0, 60))
def test_evidence_is_the_same_from_either_side_and_a_fair_bet(wins, losses):
    e = sequential.evidence(wins, losses)
    assert e == pytest.approx(sequential.evidence(losses, wins))
    # under equal models the next vote leaves its expectation where it is
    mean = (sequential.evidence(wins + 1, losses) + sequential.evidence(wins, losses + 1)) / 2
    assert mean == pytest.approx(e)


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 40))
@settings(max_examples=60)
def test_the_sequence_holds_the_win_rate_and_mirrors(wins, losses, ties):
    low, high = sequential.sequence(wins, losses, ties)
    n = wins + losses + ties
    rate = (wins + ties / 2) / n if n else 0.5
    assert 0 <= low <= rate <= high <= 1
    assert sequential.sequence(losses, wins, ties) == pytest.approx((1 - high, 1 - low), abs=1e-6)


@given(st.integers(0, 150), st.integers(0, 150), st.integers(0, 80))
@settings(max_examples=200)
def test_the_sequence_leaves_out_one_half_exactly_where_the_votes_decide(wins, losses, ties):
    low, high = sequential.sequence(wins, losses, ties)
    assert (not low <= 0.5 <= high) == (sequential.evidence(wins, losses) >= sequential.DECIDES)


@given(st.integers(0, 80), st.integers(1, 80), st.sampled_from([0.05, 0.001]))
def test_an_always_valid_interval_ends_where_the_mixture_beats_the_likelihood(hits, misses, alpha):
    low, high = sequential.always(hits, misses, 1.5, 1.5, alpha)
    for p in (low, high):
        if 0 < p < 1:
            mixture = beta(hits + 1.5, misses + 1.5) / beta(1.5, 1.5)
            assert p**hits * (1 - p) ** misses / mixture == pytest.approx(alpha, rel=1e-4)
    assert low <= hits / (hits + misses) <= high


def test_no_vote_rules_nothing_out():
    assert sequential.sequence(0, 0) == (0.0, 1.0)
    assert sequential.evidence(0, 0) == pytest.approx(1)


@pytest.mark.parametrize("rate", [0.5, 0.75, 0.95])
def test_the_sequence_holds_the_truth_at_every_vote(rate):
    random, kept = np.random.default_rng(0), 0
    truth = 0.8 * rate + 0.1
    for _ in range(150):
        votes = random.choice(3, size=150, p=(0.8 * rate, 0.8 * (1 - rate), 0.2))
        counts = np.stack([(votes == i).cumsum() for i in range(3)], 1)
        bands = (sequential.sequence(*map(int, row)) for row in counts)
        kept += all(low <= truth <= high for low, high in bands)
    assert kept / 150 >= 0.95
