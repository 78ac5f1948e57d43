"""What is recorded of rejection sampling: what the reward chose, and what it gave in each round.

Pure: no I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from palate.core.markdown import count
from palate.core.rates import effective_rows
from palate.core.schema import Model

NORMAL_97_5 = 1.959964  # its 97.5% quantile; effective rows allow for few prompts


@dataclass(frozen=True)
class Mean:
    """A mean with its 95% interval for other prompts; None where nothing is known of them."""

    mean: float
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, values: Sequence[float], prompts: Sequence[str]) -> Self:
        """Return the mean of values of which those of a prompt resemble each other."""
        mean, spread = float(np.mean(values)), float(np.std(values))
        rows = effective_rows(values, prompts)
        if rows is None or not spread:  # without any variation, none can be measured
            return cls(mean, None)
        half = NORMAL_97_5 * spread / rows**0.5
        return cls(mean, (mean - half, mean + half))

    def cell(self) -> str:
        """Return "+0.52 (+0.31 to +0.73)"."""
        if self.interval is None:
            return f"{self.mean:+.2f}"
        low, high = self.interval
        return f"{self.mean:+.2f} ({low:+.2f} to {high:+.2f})"

    def words(self) -> str:
        """Return "+0.52 (95% interval for other prompts +0.31 to +0.73)"."""
        return self.cell().replace("(", "(95% interval for other prompts ")


@dataclass(frozen=True)
class RoundFacts:
    """What a model wrote on test prompts: the first model in round 0, then that of each round."""

    learned: int  # answers that the round learned; 0 in round 0
    reward: Mean
    change: Mean | None  # from round 0, with the same seeds; None in round 0
    characters: float  # of an answer, on average
    cut: float  # share of answers

    @property
    def known(self) -> Literal["rose", "fell", "open"]:
        """What the interval says of other prompts."""
        if self.change is None or self.change.interval is None:
            return "open"
        low, high = self.change.interval
        return "rose" if low > 0 else "fell" if high < 0 else "open"


@dataclass(frozen=True)
class BestFacts:
    """What `palate sft --from best` learned, and the rewards on test prompts by round.

    `rounds` has round 0 first; it holds no rewards where the project has no test prompts.
    """

    n: int  # answers, of which the reward chose one
    reward: Model
    measured_by: Model
    prompts: int  # test prompts
    learned: tuple[int, ...]  # answers, by round
    rounds: tuple[RoundFacts, ...]

    @property
    def measures_itself(self) -> bool:
        """Tell whether the reward that chose also measured."""
        return self.reward == self.measured_by

    def sentence(self) -> str:
        """Return what became of the reward, in a sentence."""
        if not self.rounds:
            return "The project has no test prompts, so the reward on other prompts is not known."
        first, last = self.rounds[0], self.rounds[-1]
        assert last.change is not None
        on = f"On {count(self.prompts, 'test prompt')}"
        means = f"from {first.reward.mean:+.2f} to {last.reward.mean:+.2f}"
        if not last.change.mean and last.change.interval is None:
            return f"{on}, the mean reward did not change: {first.reward.mean:+.2f}."
        said = {
            "rose": f"{on}, the mean reward rose {means}",
            "fell": f"{on}, the mean reward fell {means}",
            "open": f"{on}, the mean reward went {means}, which may be chance",
        }[last.known]
        return f"{said}: a difference of {last.change.words()}."

    def caution(self) -> str:
        """Return what these figures cannot show."""
        if self.measures_itself:
            return (
                "The reward that chose the answers also measured them, so these figures cannot show"
                " whether the model exploits what the reward gets wrong. Have people compare it"
                " blind, or name another reward with --measured-by."
            )
        return (
            f"{self.measured_by.repo} measured and chose nothing. Rewards that learned from the"
            " same labels can share their errors: have people compare the model blind."
        )

    def alarms(self) -> tuple[str, ...]:
        """Return an alarm where the reward is not shown to have risen."""
        if not self.rounds or self.rounds[-1].known == "rose":
            return ()
        return (
            f"{self.sentence()} Write more answers (--n), take more prompts, or make a better"
            " reward.",
        )
