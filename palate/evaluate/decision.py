"""Whether votes decide a comparison, and for whom: prompts like these, people like these. Pure.

Votes on one prompt agree more than votes on different prompts, and so do votes of one person. They
are therefore discounted to effective votes before the evidence is computed. `benchmarks/votes.py`
simulates the rule, with a look after every vote.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from palate.core.rates import (
    ALPHA,
    LEAST_CORRELATION,
    LEAST_CORRELATION_OF_A_PERSON,
    PEOPLE_NEEDED,
    TINY,
)
from palate.core.schema import Model
from palate.evaluate.sequential import DECIDES, evidence, sequence

Population = Literal["prompts", "people"]
Decision = Literal["better", "worse", "no difference", "open"]
MARGIN = 0.1  # a win rate this close to one half counts as no difference
PROMPTS_NEEDED = 9  # nine that all go one way decide; of eight, one in 128 equal models does so
NORMAL = float(ndtri(1 - ALPHA / 2))
Sums = float | NDArray[np.float64]


@dataclass(frozen=True)
class Claim:
    """What the votes say about a population that goes beyond them.

    `prompts`: other prompts of this kind, judged by the people who voted. `people`: other prompts
    and other people. `evidence` is an e-value against "preferred equally often" and `interval` a
    95% interval of the win rate; both hold at every look. Without enough units to say anything
    `evidence` is 1, `interval` 0 to 1 and `design_effect` None.
    """

    population: Population
    units: int  # prompts, or people
    needed: int  # units below which nothing can be said
    design_effect: float | None  # votes per effective vote; 1 where every vote is independent
    evidence: float
    interval: tuple[float, float]
    decides: float = DECIDES  # evidence that decides; more in later rounds on the same prompts

    @property
    def decided(self) -> bool:
        return self.evidence >= self.decides


@dataclass(frozen=True)
class RoundResult:
    """What the votes say about the model of one round, against the same base model."""

    round: int
    tuned: Model
    votes: int
    win_rate: float
    interval: tuple[float, float]  # 0 to 1 if nothing is known of other prompts
    decision: Decision


def share(number: int) -> float:
    """Return the part of the 5% that round `number` on the same prompts may spend.

    The first round spends all of it, half on a false "better", half on a false "worse". Rounds 2,
    3, 4, … spend 1/2, 1/6, 1/12, … of it, together no more than the first. However many
    rounds there are, the chance that any of them is wrongly called better stays within 5%.
    """
    return 1.0 if number == 1 else 1 / (number * (number - 1))


@dataclass
class _Clusters:
    """Votes of one unit kind: how many each unit has, and the sum of their results."""

    count: dict[Hashable, int] = field(default_factory=dict)
    total: dict[Hashable, float] = field(default_factory=dict)
    squares: float = 0.0  # Σ total²
    products: float = 0.0  # Σ total · count
    sizes: int = 0  # Σ count²

    def add(self, unit: Hashable, result: float) -> None:
        n, s = self.count.get(unit, 0), self.total.get(unit, 0.0)
        self.squares += 2 * s * result + result * result
        self.products += s + n * result + result
        self.sizes += 2 * n + 1
        self.count[unit], self.total[unit] = n + 1, s + result

    def variance(self, rate: float) -> float:
        """Return Σ over units of (Σ result − rate)², the clustered variance of the total."""
        return max(self.squares - 2 * rate * self.products + rate * rate * self.sizes, 0.0)


class Evidence:
    """Votes as they arrive, and what they say after each: O(1) a vote.

    The design effect of the claim about prompts is the variance clustered by prompt over that of
    independent votes (K.-Y. Liang, S. L. Zeger, Biometrika 73, 1986), times Student's quantile for
    that many prompts over the normal one. For people it is the two-way variance of prompts and
    people (A. C. Cameron, J. B. Gelbach, D. L. Miller, "Robust inference with multiway clustering",
    J. Bus. Econ. Stat. 29, 2011). It is 1 while every vote has a unit to itself, where the rule is
    exact; else at least what `LEAST_CORRELATION` implies (L. Kish, "Survey Sampling", 1965).
    """

    def __init__(self, number: int = 1) -> None:
        self._share = share(number)
        self.wins = self.losses = self.ties = 0
        self._prompts, self._people = _Clusters(), _Clusters()

    def add(self, prompt: Hashable, person: Hashable, result: float) -> None:
        """Count a vote: 1 for a win of the tuned model, 0 for a loss, ½ for a tie."""
        self.wins += result == 1
        self.losses += result == 0
        self.ties += result == 0.5
        self._prompts.add(prompt, result)
        self._people.add(person, result)

    @property
    def votes(self) -> int:
        return self.wins + self.losses + self.ties

    @property
    def rate(self) -> float:
        return (self.wins + self.ties / 2) / self.votes

    def about(self, population: Population) -> Claim:
        """Return what the votes so far say about other prompts, or about other people."""
        people, decides = population == "people", DECIDES / self._share
        units = len((self._people if people else self._prompts).count)
        needed = PEOPLE_NEEDED if people else PROMPTS_NEEDED
        enough = units >= needed and len(self._prompts.count) >= PROMPTS_NEEDED
        if not enough or not self.wins + self.losses:
            return Claim(population, units, needed, None, 1.0, (0.0, 1.0), decides)
        effect = self._effect(population)
        counts = self.wins / effect, self.losses / effect, self.ties / effect
        interval = sequence(*counts, share=self._share)
        return Claim(population, units, needed, effect, evidence(*counts[:2]), interval, decides)

    def _effect(self, population: Population) -> float:
        prompts, people = self._prompts, self._people
        single, rate = self._single(), self.rate
        if population == "prompts":
            return float(prompts_effect(self.votes, prompts.sizes, prompts.variance(rate), single))
        variances = prompts.variance(rate), people.variance(rate)
        return float(people_effect(self.votes, (prompts.sizes, people.sizes), variances, single))

    def _single(self) -> float:
        """Return the variance of the total of independent votes with these results."""
        r = self.rate
        return self.wins * (1 - r) ** 2 + self.losses * r * r + self.ties * (0.5 - r) ** 2


def prompts_effect(votes: Sums, sizes: Sums, variance: Sums, single: Sums) -> Sums:
    """Return votes per effective vote for the claim about prompts.

    `sizes`: Σ over prompts of their votes squared; `variance`: of the total, clustered by prompt;
    `single`: that of independent votes. Numbers, or arrays of one shape.
    """
    prompts = votes**2 / sizes  # of equal size that would say as much: a smaller one counts less
    # where all votes are alike nothing shows how far a prompt decides: it counts as one vote
    measured = np.where(single > 0, variance / np.maximum(single, TINY), votes / prompts)
    assumed = 1 + LEAST_CORRELATION * (sizes / votes - 1)
    effect = np.maximum(np.maximum(1.0, assumed), measured * _student(prompts))
    return np.where(sizes == votes, 1.0, effect)  # no two votes share a prompt


def people_effect(
    votes: Sums, sizes: tuple[Sums, Sums], variances: tuple[Sums, Sums], single: Sums
) -> Sums:
    """Return votes per effective vote for the claim about people.

    `sizes` and `variances` are those of prompts and of people; see `prompts_effect`.
    """
    units = np.minimum(votes**2 / sizes[0], votes**2 / sizes[1])
    both = np.maximum(variances[0] + variances[1] - single, np.maximum(*variances))
    measured = np.where(single > 0, both / np.maximum(single, TINY), votes / units)
    assumed = 1 + LEAST_CORRELATION * (sizes[0] / votes - 1)
    assumed = assumed + LEAST_CORRELATION_OF_A_PERSON * (sizes[1] / votes - 1)
    measured = measured * units / (units - 1) * _student(units) ** 2
    return np.maximum(np.maximum(1.0, assumed), measured)


def _student(units: Sums) -> Sums:
    """Return Student's 97.5% quantile for that many units over the normal one."""
    return stdtrit(np.maximum(units - 1, TINY), 1 - ALPHA / 2) / NORMAL


def claims(votes: Sequence[tuple[Hashable, Hashable, float]]) -> tuple[Claim, Claim]:
    """Return the claims about prompts and about people of votes (prompt, person, result)."""
    counted = Evidence()
    for vote in votes:
        counted.add(*vote)
    return counted.about("prompts"), counted.about("people")


def decide(wins: int, losses: int, claim: Claim, margin: float) -> Decision:
    """Return what the votes decide for other prompts, judged by the people who voted."""
    if claim.decided:
        return "better" if wins > losses else "worse"
    low, high = claim.interval
    return "no difference" if 0.5 - margin < low and high < 0.5 + margin else "open"
