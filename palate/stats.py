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

    Resamples whole prompts (and, independently, whole people where there are several: A. B. Owen,
    "The pigeonhole bootstrap", Ann. Appl. Stat. 1, 2007) and studentizes each resample by its own
    clustered error (A. C. Cameron, J. B. Gelbach, D. L. Miller, "Bootstrap-based improvements for
    inference with clustered errors", Rev. Econ. Stat. 90, 2008). None with fewer than five prompts.
    """
    x = np.asarray(values, float)
    group = _codes(prompts)
    k = int(group.max()) + 1 if len(x) else 0
    if k < 5:
        return None
    random = np.random.default_rng(seed)
    mean, error = _mean_error(x, group, k, np.ones((1, len(x))))
    if error[0] == 0:
        return float(mean[0]), float(mean[0])
    weights = _counts(random, k)[:, group].astype(float)
    if people is not None and len(set(people)) > 1:
        who = _codes(people)
        weights *= _counts(random, int(who.max()) + 1)[:, who]
    weights = weights[weights.sum(1) > 0]
    means, errors = _mean_error(x, group, k, weights)
    kept = errors > 0
    t = (means[kept] - mean[0]) / errors[kept]
    low, high = np.quantile(t, (ALPHA / 2, 1 - ALPHA / 2))
    ends = mean[0] - high * error[0], mean[0] - low * error[0]
    return max(0.0, float(ends[0])), min(1.0, float(ends[1]))


def _codes(names: Sequence[Hashable]) -> Any:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], int)


def _counts(random: Any, k: int) -> Any:
    return random.multinomial(k, np.full(k, 1 / k), size=RESAMPLES)


def _mean_error(x: Any, group: Any, k: int, weights: Any) -> tuple[Any, Any]:
    """Return weighted means and their clustered standard errors, a row of weights each."""
    from scipy.sparse import csr_array

    total = weights.sum(1)
    mean = weights @ x / total
    hit = csr_array((np.ones(len(x)), (np.arange(len(x)), group)), (len(x), k))
    # a prompt drawn m times is m clusters: its residual enters as m times (residual of one)²
    size = weights @ hit
    residual = (weights * x) @ hit - size * mean[:, None]
    per_prompt = np.bincount(group, minlength=k)
    drawn = size / per_prompt
    squared = np.divide(residual**2, drawn, out=np.zeros_like(residual), where=drawn > 0)
    return mean, np.sqrt(k / (k - 1) * squared.sum(1)) / total


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
