"""Which runs raise which alarm."""

from dataclasses import replace

import pytest

from palate.audit.baselines import Accuracy
from palate.generate.samples import BaseAndTuned, Samples
from palate.train.record import TokenFigures
from palate.train.results import dpo_alarms, dpo_results, sft_alarms, sft_results


def entry(step, loss=0.5, accuracy=0.8, chosen=0.1, logps=-20.0):
    rewards = {"rewards/accuracies": accuracy, "rewards/margins": 0.3, "rewards/chosen": chosen}
    return {"step": step, "epoch": step / 10, "loss": loss, "logps/chosen": logps, **rewards}


LOG = [entry(i) for i in range(1, 9)]
GOOD = dpo_results([0.5, 0.4, 0.2, -0.1], 8, {})
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
        ([entry(i, loss=0.6931) for i in range(9)], GOOD, None, "stayed at 0.6931"),
        ([entry(i, accuracy=0.99) for i in range(9)], dpo_results([1, -1], 2, {}), None, "rather"),
        (LOG, dpo_results([-0.1, -0.2], 2, {}), None, "no better than the base"),
        (LOG, replace(GOOD, baselines={"length": Accuracy(0.9, (0.8, 1.0), 4)}), None, "length"),
        ([entry(i, chosen=-1.5, logps=-35.0) for i in range(9)], GOOD, None, "fell by 75"),
        (LOG, GOOD, 31, "not a number at step 31"),
    ],
)
def test_what_deserves_a_second_look_raises_an_alarm(log, results, failed_at, words):
    assert any(words in alarm for alarm in dpo_alarms(log, results, 0.1, failed_at))


def test_completions_that_changed_raise_alarms():
    longer = replace(ODD, length=BaseAndTuned(40.0, 80.0))
    length, cut, template = dpo_alarms(LOG, GOOD, 0.1, samples=longer)
    assert "--length-desensitized" in length
    assert "did not come to an end" in cut
    assert "one template. Lower the learning rate, or raise beta." in template
    assert dpo_alarms(LOG, GOOD, 0.1, samples=replace(longer, prompts=3)) == ()


def test_alarms_of_sft():
    base = TokenFigures(2.0, 0.3)
    assert sft_alarms(sft_results(base, TokenFigures(1.5, 0.4), 6, 1), None, SAMPLES) == ()
    assert sft_alarms(sft_results(None, None, 0, 3), None, SAMPLES) == ()
    worse = sft_results(base, TokenFigures(2.1, 0.3), 6, 1)
    never, cut, template = sft_alarms(worse, None, ODD)
    assert "never fell below the base model's 2.0000 (best: 2.1000)" in never
    assert "did not come to an end" in cut
    assert "one template. Lower the learning rate, or take fewer epochs." in template
    assert "not a number at step 31" in sft_alarms(worse, 31, SAMPLES)[0]
