"""Curves, results, versions and the machine, as a run records them."""

import math
from dataclasses import asdict

import pytest

from palate.train.facts import (
    dpo_curve,
    hardware,
    sft_curve,
    versions,
)
from palate.train.record import TokenFigures
from palate.train.results import before_training, dpo_results, sft_results


def entry(step, loss=0.5, margin=0.3):
    rewards = {"rewards/accuracies": 0.8, "rewards/margins": margin}
    return {"step": step, "epoch": step / 10, "loss": loss, "rewards/chosen": 0.1, **rewards}


def measured(point):
    return {k: v for k, v in asdict(point).items() if v is not None}


def test_a_curve_has_one_point_per_step_and_none_where_nothing_was_measured():
    log = [
        entry(1),
        entry(2, loss=math.nan),
        {"step": 2, "epoch": 0.2, "eval_loss": 0.6, "eval_rewards/accuracies": 0.7},
        {"step": 2, "epoch": 0.2, "train_runtime": 3.0, "total_flos": 0.0},
    ]
    train = {"reward_margin": 0.3, "reward_accuracy": 0.8}
    assert [measured(p) for p in dpo_curve(log)] == [
        {"step": 1, "epoch": 0.1, "loss": 0.5, **train},
        {"step": 2, "epoch": 0.2, "test_loss": 0.6, "test_reward_accuracy": 0.7, **train},
    ]


def test_an_accuracy_before_anything_is_learned_is_none():
    (point,) = dpo_curve([entry(1, margin=0)])
    assert (point.reward_margin, point.reward_accuracy) == (0, None)


def test_a_result_counts_rows():
    results = dpo_results([1.0, 1.0, -1.0, 0.0], 7, {})
    assert results.test_reward_accuracy == 0.5  # a margin of 0 is no win
    assert results.test_loss == pytest.approx(
        (2 * math.log1p(math.exp(-1)) + math.log1p(math.exp(1)) + math.log(2)) / 4
    )
    assert results.test_reward_margin == 0.25
    assert results.test_reward_accuracy_interval == pytest.approx((0.150, 0.850), abs=1e-3)
    assert (results.test_rows, results.best_step) == (4, 7)


def test_a_result_without_test_rows_claims_nothing():
    assert measured(dpo_results([], 3, {})) == {"best_step": 3, "test_rows": 0, "baselines": {}}


def test_margins_of_any_size_have_a_loss():
    assert dpo_results([-5000.0], 1, {}).test_loss == 5000.0
    assert dpo_results([5000.0], 1, {}).test_loss == 0.0


LOG = [
    {"step": 0, "epoch": 0, "eval_loss": 2.0, "eval_mean_token_accuracy": 0.3},
    {"step": 1, "epoch": 0.5, "loss": 1.9},
    {"step": 1, "epoch": 0.5, "eval_loss": 1.5, "eval_mean_token_accuracy": 0.4},
]


def test_an_sft_result_has_the_base_models_figures():
    results = sft_results(before_training(LOG), TokenFigures(1.5, 0.4), 6, best_step=1)
    assert (results.base_test_loss, results.test_loss) == (2.0, 1.5)
    assert (results.base_test_token_accuracy, results.test_token_accuracy) == (0.3, 0.4)
    assert results.test_perplexity == pytest.approx(math.exp(1.5))
    assert [p.test_loss for p in sft_curve(LOG)] == [2.0, 1.5]


def test_an_sft_result_without_test_answers_claims_nothing():
    results = sft_results(before_training(LOG[1:2]), None, 0, best_step=3)
    assert measured(results) == {"test_rows": 0, "best_step": 3}


def test_versions_and_machine_are_recorded():
    assert set(versions()) >= {"python", "torch", "transformers", "trl", "peft", "datasets"}
    machine = hardware()
    assert machine.cores >= 1
    assert machine.peak_memory_gb > 0
