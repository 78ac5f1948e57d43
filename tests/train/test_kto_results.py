"""The figures of KTO on held-out prompts, and whether their interval holds the truth."""

import numpy as np
import pytest
from scipy.stats import norm

from palate.core.schema import Message, Unpaired
from palate.train.records.kto_results import answer_key, kto_results


def rows(prompts: int, each: int) -> list[Unpaired]:
    """Return answers, every second one good."""
    return [
        Unpaired(
            [Message(role="user", content=f"Prompt {i}")],
            [Message(role="assistant", content=f"Answer {j}")],
            j % 2 == 0,
            "p-1",
            f"prompt-{i}",
        )
        for i in range(prompts)
        for j in range(each)
    ]


def results(values, test):
    keys = [answer_key(r.prompt, r.completion) for r in test]
    return kto_results(dict(zip(keys, map(float, values), strict=True)), test, [], 3)


def test_the_separation_counts_pairs_of_a_good_and_a_bad_answer():
    test = rows(3, 2)
    assert results([3, 0, 2, 1, 4, 2], test).separation == pytest.approx(8.5 / 9)  # one tie
    assert results([3, 0, 2, 1, 4, 2], test).separation_interval is None  # three prompts
    good = [r for r in test if r.label]
    one_kind = results([1, 2, 3], good)
    assert (one_kind.separation, one_kind.separation_interval, one_kind.bad_reward) == (None,) * 3
    assert one_kind.learned == "open"


def test_what_always_holds_is_no_certainty_on_few_prompts():
    low, high = results([1, 0] * 6, rows(6, 2)).separation_interval
    assert 0.4 < low < 0.7
    assert high == 1


@pytest.mark.parametrize("prompts", [6, 20])
@pytest.mark.parametrize("each", [2, 6])
@pytest.mark.parametrize("truth", [0.5, 0.9])
@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_its_interval_holds_the_truth_about_other_prompts(prompts, each, truth, correlation):
    random, test, kept = np.random.default_rng(0), rows(prompts, each), 0
    good = np.array([r.label for r in test])
    # two answers to different prompts differ by as much whether prompts differ or not
    lead = np.sqrt(2) * norm.ppf(truth)
    for _ in range(200):
        of_prompt = np.repeat(random.normal(size=prompts), each) * np.sqrt(correlation)
        own = random.normal(size=len(test)) * np.sqrt(1 - correlation)
        low, high = results(of_prompt + own + lead * good, test).separation_interval
        kept += low <= truth <= high
    assert kept >= 186  # 93%
