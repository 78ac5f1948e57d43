"""What tuning cost, from paired scores of base and tuned model. Pure: no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from palate.core.rates import effective_rows, exact
from palate.core.schema import Model
from palate.core.typed import read, version_of
from palate.train.records.results import Lead, lead

VERSION = 0
FILE = "check.json"
MOST = 0.03  # a loss that nobody should have to mind
Known = Literal["bounded", "lost", "open"]


@dataclass(frozen=True)
class Ability:
    """One ability of both models, as shares from 0 to 1, and the difference with its interval."""

    name: str
    unit: str  # what the shares are of
    n: int
    base: float
    tuned: float
    change: Lead

    @property
    def known(self) -> Known:
        """What the 95% interval says: no loss greater than 3 points, a greater one, or neither.

        A loss counts as shown where the interval excludes that there is none.
        """
        low, high = self.change.interval or (-1.0, 1.0)
        if low >= -MOST:
            return "bounded"
        return "lost" if high < 0 and self.change.difference < -MOST else "open"

    def sentence(self) -> str:
        says = {
            "bounded": "A loss of more than 3 points is ruled out.",
            "lost": "Chance does not explain this loss.",
            "open": "A loss of more than 3 points is not ruled out.",
        }[self.known]
        return (
            f"{self.name}: {100 * self.base:.1f}% → {100 * self.tuned:.1f}% of {self.n:,}"
            f" {self.unit}. {self.change.words()} {says}"
        )


@dataclass(frozen=True)
class CheckReport:
    """check.json: what tuning cost one model."""

    version: int
    base: Model
    tuned: Model
    abilities: tuple[Ability, ...]
    settings: dict[str, int | float]
    time: str

    def alarms(self) -> list[str]:
        """Return an alarm for each ability that was lost."""
        return [a.sentence() for a in self.abilities if a.known == "lost"]

    @classmethod
    def from_json(cls, value: object, source: object = FILE) -> "CheckReport":
        """Return the report that parsed JSON holds. Raises BadInput for a wrong one."""
        version_of(value, VERSION, source)
        return read(cls, value, source)


def ability(
    name: str,
    unit: str,
    base: Sequence[float],
    tuned: Sequence[float],
    clusters: Sequence[str],
) -> Ability:
    """Compare two models on the same units; those of a cluster are never counted as independent."""
    x, y = np.asarray(base, float), np.asarray(tuned, float)
    change = lead(y - x, list(clusters))
    if change.interval and not (y != x).any():
        # nothing changed: at most so large a share would have, of which some are losses
        most = exact(0, effective_rows(list(y - x), clusters) or 1)[1]
        change = replace(change, interval=(-most, most))
    return Ability(name, unit, len(x), float(x.mean()), float(y.mean()), change)
