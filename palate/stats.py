"""Numbers with their doubt, each formula with its source. Pure: no I/O.

A vote is a win, a loss or a tie of the tuned model; a win rate counts a tie as half a win, and is a
fraction.
"""

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

ALPHA = 0.05
PRIOR = 1.5  # of wins and of losses: quick to decide where the truth is 60 to 85 %
TIE_PRIOR = 0.25  # of ties: small, as there may be none
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


def evidence(wins: int, losses: int) -> float:
    """Return the e-value against "both are preferred equally often", from decisive votes.

    The likelihood under a Beta(3/2, 3/2) mixture over that under one half. Where the models are
    equal it reaches 1 / α at any time with a probability of at most α, however often one looks
    (J. Ville, "Étude critique de la notion de collectif", 1939; H. Robbins, "Statistical methods
    related to the law of the iterated logarithm", Ann. Math. Stat. 41, 1970).
    """
    from scipy.special import betaln

    log = betaln(wins + PRIOR, losses + PRIOR) - betaln(PRIOR, PRIOR)
    return float(np.exp(min(log + (wins + losses) * math.log(2), 700.0)))


def sequence(wins: int, losses: int, ties: int = 0, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the interval of the win rate that holds at every number of votes at once.

    Its points are the rates that no likelihood with that win rate can defend against a Dirichlet
    mixture over wins, losses and ties: S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon,
    "Time-uniform, nonparametric, nonasymptotic confidence sequences", Ann. Stat. 49 (2021).
    """
    from scipy.optimize import brentq

    n = wins + losses + ties
    if n == 0:
        return 0.0, 1.0
    best = (wins + ties / 2) / n
    limit = _mixture(wins, losses, ties) + math.log(alpha)

    def inside(rate: float) -> float:
        return _defence(rate, wins, losses, ties) - limit

    tiny = 1e-9
    low = 0.0 if inside(tiny) > 0 else float(brentq(inside, tiny, max(best, 2 * tiny)))
    high = 1.0 if inside(1 - tiny) > 0 else float(brentq(inside, min(best, 1 - 2 * tiny), 1 - tiny))
    return low, high


def defended(rate: float, wins: int, losses: int, ties: int, alpha: float = ALPHA) -> bool:
    """Tell whether `sequence` holds the rate."""
    limit = _mixture(wins, losses, ties) + math.log(alpha)
    return _defence(rate, wins, losses, ties) > limit


def _mixture(wins: int, losses: int, ties: int) -> float:
    """Return the log-likelihood of the votes under the Dirichlet mixture."""
    from scipy.special import gammaln

    counts = np.array((wins, losses, ties))
    prior = np.array((PRIOR, PRIOR, TIE_PRIOR))
    after = gammaln(counts + prior).sum() - gammaln((counts + prior).sum())
    return float(after - gammaln(prior).sum() + gammaln(prior.sum()))


def _defence(rate: float, wins: int, losses: int, ties: int) -> float:
    """Return the largest log-likelihood of the votes where the win rate is `rate`.

    With a share s of ties, wins are rate - s/2 and losses 1 - rate - s/2. The derivative in s is
    zero at a root of a quadratic.
    """
    n = wins + losses + ties
    a, b = 2 * rate, 2 * (1 - rate)  # s lies between 0 and the smaller
    share = 0.0
    if ties:
        # ties (a-s)(b-s) = s (wins (b-s) + losses (a-s))
        linear = -(ties * (a + b) + wins * b + losses * a)
        root = math.sqrt(max(linear * linear - 4 * n * ties * a * b, 0.0))
        share = (-linear - root) / (2 * n)
    share = min(max(share, 0.0), min(a, b))
    return _log(wins, (a - share) / 2) + _log(losses, (b - share) / 2) + _log(ties, share)


def _log(count: int, p: float) -> float:
    if count == 0:
        return 0.0
    return count * math.log(p) if p > 0 else -math.inf


def clustered(
    values: Sequence[float],
    prompts: Sequence[Hashable],
    people: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Return the interval of a mean whose values come several to a prompt, or to a person.

    Its error is that of the means of resamples, which draw whole prompts and, where there are
    several, independently whole people (A. B. Owen, "The pigeonhole bootstrap", Ann. Appl. Stat. 1,
    2007); its quantile is Student's for that many prompts, on the scale of log odds, where few
    prompts and rates near 0 or 1 cover best. None with fewer than five prompts.
    """
    from scipy.stats import t

    x, group = np.asarray(values, float), _codes(prompts)
    k = len(set(prompts))
    if k < 5:
        return None
    if x.min() == x.max():  # no variation to resample: each prompt says it once
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


def _codes(names: Sequence[Hashable]) -> Any:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], int)


def _counts(random: Any, k: int) -> Any:
    """Return how often each of `k` is drawn, shape (RESAMPLES, k)."""
    return random.multinomial(k, np.full(k, 1 / k), size=RESAMPLES)


def votes_needed(rate: float, power: float = 0.8, alpha: float = ALPHA) -> int:
    """Return the decisive votes that a fixed design needs to tell `rate` from one half.

    J. L. Fleiss, B. Levin, M. C. Paik, "Statistical Methods for Rates and Proportions", 3rd ed.
    (2003), section 2.5; two-sided. Raises ValueError for one half.
    """
    from scipy.stats import norm

    if rate == 0.5 or not 0 < rate < 1:
        raise ValueError(f"expected a rate between 0 and 1 other than one half, found {rate}")
    a, b = norm.ppf(1 - alpha / 2), norm.ppf(power)
    root = (a * 0.5 + b * math.sqrt(rate * (1 - rate))) / abs(rate - 0.5)
    return round(root * root)


def votes_to_go(wins: int, losses: int, most: int = 2_000, alpha: float = ALPHA) -> int | None:
    """Return how many decisive votes more would decide, if they fall as those so far have.

    0 where they decide already, None where even `most` would not.
    """
    if evidence(wins, losses) >= 1 / alpha:
        return 0
    n = wins + losses
    rate = (wins + 1) / (n + 2)  # a little towards the middle: few votes overstate
    for more in range(1, most + 1):
        w = wins + rate * more
        if evidence(round(w), round(n + more - w)) >= 1 / alpha:
            return more
    return None
