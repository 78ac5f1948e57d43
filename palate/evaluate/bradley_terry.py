"""Differences in strength between models that met in votes, with intervals. Pure: no I/O.

The model is that of R. A. Bradley and M. E. Terry, "Rank analysis of incomplete block designs",
Biometrika 39 (1952); a tie is half a win of either. Its maximum likelihood is evalica's. Where a
model won every vote against others there is none: L. R. Ford, "Solution of a ranking problem from
binary comparisons", Amer. Math. Monthly 64 (1957). There the votes bound the difference on one
side only. `benchmarks/ratings.py` simulates how often the intervals hold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.sparse.csgraph import connected_components
from scipy.special import expit
from scipy.stats import t

from palate.core.rates import ALPHA
from palate.evaluate.decision import PEOPLE_NEEDED

SCALE = 400 / math.log(10)  # of chess ratings: 400 points are odds of ten to one
UNITS_NEEDED = 5.0  # prompts of about equal weight, below which an interval says nothing
STEPS, STEP, CLOSE = 100, 2.0, 1e-8  # of Newton's method
FARTHEST = 30.0  # log odds
NOTHING = 1e-10  # of the largest eigenvalue

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Games:
    """Votes between two of `models` models, numbered from 0; each field is (votes,).

    `result`: 1 is a win of the left model, ½ a tie. Prompts and people are numbered, too.
    """

    models: int
    left: Ints
    right: Ints
    result: Floats
    prompt: Ints
    person: Ints

    def among(self, keep: NDArray[np.bool_]) -> "Games":
        """Return the votes for which `keep` is true."""
        return Games(
            self.models, self.left[keep], self.right[keep], self.result[keep], self.prompt[keep],
            self.person[keep],
        )  # fmt: skip

    @property
    def design(self) -> Floats:
        """The matrix (votes, models): 1 for the left model, -1 for the right one."""
        rows = np.arange(len(self.left))
        matrix = np.zeros((len(rows), self.models))
        matrix[rows, self.left], matrix[rows, self.right] = 1.0, -1.0
        return matrix

    @property
    def clusters(self) -> list[Ints]:
        """The units of a population: prompts, and people if there are enough."""
        enough = len(np.unique(self.person)) >= PEOPLE_NEEDED
        return [self.prompt, self.person] if enough else [self.prompt]


@dataclass(frozen=True)
class Strengths:
    """Differences between every two models, (models, models): row less column, in points.

    `points` is ±inf where one won every vote that connects them, NaN where nothing compares them;
    `error` is the standard error, NaN without one; `units` are the independent units of each.
    """

    games: Games
    points: Floats
    error: Floats
    units: Floats

    def met(self) -> Ints:
        """Return for each model the number of its list: votes connect the models of a list."""
        return _connected(_wins(self.games), "weak")

    def interval(self, i: int, j: int, alpha: float = ALPHA) -> tuple[float, float]:
        """Return the interval of a difference; ±inf is an open end."""
        points = self.points[i, j]
        if math.isnan(points) or self.units[i, j] < UNITS_NEEDED:
            return -math.inf, math.inf
        if math.isinf(points):
            if points < 0:
                low, high = self.interval(j, i, alpha)
                return -high, -low
            return self._bound(i, j, alpha), math.inf
        half = self._quantile(i, j, alpha) * self.error[i, j]
        return points - half, points + half

    def differ(self, i: int, j: int, alpha: float) -> bool:
        """Tell whether i is stronger than j with so small a chance of a mistake."""
        if math.isinf(self.points[i, j]) and self.units[i, j] >= UNITS_NEEDED:
            return self.points[i, j] > 0 and self._score(i, j, 0.0) > self._quantile(i, j, alpha)
        return self.interval(i, j, alpha)[0] > 0

    def _quantile(self, i: int, j: int, alpha: float) -> float:
        return float(t.ppf(1 - alpha / 2, self.units[i, j] - 1))

    def _bound(self, i: int, j: int, alpha: float) -> float:
        """Return the least difference that the votes allow, i having won all between them."""

        def excess(delta: float) -> float:
            return self._score(i, j, delta) - quantile

        quantile = self._quantile(i, j, alpha)
        if excess(-FARTHEST) <= 0:
            return -math.inf
        return SCALE * float(brentq(excess, -FARTHEST, FARTHEST, xtol=1e-4))

    def _score(self, i: int, j: int, delta: float) -> float:
        """Return Rao's score statistic of "the difference is `delta`", in log odds.

        For k wins of k votes its interval is Wilson's. Votes that share a unit count as one.
        """
        crossing = _above(_wins(self.games), i)
        cut = crossing[self.games.left] != crossing[self.games.right]
        votes_each = float(cut.sum()) / self.units[i, j]
        x = self.games.design
        others = np.delete(x, (i, j), axis=1)
        others = others[:, others.any(0)]
        p, weighted = _fit(others, self.games.result, delta * x[:, i])
        gain = float((self.games.result - p) @ x[:, i])
        spread = p * (1 - p)
        mixed = others.T @ (spread * x[:, i])
        known = float(spread @ x[:, i] ** 2 - mixed @ np.linalg.solve(weighted, mixed))
        return gain / math.sqrt(max(known, 1e-12) * votes_each)


def strengths(games: Games) -> Strengths:
    """Return the differences between all models, and how sure each is."""
    n = games.models
    points, error, units = (np.full((n, n), math.nan) for _ in range(3))
    np.fill_diagonal(points, 0.0)
    wins = _wins(games)
    part = _connected(wins, "strong")
    reach = _reaches(wins)
    points[reach & ~reach.T], points[reach.T & ~reach] = math.inf, -math.inf
    for i, j in zip(*np.nonzero(np.isposinf(points)), strict=True):
        above = _above(wins, int(i))
        cut = games.among(above[games.left] != above[games.right])
        units[i, j] = units[j, i] = min(_effective(c) for c in cut.clusters)
    for number in range(part.max() + 1):
        inside = np.flatnonzero(part == number)
        if len(inside) > 1:
            own = games.among((part[games.left] == number) & (part[games.right] == number))
            block = np.ix_(inside, inside)
            points[block], error[block], units[block] = (m[block] for m in _regular(own))
    return Strengths(games, points, error, units)


def _wins(games: Games) -> NDArray[np.bool_]:
    """Return whether the row's model ever won or tied against the column's."""
    wins = np.zeros((games.models, games.models), bool)
    wins[games.left[games.result > 0], games.right[games.result > 0]] = True
    wins[games.right[games.result < 1], games.left[games.result < 1]] = True
    return wins


def _connected(wins: NDArray[np.bool_], connection: str) -> Ints:
    return connected_components(wins, directed=True, connection=connection)[1]


def _reaches(wins: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether wins lead from the row's model to the column's, through others too."""
    reach = wins | np.eye(len(wins), dtype=bool)
    for _ in range(len(wins).bit_length()):
        reach = (reach.astype(int) @ reach) > 0
    return reach


