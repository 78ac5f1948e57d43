"""When the gap between two rewards has opened, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest

from palate.core.rates import Rate
from palate.generate.samples import NOTHING, BaseAndTuned
from palate.train.records.best import Mean
from palate.train.records.rl_results import (
    CHECKED,
    Change,
    Check,
    HeldOut,
    RLResults,
    checks,
    gap,
    highest,
    opened,
    rl_alarms,
    sentence,
)

NOISE = np.random.default_rng(0).normal(0, 0.1, 32)
NOISE -= NOISE.mean()
GOOD = HeldOut(
    None, 200, 40, Rate.of([i % 4 > 0 for i in range(200)], [i // 5 for i in range(200)])
)


def made(*figures: tuple[float, float], noise: np.ndarray = NOISE) -> list[Check]:
    """Return checks with these mean rewards, ours and held out."""
    return [Check(i, ours + noise, held - i * noise / 10) for i, (ours, held) in enumerate(figures)]


def test_nothing_opens_before_something_rises():
    assert not opened([])
    assert not opened(made((0, 0)))
    assert not opened(made((0, 0), (1, 0.5)))
    assert not opened(made((0, 0), (1, 0.5), (2, 0.8), (3, 0.81)))
    assert not opened(made((0, 0), (-1, -1)))  # both fall: that is no gap
    assert not opened(made((0, 0), (1, 1), (1, 0.2)))  # ours is no higher than at the best check


def test_it_opens_where_the_held_out_reward_falls_while_ours_rises():
    falling = made((0, 0), (1, 0.5), (2, 0.3))
    assert opened(falling)
    assert highest(falling) == 1
    assert opened(made((0, 0), (1, -0.5)))  # from the first step on


def test_it_opens_at_the_second_check_without_a_rise():
    assert not opened(made((0, 0), (1, 0.5), (2, 0.499)))
    assert opened(made((0, 0), (1, 0.5), (2, 0.499), (3, 0.499)))
    assert not opened(made((0, 0), (1, 0.5), (2, 0.499), (3, 0.51)))


def test_a_difference_that_may_be_chance_opens_nothing():
    loud = np.random.default_rng(1).normal(0, 30, 32)
    assert not opened(made((0, 0), (1, 0.5), (2, 0.3), noise=loud))
    one = np.array([0.1])  # one prompt says nothing about others
    assert not opened(made((0, 0), (1, 0.5), (2, -3), noise=one))


def test_checks_are_read_from_the_log():
    log = [{"loss": 1.0, "step": 1}, {"step": 2, CHECKED: {"reward": [1, 2], "held_out": [3, 4]}}]
    (check,) = checks(log)
    assert (check.step, check.reward.tolist(), check.held_out.tolist()) == (2, [1, 2], [3, 4])


PROMPTS = [str(i // 2) for i in range(20)]


def change(rise: float) -> Change:
    base = np.random.default_rng(2).normal(0, 0.1, 20)
    noise = np.random.default_rng(3).normal(0, 0.1, 20)
    return Change.of(base.tolist(), (base + rise + noise).tolist(), PROMPTS)


RESULTS = RLResults(10, 2, change(1), change(0.5), 3.21, BaseAndTuned(0, 0), 40, 24, 32)


def test_what_it_says_follows_from_its_numbers():
    said = sentence(RESULTS)
    assert said.startswith("On 10 test prompts, the reward rose from")
    assert "the held-out reward rose from" in said
    assert said.endswith("KL 3.21 nats an answer, step 24")
    assert "the reward fell from" in sentence(replace(RESULTS, reward=change(-1)))
    assert "which may be chance" in sentence(replace(RESULTS, held_out=change(0)))
    same = Change(0.25, 0.25, Mean(0.0, None))
    assert "the reward did not change: +0.25;" in sentence(replace(RESULTS, reward=same))
    nothing = replace(RESULTS, prompts=0, reward=None, held_out=None)
    assert sentence(nothing).startswith("The project has no test prompts")
    assert gap(RESULTS, GOOD).startswith("At step 32 the reward still rose")
    assert gap(replace(RESULTS, opened_at=None), GOOD).endswith("did not open in 40 steps.")


def test_alarms():
    assert rl_alarms(RESULTS, GOOD, None, NOTHING) == ()
    assert GOOD.decides
    few = HeldOut(None, 6, 6, Rate.of([True, False] * 3, [str(i) for i in range(6)]))
    assert "cannot tell whether a gap" in gap(replace(RESULTS, opened_at=None), few)
    (alarm,) = rl_alarms(RESULTS, few, None, NOTHING)
    assert "chance (50%) is not ruled out, so it could not stop the run" in alarm
    (alarm,) = rl_alarms(replace(RESULTS, held_out=change(-0.5)), GOOD, None, NOTHING)
    assert alarm.startswith("On test prompts, the held-out reward fell from")
    (alarm,) = rl_alarms(RESULTS, GOOD, 7, NOTHING)
    assert "not a number at step 7; the model is that of step 24" in alarm


@pytest.mark.parametrize("hits", [0, 50, 100])
def test_a_held_out_reward_decides_only_above_chance(hits):
    accuracy = Rate.of([i < hits for i in range(100)], [str(i) for i in range(100)])
    assert HeldOut(None, 100, 100, accuracy).decides is (hits == 100)
