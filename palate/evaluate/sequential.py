"""Sequential tests and intervals; each formula cites its source. Pure: no I/O.

A vote is a win, a loss or a tie of the tuned model. A win rate is a fraction and counts a tie as
half a win.
"""

import math

import numpy as np

from palate.core.rates import ALPHA

DECIDES = 1 / (0.99 * ALPHA)  # e-value, 20.2; a hundredth of the 5% is for the share of ties
PRIOR = 1.5  # of wins and of losses; decides quickly for true rates of 60 to 85%
TIE_PRIOR = (0.25, 3.0)  # of ties and of other votes; expects few ties


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


def sequence(
    wins: float, losses: float, ties: float = 0, share: float = 1.0
) -> tuple[float, float]:
    """Return the 95% interval of the win rate that is valid at every number of votes at once.

    The win rate is 1/2 + (1 - s) (p - 1/2) for a share s of ties and a share p of wins among the
    others. Its ends combine the confidence sequences of both, so that ties do not make it harder to
    tell better from worse: S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform,
    nonparametric, nonasymptotic confidence sequences", Ann. Stat. 49 (2021). With a `share` below 1
    it is wider: it may miss the truth in that share of 5%.
    """
    won = always(wins, losses, PRIOR, PRIOR, share / DECIDES)
    tied = always(ties, wins + losses, *TIE_PRIOR, share * (ALPHA - 1 / DECIDES))
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


def two_digits(value: float) -> int:
    """Return the number rounded down to its first two digits, at most a million."""
    step = 10 ** max(len(str(int(min(value, 1e6)))) - 2, 0)
    return int(min(value, 1e6)) // step * step
