"""Shares of rows that resemble each other: rows of one prompt, rows of one person.

Each formula cites its source. Pure: no I/O.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Self

import numpy as np

ALPHA = 0.05
# Real crowd votes are correlated 0.10 within a prompt. Half of that is assumed until the rows
# themselves show more: few repeats say little about a correlation.
LEAST_CORRELATION = 0.05
LEAST_CORRELATION_OF_PAIRINGS = 0.1
LEAST_CORRELATION_OF_A_PERSON = 0.2  # few people may share a taste by chance
PEOPLE_NEEDED = 5  # with fewer, a rate is about these people
CHANCE_CYCLIC = 0.25  # of the triads of random answers
TINY, LARGE = 1e-9, 1e6


@dataclass(frozen=True)
class Rate:
    """`hits` of `n` rows, with a 95% interval and a test that allow for rows that resemble others.

    Rows of one prompt resemble each other, and so do rows of one person. They are discounted to
    `effective` rows, and the interval is the exact one of as many independent rows: E. L. Korn,
    B. I. Graubard, "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data", Survey Methodology 24 (1998); the standard for proportions
    of the U.S. National Center for Health Statistics (J. Parker et al., 2017).

    It holds for other prompts and, with at least `PEOPLE_NEEDED` people, for other people; with
    fewer, for these people. `benchmarks/rates.py` measures how often it holds the truth, next to
    Wilson's, the log odds' and resampled prompts.
    """

    hits: int
    n: int
    prompts: int = 0  # different ones among the rows; 0 if not recorded
    people: int = 0  # likewise
    effective: float | None = None  # None where nothing can be said about other prompts
    chance: float | None = None  # the rate that `p` tests against

    @classmethod
    def of(
        cls,
        hits: Sequence[bool],
        prompts: Sequence[Hashable],
        people: Sequence[Hashable] | None = None,
        chance: float | None = None,
        least: float = LEAST_CORRELATION,
    ) -> Self:
        """Return the rate of rows: whether each is a hit, its prompt and its person.

        `least` is the correlation within a prompt that is assumed until the rows show more.
        """
        voters = len(set(people)) if people is not None else 0
        rows = effective_rows([float(h) for h in hits], prompts, people, least)
        return cls(sum(map(bool, hits)), len(hits), len(set(prompts)), voters, rows, chance)

    @classmethod
    def of_pairings(cls, same: Sequence[bool], prompts: Sequence[Hashable]) -> Self:
        """Return how often people, two by two, say the same: one person's vote is in several rows.

        It is about other prompts, between these people.
        """
        return cls.of(same, prompts, least=LEAST_CORRELATION_OF_PAIRINGS)

    @property
    def rate(self) -> float | None:
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        if self.effective is None:
            return None
        return exact(self.effective * self.hits / self.n, self.effective)

    @property
    def p(self) -> float | None:
        """The two-sided p against `chance`, below 0.05 where the interval excludes it."""
        if self.effective is None or self.chance is None:
            return None
        return two_sided(self.effective * self.hits / self.n, self.effective, self.chance)

    @property
    def unknown(self) -> str | None:
        """Why there is no interval; None if there is one."""
        if self.effective is not None:
            return None
        if not self.n:
            return "there are no rows"
        if not self.prompts:
            return "an earlier version of palate counted the rows as independent"
        return "one prompt says nothing about others"

    def differs(self, tests: int = 1, level: float = 0.01) -> bool:
        """Tell whether it differs from `chance`, one of so many tests (Bonferroni)."""
        return self.p is not None and tests * self.p < level

    def test(self, tests: int = 1) -> str:
        """Return ", p = 0.02 adjusted for 3 tests" (Bonferroni), nothing without a test."""
        if self.p is None:
            return ""
        adjusted = f" adjusted for {tests} tests" if tests > 1 else ""
        return f", p = {min(1.0, tests * self.p):.2g}{adjusted}"

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"rate": self.rate, "interval": self.interval, "p": self.p}

    def words(self) -> str:
        """Return "18 of 20 (90%, 68.3–98.8%)", and the number of prompts if rows share them."""
        if self.rate is None:
            return "none"
        on = f" on {self.prompts:,} prompts" if 1 < self.prompts < self.n else ""
        doubt = f"; {self.unknown}"
        if self.interval:
            low, high = (100 * x for x in self.interval)
            doubt = f", {low:.1f}–{high:.1f}%"
        return f"{self.hits:,} of {self.n:,}{on} ({100 * self.rate:.0f}%{doubt})"


def effective_rows(
    values: Sequence[float],
    prompts: Sequence[Hashable],
    people: Sequence[Hashable] | None = None,
    least: float = LEAST_CORRELATION,
) -> float | None:
    """Return how many independent values would say as much about the mean; None for one prompt.

    Their number is divided by the design effect: the variance of the total clustered by prompt (the
    jackknife, J. G. MacKinnon, M. Ø. Nielsen, M. D. Webb, J. Appl. Econometrics 38, 2023), or by
    prompt and by person (A. C. Cameron, J. B. Gelbach, D. L. Miller, J. Bus. Econ. Stat. 29, 2011),
    over that of independent values, times the square of Student's quantile over the normal one. Its
    degrees of freedom are one fewer than the units, of equal size, that say as much, or fewer still
    where a few units make up most of the variance (`_degrees`). Few units show too small a variance
    by chance, so it is at least what the correlation `least` implies (L. Kish, "Survey Sampling",
    1965). It is 1 where every value has a prompt and a person to itself.
    """
    x, groups = np.asarray(values, float), [_codes(prompts)]
    if people is not None and len(set(people)) >= PEOPLE_NEEDED:
        groups.append(_codes(people))
    if len(set(prompts)) < 2:
        return None
    residuals, n = x - x.mean(), len(x)
    single = float(residuals @ residuals)
    sizes = [float((np.bincount(g) ** 2).sum()) for g in groups]
    if all(size == n for size in sizes):
        return float(n)
    variances = [_between(g, residuals) for g in groups]
    units = min(n * n / size for size in sizes)  # of equal size that would say as much
    variance = max(sum(variances) - (len(groups) - 1) * single, *variances, 0.0)
    # where all values are alike nothing shows how far a unit decides: it counts as one value
    measured = variance / single if single > TINY else n / units
    floors = zip((least, LEAST_CORRELATION_OF_A_PERSON), sizes, strict=False)
    assumed = 1 + sum(correlation * (size / n - 1) for correlation, size in floors)
    degrees = min(units - 1, *(_degrees(g, residuals) for g in groups))
    return n / max(assumed, measured * _student(degrees) ** 2)


def _codes(names: Sequence[Hashable]) -> np.ndarray:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], int)


def _between(units: np.ndarray, residuals: np.ndarray) -> float:
    """Return the variance of the total, clustered by unit: the jackknife that leaves out each."""
    totals, sizes = np.bincount(units, residuals), np.bincount(units)
    changes = totals / (1 - sizes / len(residuals))
    return float(changes @ changes) * (len(sizes) - 1) / len(sizes)


def _degrees(units: np.ndarray, residuals: np.ndarray) -> float:
    """Return the degrees of freedom of the variance between units, by its mean and variance.

    A variance V that itself varies by Var(V) has 2 V² / Var(V): F. E. Satterthwaite, "An
    approximate distribution of estimates of variance components", Biometrics Bulletin 2 (1946).
    Var(V) comes from the fourth powers of the units' totals: at rates near 0 or 1, or with units
    of uneven size, a few of them make up most of V.
    """
    squares = np.bincount(units, residuals) ** 2
    spread = float(squares @ squares) - float(squares.sum()) ** 2 / len(squares)
    return 2 * float(squares.sum()) ** 2 / spread if spread > TINY else LARGE


def _student(degrees: float) -> float:
    """Return Student's 97.5% quantile for so many degrees of freedom over the normal one."""
    from scipy.special import ndtri, stdtrit

    quantile = 1 - ALPHA / 2
    return min(float(stdtrit(max(degrees, TINY), quantile)), LARGE) / float(ndtri(quantile))


