"""The linear reward: its scale, its margins, ties, and that nothing held out is seen."""

import numpy as np
import pytest

from palate.reward import probe
from palate.reward.probe import Pairs


def made(chance, prompts: int = 30, noise: float = 0.5) -> tuple[dict[int, np.ndarray], Pairs]:
    """Four answers a prompt; the second layer's first feature decides."""
    rng = np.random.default_rng(chance.randrange(2**32))
    features = {k: rng.normal(3.0, 1.0, size=(4 * prompts, 6)) for k in (1, 2)}
    first, second = [], []
    for p in range(prompts):
        for a in range(4):
            for b in range(a):
                x, y = 4 * p + a, 4 * p + b
                lead = features[2][x, 0] - features[2][y, 0] + noise * rng.normal()
                first.append(x if lead > 0 else y)
                second.append(y if lead > 0 else x)
    n = len(first)
    names = [f"p{x // 4}" for x in first]
    return features, Pairs(np.array(first), np.array(second), np.ones(n), np.zeros(n), names)


def test_scores_have_mean_0_and_deviation_1_and_the_right_layer_is_chosen(chance):
    features, pairs = made(chance)
    choice = probe.choose(features, pairs, 0)
    assert choice.layer == 2
    scores = probe.fitted(features, pairs, choice).scores(features)
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    assert scores.std() == pytest.approx(1)
    held = probe.held_out_scores(features, pairs, 0)
    assert np.mean(held > 0) > 0.65


def test_labels_by_chance_are_not_predicted(chance):
    features, pairs = made(chance, noise=1e6)
    held = probe.held_out_scores(features, pairs, 0)
    assert 0.35 < np.mean(held > 0) < 0.65


def test_a_tie_draws_scores_together_and_a_margin_apart(chance):
    features, pairs = made(chance, noise=0)
    lead = {}
    for name, won, margin in (("won", 1.0, 0.0), ("tied", 0.5, 0.0), ("far", 1.0, 3.0)):
        changed = Pairs(
            pairs.first,
            pairs.second,
            np.where(np.arange(len(pairs)) < 90, won, 1.0),
            np.where(np.arange(len(pairs)) < 90, margin, 0.0),
            pairs.prompts,
        )
        steps = features[2][pairs.first] - features[2][pairs.second]
        lead[name] = (steps @ probe.minimum(steps, changed, 1.0))[:90].mean()
    assert lead["tied"] < lead["won"] < lead["far"]


def test_a_feature_that_never_changes_is_left_alone(chance):
    features, pairs = made(chance)
    features[2][:, 5] = 7.0
    weights = probe.fit(features[2], pairs, 1.0)
    assert np.isfinite(weights).all()
    alike = np.ones_like(features[2])
    assert (probe.fit(alike, pairs, 1.0) == 0).all()
