"""Intervals and sequential tests; each formula cites its source. Pure: no I/O.

A vote is a win, a loss or a tie of the tuned model. A win rate is a fraction and counts a tie as
half a win.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

ALPHA = 0.05
DECIDES = 1 / (0.99 * ALPHA)  # e-value, 20.2; a hundredth of the 5% is for the share of ties
PRIOR = 1.5  # of wins and of losses; decides quickly for true rates of 60 to 85%
TIE_PRIOR = (0.25, 3.0)  # of ties and of other votes; expects few ties
RESAMPLES = 2_000


def wilson(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion, as fractions.

    `successes` may be fractional (a tie is half a win). E. B. Wilson, "Probable inference, the law
    of succession, and statistical inference", JASA 22 (1927). Raises ValueError for n < 1.
    """
    from scipy.stats import norm

    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n >= 1, found {successes} of {n}")
    z = float(norm.ppf(0.5 + confidence / 2))
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def evidence(wins: float, losses: float) -> float:
    """Return the e-value against "both are preferred equally often", from decisive votes.

    It is the likelihood under a Beta(3/2, 3/2) mixture divided by that under one half. If the
    models are equal, it ever reaches 1 / α with a probability of at most α, however often one looks
    (J. Ville, "Étude critique de la notion de collectif", 1939; H. Robbins, "Statistical methods
    related to the law of the iterated logarithm", Ann. Math. Stat. 41, 1970). At `DECIDES` and
    above, `sequence` excludes one half.
    """
    log = _mixture(wins, losses, PRIOR, PRIOR)
    return float(np.exp(min(log + (wins + losses) * math.log(2), 700.0)))


def sequence(wins: float, losses: float, ties: float = 0) -> tuple[float, float]:
    """Return the 95% interval of the win rate that is valid at every number of votes at once.

    The win rate is 1/2 + (1 - s) (p - 1/2) for a share s of ties and a share p of wins among the
    others. Its ends combine the confidence sequences of both, so that ties do not make it harder to
    tell better from worse: S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform,
    nonparametric, nonasymptotic confidence sequences", Ann. Stat. 49 (2021).
    """
    won = always(wins, losses, PRIOR, PRIOR, 1 / DECIDES)
    tied = always(ties, wins + losses, *TIE_PRIOR, ALPHA - 1 / DECIDES)
    rates = [0.5 + (1 - s) * (p - 0.5) for s in tied for p in won]
    return min(rates), max(rates)


def always(hits: float, misses: float, a: float, b: float, alpha: float) -> tuple[float, float]:
    """Return the interval of a proportion that is valid at every number of trials at once.

    It has the proportions whose likelihood is more than α times that of a Beta mixture.
    """
    from scipy.optimize import brentq

    if hits + misses == 0:
        return 0.0, 1.0
    limit = _mixture(hits, misses, a, b) + math.log(alpha)

    def inside(p: float) -> float:
        return _log(hits, p) + _log(misses, 1 - p) - limit

    tiny = 1e-9
    best = min(max(hits / (hits + misses), 2 * tiny), 1 - 2 * tiny)
    low = 0.0 if inside(tiny) > 0 else float(brentq(inside, tiny, best))
    high = 1.0 if inside(1 - tiny) > 0 else float(brentq(inside, best, 1 - tiny))
    return low, high


def _mixture(hits: float, misses: float, a: float, b: float) -> float:
    """Return the log-likelihood of the trials under a Beta mixture."""
    from scipy.special import betaln

    return float(betaln(hits + a, misses + b) - betaln(a, b))


def _log(count: float, p: float) -> float:
    return count * math.log(p) if count else 0.0


def clustered(
    values: Sequence[float],
    prompts: Sequence[Hashable],
    people: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return the interval of a mean of values that are clustered by prompt and by person.

    The standard error is that of resampled means; resamples draw whole prompts and, if there are
    several people, independently whole people (A. B. Owen, "The pigeonhole bootstrap", Ann. Appl.
    Stat. 1, 2007). The quantile is Student's for the number of prompts, on the scale of log odds,
    which covers best with few prompts and with rates near 0 or 1. None for fewer than 5 prompts.
    """
    from scipy.stats import t

    x, group = np.asarray(values, float), _codes(prompts)
    k = len(set(prompts))
    if k < 5:
        return None
    if x.min() == x.max():  # no variation to resample: each prompt counts once
        return wilson(x[0] * k, k)
    random = np.random.default_rng(seed)
    weights = _counts(random, k)[:, group]
    if people is not None and len(set(people)) > 1:
        weights = weights * _counts(random, len(set(people)))[:, _codes(people)]
    weights = weights[weights.sum(1) > 0]
    means = weights @ x / weights.sum(1)
    mean = float(x.mean())
    error = float(means.std()) * math.sqrt(k / (k - 1)) / (mean * (1 - mean))
    middle, half = math.log(mean / (1 - mean)), float(t.ppf(1 - ALPHA / 2, k - 1)) * error
    low, high = (1 / (1 + math.exp(-z)) for z in (middle - half, middle + half))
    return low, high


def _codes(names: Sequence[Hashable]) -> np.ndarray:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], int)


def _counts(random: np.random.Generator, k: int) -> np.ndarray:
    """Return how often each of `k` clusters is drawn, shape (RESAMPLES, k)."""
    return random.multinomial(k, np.full(k, 1 / k), size=RESAMPLES)


@dataclass(frozen=True)
class Rate:
    """`hits` of `n` with the Wilson interval, and the two-sided p against one half if tested."""

    hits: int
    n: int
    p: float | None = None

    @property
    def rate(self) -> float | None:
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson(self.hits, self.n) if self.n else None

    def to_json(self) -> dict[str, object]:
        p = {} if self.p is None else {"p": self.p}
        return {"hits": self.hits, "n": self.n, "rate": self.rate, "interval": self.interval, **p}

    def words(self) -> str:
        """Return "18 of 20 (90%, 69.9–97.2%)"."""
        if self.rate is None or self.interval is None:
            return "none"
        low, high = (100 * x for x in self.interval)
        return f"{self.hits} of {self.n} ({100 * self.rate:.0f}%, {low:.1f}–{high:.1f}%)"


def against_half(hits: int, n: int) -> Rate:
    """Return the rate with the p of the exact two-sided binomial test against one half."""
    from scipy.stats import binomtest

    return Rate(hits, n, float(binomtest(hits, n).pvalue) if n else None)


def cyclic_triads(winners: Iterable[Mapping[tuple[str, str], str]]) -> Rate:
    """Return how many triads are cyclic: x over y, y over z, z over x.

    Each mapping holds one person's winner of each compared pair (x, y), x < y; a triad counts where
    all three of its pairs were compared. Random choices make a quarter cyclic: M. G. Kendall, B.
    Babington Smith, "On the method of paired comparisons", Biometrika 31 (1940).
    """
    cyclic = triads = 0
    for winner in winners:
        for x, y, z in combinations(sorted({item for pair in winner for item in pair}), 3):
            if (x, y) in winner and (y, z) in winner and (x, z) in winner:
                triads += 1
                # in a cycle each of the three wins once
                cyclic += len({winner[x, y], winner[y, z], winner[x, z]}) == 3
    return Rate(cyclic, triads)