def exact(hits: float, n: float) -> tuple[float, float]:
    """Return the exact 95% interval of a proportion; both counts may be fractional.

    C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case
    of the binomial", Biometrika 26 (1934).
    """
    from scipy.special import betaincinv

    misses = max(n - hits, 0.0)
    low = float(betaincinv(hits, misses + 1, ALPHA / 2)) if hits > TINY else 0.0
    high = float(betaincinv(hits + 1, misses, 1 - ALPHA / 2)) if misses > TINY else 1.0
    return low, high


def two_sided(hits: float, n: float, chance: float = 0.5) -> float:
    """Return twice the smaller tail of the binomial test; both counts may be fractional."""
    from scipy.special import betainc

    misses = max(n - hits, 0.0)
    above = float(betainc(hits, misses + 1, chance)) if hits > TINY else 1.0
    below = float(betainc(misses, hits + 1, 1 - chance)) if misses > TINY else 1.0
    return min(1.0, 2 * min(above, below))


def clustered(values: Sequence[float], prompts: Sequence[Hashable]) -> tuple[float, float] | None:
    """Return the 95% interval of a mean of values from 0 to 1, as `Rate` has it."""
    rows = effective_rows(values, prompts)
    return None if rows is None else exact(rows * sum(values) / len(values), rows)


