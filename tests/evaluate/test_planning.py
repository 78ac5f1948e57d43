"""Plans say what the rule that decides does."""

import numpy as np
import pytest

from palate.core.project import Settings
from palate.core.schema import Prompt
from palate.evaluate.decision import Evidence
from palate.evaluate.planning import least_wins, plan, planned, shortage, stopping, to_go
from palate.evaluate.sequential import DECIDES, evidence


@pytest.mark.parametrize(("rate", "half", "most"), [(0.75, 28, 50), (0.6, 200, 361)])
def test_the_quantiles_are_those_of_the_rule(rate, half, most):
    planned = plan(rate, 60)
    assert (planned.half, planned.most) == (half, most)
    random = np.random.default_rng(0)
    stops = []
    for _ in range(200):
        wins = losses = 0
        while evidence(wins, losses) < DECIDES and wins + losses < 60:
            won = random.random() < rate
            wins, losses = wins + won, losses + (not won)
        stops.append(evidence(wins, losses) >= DECIDES)
    assert np.mean(stops) == pytest.approx(planned.share, abs=0.07)


def test_the_chance_to_have_decided_only_grows():
    decided = stopping(0.7)
    assert decided[0] == 0
    assert (np.diff(decided) >= 0).all()
    assert decided[-1] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("prompts", "wins"), [(8, None), (9, 9), (11, 11), (20, 17), (50, 36)])
def test_how_one_sided_few_prompts_have_to_be(prompts, wins):
    assert least_wins(prompts) == wins


def test_later_rounds_on_the_same_prompts_plan_for_more():
    first, third = planned(60), planned(60, number=3)
    assert third.startswith("These prompts already served 2 earlier tuned models")
    assert "half of evaluations decide within 28 prompts" in first
    assert "half of evaluations decide within 28 prompts" not in third
    assert "cannot decide anything: it takes at least 12." in planned(9, number=3)


def test_futures_are_calibrated():
    """Of evaluations whose rate is as uncertain as it is believed, half decide within `half`."""
    random = np.random.default_rng(2)
    within = {"half": 0, "most": 0}
    runs = 50
    for seed in range(runs):
        rate = random.beta(1.5, 1.5)
        counted = Evidence()
        for i in range(10):
            counted.add(i, "ann", float(random.random() < rate))
        claim = counted.about("prompts")
        if claim.decided:
            runs -= 1
            continue
        ahead = to_go(counted.wins, counted.losses, claim, left=50, seed=seed)
        wins, losses, more = counted.wins, counted.losses, 0
        while evidence(wins, losses) < DECIDES and more < 2_000:
            more += 1
            won = random.random() < rate
            wins, losses = wins + won, losses + (not won)
        decided = more if more < 2_000 else float("inf")
        within["half"] += decided <= (ahead.half if ahead.half is not None else 2_000)
        within["most"] += decided <= (ahead.most if ahead.most is not None else 2_000)
    assert within["half"] / runs == pytest.approx(0.5, abs=0.15)
    assert within["most"] / runs == pytest.approx(0.8, abs=0.13)


def test_a_decided_comparison_needs_no_more():
    counted = Evidence()
    for i in range(12):
        counted.add(i, "ann", 1.0)
    assert to_go(12, 0, counted.about("prompts"), left=0).half == 0


def test_votes_on_new_prompts_count_more_than_those_that_share_one():
    """Nine prompts to four, three people who agree: new prompts make up for what those share."""
    counted = Evidence()
    for prompt in range(13):
        for person in range(3):
            counted.add(prompt, person, float(prompt < 9))
    claim = counted.about("prompts")
    assert claim.design_effect > 3
    ahead = to_go(counted.wins, counted.losses, claim, left=0)
    assert 50 < ahead.half < 130  # simulated: 90 with the rule itself


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        (4, "There are 4 eval prompts, which cannot decide anything: it takes at least 9."),
        (0, "There are no eval prompts yet. It takes at least 9 to decide anything."),
        (1, "There is 1 eval prompt, which cannot decide anything: it takes at least 9."),
        (
            11,
            "11 eval prompts: with one vote each they can only decide at 11:0, which takes",
        ),
        (60, "60 eval prompts: with one vote each they decide at 42:18 or clearer. With"),
    ],
)
def test_a_plan_says_what_the_prompts_that_are_there_can_show(prompts, says):
    plan = planned(prompts)
    assert "3 times in 4, half of evaluations decide within 28 prompts and four in five" in plan
    assert says in plan


def test_a_project_without_eval_prompts_is_told_what_brings_them():
    said = shortage("me/titles", Settings(), [])
    assert said.startswith("60 eval prompts would decide in 90% of such evaluations: palate")
    some = [Prompt.of(f"q{i}", "eval") for i in range(45)]
    assert "15 more eval prompts would make 60, which decide" in shortage("me/t", Settings(), some)
