"""Figures of the test rows, comparisons with simple rules, and which runs raise which alarm."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multinomial

from palate.audit.baselines import Accuracy
from palate.generate.samples import BaseAndTuned, Samples
from palate.train.records.choice import LOGGED_SUMS
from palate.train.records.results import (
    dpo_alarms,
    dpo_results,
    lead,
    sft_alarms,
    sft_results,
)


def entry(step, loss=0.5, accuracy=0.8, chosen=0.1, logps=-20.0, margin=0.3):
    rewards = {"rewards/accuracies": accuracy, "rewards/margins": margin, "rewards/chosen": chosen}
    return {"step": step, "epoch": step / 10, "loss": loss, "logps/chosen": logps, **rewards}


LOG = [entry(i) for i in range(1, 9)]
PROMPTS = [f"p-{i}" for i in range(40)]


def results(margins, prompts=None, step=8, rules=None):
    """Return the figures of a run with one checkpoint."""
    return dpo_results({step: np.array(margins)}, prompts or PROMPTS[: len(margins)], step, rules)


def rule(hits):
    return Accuracy(float(np.mean(hits)), (0.0, 1.0), len(hits)), np.array(hits, float)


GOOD = results([0.5, 0.4, 0.2, -0.1])
SAMPLES = Samples(
    prompts=6,
    longest=200,
    held_out=True,
    kl=0.1,
    length=BaseAndTuned(40.0, 42.0),
    unended=BaseAndTuned(0.0, 0.0),
    same_opening=0.2,
    examples=(),
)
ODD = replace(SAMPLES, unended=BaseAndTuned(0.0, 0.5), same_opening=0.8)


def test_a_good_run_raises_no_alarm():
    assert dpo_alarms(LOG, GOOD, 0.1, samples=SAMPLES) == ()


@pytest.mark.parametrize(
    ("log", "results", "failed_at", "words"),
    [
        ([entry(i, margin=1e-4) for i in range(9)], GOOD, None, "margin stayed at 0"),
        ([entry(i, accuracy=0.99) for i in range(9)], results([1, -1] * 20), None, "its own pairs"),
        (LOG, results([-0.1, -0.2]), None, "no better than the base"),
        (LOG, results([-1] * 40, rules={"length": rule([1] * 40)}), None, "not learned the taste"),
        ([entry(i, chosen=-1.5, logps=-35.0) for i in range(9)], GOOD, None, "fell by 75"),
        (LOG, GOOD, 31, "not a number at step 31"),
    ],
)
def test_what_deserves_a_second_look_raises_an_alarm(log, results, failed_at, words):
    assert any(words in alarm for alarm in dpo_alarms(log, results, 0.1, failed_at))


def test_two_test_rows_do_not_say_that_it_learned_its_own_pairs():
    log = [entry(i, accuracy=0.99) for i in range(9)]
    assert not any("its own pairs" in alarm for alarm in dpo_alarms(log, results([1, -1]), 0.1))


def test_completions_that_changed_raise_alarms():
    longer = replace(ODD, length=BaseAndTuned(40.0, 80.0))
    length, cut, template = dpo_alarms(LOG, GOOD, 0.1, samples=longer)
    assert "--length-desensitized" in length
    assert "did not come to an end" in cut
    assert "one template. Lower the learning rate, or raise beta." in template
    assert dpo_alarms(LOG, GOOD, 0.1, samples=replace(longer, prompts=3)) == ()


def sft(base, *steps, prompts=("p", "q")):
    """Return the results of SFT; each step has a loss for every answer, of two tokens each."""
    log = [
        {"step": n, "eval_loss": 0.0, LOGGED_SUMS: [[2 * x, 1, 2] for x in losses]}
        for n, losses in enumerate((base, *steps))
    ]
    return sft_results(log, prompts, len(steps))


def test_an_sft_result_has_the_base_models_figures():
    r = sft((2.0, 3.0), (1.0, 2.0))
    assert (r.base_test_loss, r.test_loss) == (2.5, 1.5)
    assert (r.base_test_token_accuracy, r.test_token_accuracy) == (0.5, 0.5)
    assert r.test_perplexity == pytest.approx(math.exp(1.5))
    assert (r.test_rows, r.cross_fitted, r.best_step) == (2, True, 1)


def test_the_loss_of_sft_is_of_prompts_that_did_not_choose():
    # each step suits one of the prompts, so the prompt that chooses picks the other's worse step
    assert sft((3.0, 3.0), (1.0, 2.0), (2.0, 1.0)).test_loss == 2.0
    one = sft((3.0, 3.0), (1.0, 2.0), (1.0, 1.0), prompts=("p", "p"))
    assert (one.test_loss, one.cross_fitted) == (1.0, False)


def test_an_sft_result_without_test_answers_claims_nothing():
    r = sft_results([{"step": 1, "loss": 1.9}], [], 3)
    assert (r.test_loss, r.base_test_loss, r.test_rows, r.best_step) == (None, None, 0, 3)


def test_alarms_of_sft():
    good, bad = sft((2.0, 2.0), (1.5, 1.5)), sft((2.0, 2.0), (2.1, 2.1))
    assert sft_alarms(good, None, SAMPLES) == ()
    assert sft_alarms(sft_results([], [], 3), None, SAMPLES) == ()
    never, cut, template = sft_alarms(bad, None, ODD)
    assert "is 2.1000, not below the base model's 2.0000" in never
    assert "did not come to an end" in cut
    assert "one template. Lower the learning rate, or take fewer epochs." in template
    assert "not a number at step 31" in sft_alarms(bad, 31, SAMPLES)[0]


def test_a_tie_counts_half_and_is_counted():
    r = results([1.0, 1.0, -1.0, 0.0], step=7)
    assert r.test_reward_accuracy == 0.625
    assert (r.test_rows, r.test_prompts, r.test_ties, r.best_step) == (4, 4, 1, 7)
    assert r.test_loss == pytest.approx(
        (2 * math.log1p(math.exp(-1)) + math.log1p(math.exp(1)) + math.log(2)) / 4
    )
    assert r.test_reward_margin == 0.25


def test_rows_of_a_prompt_are_no_independent_rows():
    alike = [1.0] * 30 + [-1.0] * 10
    one_each = results(alike)
    ten_each = results(alike, prompts=[f"p-{i // 10}" for i in range(40)])
    width = [r[1] - r[0] for r in (one_each.test_reward_accuracy_interval,
                                   ten_each.test_reward_accuracy_interval)]  # fmt: skip
    assert width[0] < 0.35 < 0.7 < width[1]
    one_prompt = results(alike, prompts=["p"] * 40)
    assert one_prompt.test_reward_accuracy_interval is None
    assert one_prompt.cross_fitted  # nothing was chosen


def test_a_result_without_test_rows_claims_nothing():
    r = dpo_results({}, [], 3)
    assert (r.test_rows, r.best_step, r.baselines, r.leads) == (0, 3, {}, {})
    assert (r.test_loss, r.test_reward_accuracy, r.test_reward_margin) == (None, None, None)


def test_margins_of_any_size_have_a_loss():
    assert results([-5000.0]).test_loss == 5000.0
    assert results([5000.0]).test_loss == 0.0


@pytest.mark.parametrize(
    ("ours", "theirs", "known"),
    [
        ([1] * 38 + [-1] * 2, [1] * 20 + [0] * 20, "better"),
        ([1] * 20 + [-1] * 20, [1] * 38 + [0] * 2, "worse"),
        ([1] * 24 + [-1] * 16, [1] * 25 + [0] * 15, "open"),  # one pair more raises no alarm
        ([1] * 24 + [-1] * 16, [1] * 24 + [0] * 16, "open"),  # right on the same rows
    ],
)
def test_what_is_known_of_a_simple_rule_comes_from_the_same_rows(ours, theirs, known):
    r = results(ours, rules={"length": rule(theirs)})
    assert r.leads["length"].known == known
    assert r.leads["length"].difference == pytest.approx(
        (sum(ours) / 40 + 1) / 2 - sum(theirs) / 40
    )
    alarms = [a for a in dpo_alarms(LOG, r, 0.1) if "not learned the taste" in a]
    assert len(alarms) == (known == "worse")
    assert all("95% interval for other prompts" in a for a in alarms)


@pytest.mark.parametrize("n", [4, 6, 11, 20])
def test_the_interval_of_a_difference_covers_it_with_few_rows(n):
    names = [f"p-{i}" for i in range(n)]
    counts = [(wins, losses) for wins in range(n + 1) for losses in range(n + 1 - wins)]
    intervals = [
        lead(np.repeat([1.0, -1.0, 0.0], [w, x, n - w - x]), names).interval for w, x in counts
    ]
    for win, lose in [(0.5, 0.0), (0.4, 0.1), (0.2, 0.2), (0.1, 0.05), (0.3, 0.25), (0.05, 0.0)]:
        chance = multinomial.pmf(
            [(w, x, n - w - x) for w, x in counts], n, [win, lose, 1 - win - lose]
        )
        inside = [low <= win - lose <= high for low, high in intervals]
        assert (chance * inside).sum() > 0.93, (win, lose)


def test_three_of_six_rows_do_not_tell_a_model_from_a_rule():
    assert lead(np.array([1.0, 1, 1, 0, 0, 0]), [f"p-{i}" for i in range(6)]).known == "open"


def test_a_difference_on_few_prompts_stays_open():
    differences = np.array([1.0] * 20 + [0.0] * 20)
    assert lead(differences, PROMPTS).known == "better"
    assert lead(differences, [f"p-{i // 20}" for i in range(40)]).known == "open"
    assert lead(differences, ["p"] * 40).words() == "The difference is +50.0 points, on one prompt."
