import math

import pytest

from palate.train.record import KEYS, alarms, curve, hardware, result, versions


def entry(step, loss=0.5, accuracy=0.8, chosen=0.1, logps=-20.0):
    return {
        "step": step,
        "epoch": step / 10,
        "loss": loss,
        "rewards/accuracies": accuracy,
        "rewards/margins": 0.3,
        "rewards/chosen": chosen,
        "logps/chosen": logps,
    }


LOG = [entry(i) for i in range(1, 9)]
GOOD = result([0.5, 0.4, 0.2, -0.1], best_step=8)


def test_a_curve_has_one_point_a_step_and_none_where_nothing_was_measured():
    log = [
        entry(1),
        entry(2, loss=math.nan),
        {"step": 2, "epoch": 0.2, "eval_loss": 0.6, "eval_rewards/accuracies": 0.7},
        {"step": 2, "epoch": 0.2, "train_runtime": 3.0, "total_flos": 0.0},
    ]
    points = curve(log)
    assert all(set(p) == {"step", "epoch", *KEYS.values()} for p in points)
    train = {"reward_margin": 0.3, "reward_accuracy": 0.8}
    assert [{k: v for k, v in p.items() if v is not None} for p in points] == [
        {"step": 1, "epoch": 0.1, "loss": 0.5, **train},
        {"step": 2, "epoch": 0.2, "test_loss": 0.6, "test_reward_accuracy": 0.7, **train},
    ]


def test_a_result_counts_rows():
    made = result([1.0, 1.0, -1.0, 0.0], best_step=7)
    assert made["test_reward_accuracy"] == 0.5  # no margin is no win
    assert made["test_loss"] == pytest.approx(
        (2 * math.log1p(math.exp(-1)) + math.log1p(math.exp(1)) + math.log(2)) / 4
    )
    assert made["test_reward_margin"] == 0.25
    assert made["test_reward_accuracy_interval"] == pytest.approx([0.150, 0.850], abs=1e-3)
    assert (made["test_rows"], made["best_step"]) == (4, 7)


def test_a_result_without_test_rows_claims_nothing():
    made = result([], best_step=3)
    assert made.pop("best_step") == 3
    assert made.pop("test_rows") == 0
    assert set(made.values()) == {None}


def test_margins_of_any_size_have_a_loss():
    assert result([-5000.0], 1)["test_loss"] == 5000.0
    assert result([5000.0], 1)["test_loss"] == 0.0


def test_a_good_run_raises_no_alarm():
    assert alarms(LOG, GOOD, 0.1) == []


@pytest.mark.parametrize(
    ("log", "made", "failed_at", "words"),
    [
        ([entry(i, loss=0.6931) for i in range(9)], GOOD, None, "stayed at 0.6931"),
        ([entry(i, accuracy=0.99) for i in range(9)], result([1, -1], 2), None, "rather than"),
        (LOG, result([-0.1, -0.2], 2), None, "no better than the base"),
        ([entry(i, chosen=-1.5, logps=-35.0) for i in range(9)], GOOD, None, "fell by 75 %"),
        (LOG, GOOD, 31, "not a number at step 31"),
    ],
)
def test_what_deserves_a_second_look_is_said(log, made, failed_at, words):
    assert any(words in a for a in alarms(log, made, 0.1, failed_at))


def test_versions_and_machine_are_recorded():
    assert set(versions()) >= {"python", "torch", "transformers", "trl", "peft", "datasets"}
    machine = hardware()
    assert machine["cores"] >= 1
    assert machine["peak_memory_gb"] > 0
