"""A linear reward on frozen features: its fit, its choice by prompt, held-out scores.

Pure: no I/O. The loss is that of R. A. Bradley, M. E. Terry, "Rank analysis of incomplete block
designs", Biometrika 39 (1952), on differences of features, with the margin of H. Touvron et al.,
"Llama 2" (2023), section 3.2.2. A tie says that both answers have the same score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

FOLDS = 5
PENALTIES = (0.3, 1.0, 3.0, 10.0)  # of the squared weights
ITERATIONS = 200
TINY = 1e-12
Features = Mapping[int, np.ndarray]  # by layer: shape (answers, width)


@dataclass(frozen=True)
class Pairs:
    """Compared answers by their places; `won` is 1 where the first is better and ½ on a tie."""

    first: np.ndarray
    second: np.ndarray
    won: np.ndarray
    margin: np.ndarray
    prompts: Sequence[str]

    def __len__(self) -> int:
        return len(self.prompts)

    def part(self, rows: np.ndarray) -> "Pairs":
        """Return the pairs at these places, or where a mask is true."""
        where = np.flatnonzero(rows) if rows.dtype == bool else rows
        prompts = [self.prompts[i] for i in where]
        columns = (self.first, self.second, self.won, self.margin)
        return Pairs(*(c[where] for c in columns), prompts)

    def of(self, prompts: set[str]) -> np.ndarray:
        """Return which pairs are of these prompts."""
        return np.array([p in prompts for p in self.prompts], bool)

    def answers(self) -> np.ndarray:
        """Return the places of all answers that are compared."""
        return np.unique(np.concatenate([self.first, self.second]))


@dataclass(frozen=True)
class Choice:
    """What the folds chose: a layer, counted from the first, and a penalty."""

    layer: int
    penalty: float
    loss: float  # on prompts that the probe had not seen


@dataclass(frozen=True)
class Probe:
    """A direction in the features of one layer: the score of an answer is its features times it.

    Over the answers that it was fitted on, scores have mean 0 and standard deviation 1.
    """

    layer: int
    weights: np.ndarray

    def scores(self, features: Features) -> np.ndarray:
        return features[self.layer] @ self.weights


def folds(prompts: Sequence[str], seed: int, most: int = FOLDS) -> list[set[str]]:
    """Return the prompts in up to `most` parts of about equal size."""
    order = sorted(set(prompts))
    Random(seed).shuffle(order)
    return [set(order[k::most]) for k in range(min(most, len(order)))]


def fit(features: np.ndarray, pairs: Pairs, penalty: float) -> np.ndarray:
    """Return the weights whose scores have mean 0 and standard deviation 1 on the pairs' answers.

    A score without a constant has mean 0 where the weights are orthogonal to the mean features.
    """
    space = Space.of(features[pairs.answers()])
    return space.fit(features, pairs, penalty)


@dataclass(frozen=True)
class Space:
    """Features without their mean direction, each with standard deviation 1."""

    mean: np.ndarray  # of length 1, or 0 where the features have no mean
    scale: np.ndarray
    known: np.ndarray  # the answers' features that a probe is fitted on

    @classmethod
    def of(cls, known: np.ndarray) -> "Space":
        mean = known.mean(0)
        mean = mean / max(float(np.linalg.norm(mean)), TINY)
        free = known - np.outer(known @ mean, mean)
        spread = free.std(0)
        # a feature that never changes says nothing
        scale = np.where(spread > 1e-6 * max(float(spread.max()), TINY), 1 / (spread + TINY), 0)
        return cls(mean, scale / np.sqrt(known.shape[1]), known)

    def fit(self, features: np.ndarray, pairs: Pairs, penalty: float) -> np.ndarray:
        steps = features[pairs.first] - features[pairs.second]
        steps = (steps - np.outer(steps @ self.mean, self.mean)) * self.scale
        direction = self.scale * minimum(steps, pairs, penalty)
        weights = direction - (direction @ self.mean) * self.mean
        spread = float((self.known @ weights).std())
        return weights / spread if spread > TINY else np.zeros_like(weights)


def minimum(steps: np.ndarray, pairs: Pairs, penalty: float) -> np.ndarray:
    """Return the weights with the lowest loss; `steps` are the pairs' differences of features."""
    from scipy.optimize import minimize
    from scipy.special import expit

    won, margin, n = pairs.won, pairs.margin, len(pairs)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        leads = steps @ weights
        value = won * np.logaddexp(0, margin - leads) + (1 - won) * np.logaddexp(0, leads)
        slope = (1 - won) * expit(leads) - won * expit(margin - leads)
        total = value.sum() / n + penalty * (weights @ weights) / (2 * n)
        return float(total), steps.T @ slope / n + penalty * weights / n

    start = np.zeros(steps.shape[1])
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x


def choose(features: Features, pairs: Pairs, seed: int) -> Choice:
    """Return the layer and penalty with the lowest loss on held-out folds of the pairs' prompts."""
    parts = folds(pairs.prompts, seed)
    losses = {(layer, penalty): 0.0 for layer in features for penalty in PENALTIES}
    for part in parts:
        held = pairs.of(part)
        known, asked = pairs.part(~held), pairs.part(held)
        for layer, values in features.items():
            space = Space.of(values[known.answers()])
            for penalty in PENALTIES:
                weights = space.fit(values, known, penalty)
                losses[layer, penalty] += loss_of(values @ weights, asked)
    layer, penalty = min(losses, key=lambda setting: losses[setting])
    return Choice(layer, penalty, losses[layer, penalty] / len(pairs))


def loss_of(scores: np.ndarray, pairs: Pairs) -> float:
    """Return the sum of the pairs' losses, without margins."""
    leads = scores[pairs.first] - scores[pairs.second]
    won = pairs.won
    return float((won * np.logaddexp(0, -leads) + (1 - won) * np.logaddexp(0, leads)).sum())


def fitted(features: Features, pairs: Pairs, choice: Choice) -> Probe:
    return Probe(choice.layer, fit(features[choice.layer], pairs, choice.penalty))


def held_out_scores(features: Features, pairs: Pairs, seed: int) -> np.ndarray:
    """Return the leads of the first answers, each by a probe that has not seen the prompt.

    Layer and penalty are chosen on the other prompts as well.
    """
    leads = np.zeros(len(pairs))
    for part in folds(pairs.prompts, seed):
        held = pairs.of(part)
        known = pairs.part(~held)
        scores = fitted(features, known, choose(features, known, seed + 1)).scores(features)
        leads[held] = (scores[pairs.first] - scores[pairs.second])[held]
    return leads