def _above(wins: NDArray[np.bool_], i: int) -> NDArray[np.bool_]:
    """Return which models nobody below has won against: i and those that wins lead from to i."""
    return _reaches(wins)[:, i]


def _effective(codes: Ints) -> float:
    """Return the number of units of equal size that would say as much."""
    counts = np.bincount(codes).astype(float)
    return float(counts.sum() ** 2 / (counts**2).sum())


def _regular(games: Games) -> tuple[Floats, Floats, Floats]:
    """Return points, error and units where the maximum likelihood exists."""
    logits = _logits(games)
    x = games.design
    p = expit(x @ logits)
    # strengths are known up to a constant, so one eigenvalue is 0, or what rounding makes of it
    inverse = np.linalg.pinv((x * (p * (1 - p))[:, None]).T @ x, NOTHING, hermitian=True)
    single = _of_differences(inverse)
    clusters = [_clustered(games, codes, p, inverse, single) for codes in games.clusters]
    variance = np.maximum.reduce([single, *(v for v, _ in clusters)])
    if len(clusters) == 2:
        # counted twice: the part that prompts and people share, the votes themselves
        variance = np.maximum(variance, clusters[0][0] + clusters[1][0] - single)
    points = SCALE * (logits[:, None] - logits[None])
    return points, SCALE * np.sqrt(variance), np.minimum.reduce([u for _, u in clusters])


def _logits(games: Games) -> Floats:
    """Return the log strengths of the maximum likelihood; 0 for models without a vote."""
    import evalica

    winner = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    scores = evalica.bradley_terry(
        games.left.tolist(),
        games.right.tolist(),
        [winner[float(r)] for r in games.result],
        tolerance=1e-10,
        limit=10_000,  # iterations; some dozens usually suffice
    ).scores
    logits = np.zeros(games.models)
    logits[scores.index.to_numpy()] = np.log(scores.to_numpy())
    return logits


def _clustered(
    games: Games, codes: Ints, p: Floats, inverse: Floats, single: Floats
) -> tuple[Floats, Floats]:
    """Return the variance of each difference, clustered by unit, and the effective units.

    Each unit's influence is divided by the share of the information that the others bring, as a
    jackknife does: R. M. Bell, D. F. McCaffrey, "Bias reduction in standard errors for linear
    regression with multi-stage samples", Survey Methodology 28 (2002). Units of unequal weight
    count as fewer: A. V. Carter, K. T. Schnepel, D. G. Steigerwald, "Asymptotic behavior of a
    t-test robust to cluster heterogeneity", Rev. Econ. Stat. 99 (2017).
    """
    _, codes = np.unique(codes, return_inverse=True)
    count, n = int(codes.max()) + 1, games.models
    spread, residual = p * (1 - p), games.result - p
    information, score = np.zeros((count, n, n)), np.zeros((count, n))
    sides = (games.left, 1.0), (games.right, -1.0)
    for one, sign in sides:
        np.add.at(score, (codes, one), sign * residual)
        for other, opposite in sides:
            np.add.at(information, (codes, one, other), sign * opposite * spread)
    share = _of_differences(inverse @ information @ inverse) / np.where(single > 0, single, 1.0)
    influence = score @ inverse
    moved = (influence[:, :, None] - influence[:, None]) / np.clip(1 - share, 0.1, 1.0)
    units = 1 / np.maximum((share**2).sum(0), 1e-12)
    return (moved**2).sum(0) * (count - 1) / count, units


def _of_differences(matrix: Floats) -> Floats:
    """Return the variances of all differences, given covariances; (..., models, models)."""
    own = np.diagonal(matrix, axis1=-2, axis2=-1)
    return np.maximum(own[..., :, None] + own[..., None, :] - 2 * matrix, 0.0)


def _fit(x: Floats, result: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """Return the chances of the likeliest coefficients, and the information about these."""
    coefficients = np.zeros(x.shape[1])
    ridge = 1e-6 * np.eye(x.shape[1])  # keeps models that won or lost everything finite
    for _ in range(STEPS):
        p = expit(x @ coefficients + offset)
        weighted = (x * (p * (1 - p))[:, None]).T @ x + ridge
        step = np.linalg.solve(weighted, x.T @ (result - p) - ridge @ coefficients)
        largest = float(np.abs(step).max(initial=0.0))
        coefficients += step * min(1.0, STEP / max(largest, CLOSE))
        if largest < CLOSE:
            break
    return p, weighted


def numbered(names: Sequence[str]) -> Ints:
    """Return a number for each name, the same for equal names."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], np.intp)
