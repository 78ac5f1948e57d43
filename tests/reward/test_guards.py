"""The reward that a model learns from: its unit, and what the guards take."""

from dataclasses import replace

import numpy as np
import pytest

from palate.core.errors import UsageError
from palate.reward.guards import Norm, repeated

NORM = Norm(mean=1.0, spread=2.0, characters=10.0, repeated=0.0)


def test_a_norm_is_in_deviations_within_a_prompt():
    # prompts differ by 100, answers to a prompt by 2: the unit is that of answers
    scores = [np.array([0.0, 2.0]), np.array([100.0, 102.0])]
    norm = Norm.of(scores, ["ab", "abcd", "ab", "abcd"])
    assert (norm.mean, norm.characters) == (51.0, 3.0)
    assert norm.spread == pytest.approx(2**0.5)
    assert norm.normalised(np.concatenate(scores)).mean() == pytest.approx(0)


def test_a_reward_that_prefers_nothing_is_refused():
    with pytest.raises(UsageError, match="gives all answers to a prompt the same score"):
        Norm.of([np.array([1.0, 1.0]), np.array([3.0, 3.0])], ["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("two words", 0.0),
        ("one two three", 0.0),
        ("one two three One two three", 0.25),  # one run of four
        ("a a a a a a", 0.75),
        ("the stars and the sea", 0.0),
    ],
)
def test_repeated_runs_of_three_words(text, share):
    assert repeated(text) == pytest.approx(share)


def test_a_whole_answer_of_usual_length_keeps_its_reward():
    scores = np.array([1.0, 5.0])
    assert NORM.guarded(scores, ["x" * 8, "y" * 12], [True, True]).tolist() == [0.0, 2.0]


def test_cut_empty_and_repetitive_answers_lose():
    texts = ["x" * 10, "x" * 10, "", "go go go go go"]
    norm = replace(NORM, characters=8.5)  # as these have on average
    whole, cut, empty, again = norm.guarded(np.ones(4), texts, [True, False, True, True])
    assert whole == 0
    assert cut == empty == -1
    assert again == pytest.approx(-5 * 2 / 3)
    used_to = replace(norm, repeated=0.7)
    assert used_to.guarded(np.ones(4), texts, [True] * 4)[3] == 0


def test_length_costs_nothing_in_the_band_and_more_the_further_out():
    inside = NORM.stretched(np.array([2.0, 20.0]))  # 11 on average
    assert inside == pytest.approx([0, 0])
    short, long = NORM.stretched(np.array([11.5, 13.5]))  # 25% longer
    assert (short, long) == pytest.approx((-1, 1))
    further = NORM.stretched(np.array([13.0, 15.0]))[1]
    assert further == pytest.approx(2)
    assert NORM.stretched(np.array([99.0, 101.0]))[1] == 3  # at most
    # shorter answers lose where answers become shorter
    short, long = NORM.stretched(np.array([6.5, 8.5]))
    assert (short, long) == pytest.approx((1, -1))
    assert NORM.stretched(np.array([50.0, 50.0])).tolist() == [0, 0]  # nothing to choose from