Winners = Mapping[tuple[str, str], str]  # of each compared pair (x, y), x < y


def cyclic_triads(winners: Mapping[tuple[str, str], Winners]) -> Rate:
    """Return how many triads are cyclic: x over y, y over z, z over x.

    Keys are person and prompt, values that person's winners; a triad counts where all three of its
    pairs were compared. Random choices make a quarter cyclic: M. G. Kendall, B. Babington Smith,
    "On the method of paired comparisons", Biometrika 31 (1940).
    """
    cyclic, prompts, people = [], [], []
    for (person, prompt), winner in winners.items():
        for x, y, z in combinations(sorted({item for pair in winner for item in pair}), 3):
            if (x, y) in winner and (y, z) in winner and (x, z) in winner:
                # in a cycle each of the three wins once
                cyclic.append(len({winner[x, y], winner[y, z], winner[x, z]}) == 3)
                prompts.append(prompt)
                people.append(person)
    return Rate.of(cyclic, prompts, people, chance=CHANCE_CYCLIC)


def beyond_chance(agreement: Rate, disagreement: float) -> tuple[float, float] | None:
    """Return the 95% interval of an agreement corrected for chance, such as α or κ.

    It is that of the raw agreement, on the scale where chance is 0 and full agreement 1;
    `disagreement` is the share that chance brings. In `benchmarks/agreement.py` the jackknife that
    leaves out each prompt covers less, and has no interval where nobody disagrees.
    """
    if agreement.interval is None or disagreement < TINY:
        return None
    low, high = (1 - (1 - x) / disagreement for x in agreement.interval)
    return max(low, -1.0), high


def alpha(units: Iterable[Mapping[str, int]]) -> tuple[float, float] | None:
    """Return Krippendorff's nominal α, and the disagreement that chance brings.

    A unit gives the category that each person chose. None if no unit has two people, or if all
    categories are the same. K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011).
    """
    shared = [unit for unit in units if len(unit) > 1]
    if len({category for unit in shared for category in unit.values()}) < 2:
        return None
    import evalica
    import pandas as pd

    names = sorted({who for unit in shared for who in unit})
    table = np.array([[unit.get(who, np.nan) for unit in shared] for who in names], float)
    result = evalica.alpha(pd.DataFrame(table), distance="nominal")
    return float(result.alpha), float(result.expected) / sum(map(len, shared))
