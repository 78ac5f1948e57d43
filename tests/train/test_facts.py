"""Curves, results, versions and the machine, as a run records them."""

import math
from dataclasses import asdict

from palate.train.records.facts import (
    dpo_curve,
    hardware,
    sft_curve,
    versions,
)


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


def test_the_curve_of_sft_begins_with_the_base_model():
    log = [
        {"step": 0, "epoch": 0, "eval_loss": 2.0, "eval_mean_token_accuracy": 0.3},
        {"step": 1, "epoch": 0.5, "loss": 1.9},
        {"step": 1, "epoch": 0.5, "eval_loss": 1.5, "eval_mean_token_accuracy": 0.4},
    ]
    assert [p.test_loss for p in sft_curve(log)] == [2.0, 1.5]


def test_versions_and_machine_are_recorded():
    assert set(versions()) >= {"python", "torch", "transformers", "trl", "peft", "datasets"}
    machine = hardware()
    assert machine.cores >= 1
    assert machine.peak_memory_gb > 0
