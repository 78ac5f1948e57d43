"""What is measured of a model that learns from a reward, and when it stops. Pure: no I/O.

A held-out reward learned from labels that the first one has not seen. The model exploits what is
wrong with the first where that one still rises and the held-out one does not: L. Gao et al.,
"Scaling Laws for Reward Model Overoptimization" (2023).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from palate.core.markdown import count
from palate.core.rates import Rate
from palate.core.schema import Model
from palate.generate.samples import BaseAndTuned, Samples
from palate.train.records.best import Mean
from palate.train.records.results import MIN_PROMPTS, length, stopped, style, unended

CHECKED = "eval_prompts"  # of Trainer's log: both rewards of each checked prompt
PATIENCE = 2  # checks in a row without a higher held-out reward, while the first one rises


@dataclass(frozen=True)
class Check:
    """Both rewards on the same prompts after `step` steps, each the mean of a prompt's answers.

    They are in standard deviations of the base model's answers to a prompt.
    """

    step: int
    reward: np.ndarray
    held_out: np.ndarray

    @classmethod
    def of(cls, entry: Mapping) -> Self:
        """Return the check of an entry in Trainer's log."""
        both = entry[CHECKED]
        return cls(entry["step"], np.array(both["reward"]), np.array(both["held_out"]))


def checks(log: Sequence[Mapping]) -> list[Check]:
    return [Check.of(entry) for entry in log if CHECKED in entry]


def highest(made: Sequence[Check]) -> int:
    """Return the place of the check with the highest held-out reward, the first of equal ones."""
    return max(range(len(made)), key=lambda i: float(made[i].held_out.mean()))


def opened(made: Sequence[Check]) -> bool:
    """Tell whether the gap between the rewards has opened at the last check.

    Compared with the check of the highest held-out reward, the first reward is higher, and the
    held-out one is lower with its 95% interval for other prompts, or has stayed behind the first
    one, with the interval, at `PATIENCE` checks in a row.
    """
    if not made:
        return False
    top, since = made[highest(made)], made[highest(made) + 1 :]
    if not since or since[-1].reward.mean() <= top.reward.mean():
        return False
    behind = [
        is_below((c.held_out - top.held_out) - (c.reward - top.reward)) for c in since[-PATIENCE:]
    ]
    return is_below(since[-1].held_out - top.held_out) or (len(behind) == PATIENCE and all(behind))


def is_below(changes: np.ndarray) -> bool:
    """Tell whether the mean change, one of each prompt, is below 0 on other prompts as well."""
    interval = Mean.of(changes.tolist(), [str(i) for i in range(len(changes))]).interval
    return interval is not None and interval[1] < 0


@dataclass(frozen=True)
class HeldOut:
    """A reward's labels, and how often it is right on prompts that it has not seen."""

    reward: Model | None  # None where it was fitted for this run
    pairs: int
    prompts: int
    accuracy: Rate
    shares_labels: bool = False  # with the reward that is raised

    @property
    def decides(self) -> bool:
        """Tell whether it is better than chance, so that it can stop a run."""
        return self.accuracy.interval is not None and self.accuracy.interval[0] > 0.5


@dataclass(frozen=True)
class Change:
    """A reward's mean over answers of the base model and of the tuned one, and the difference."""

    base: float
    tuned: float
    change: Mean

    @classmethod
    def of(cls, base: Sequence[float], tuned: Sequence[float], prompts: Sequence[str]) -> Self:
        """Return it from the rewards of answers to the same prompts with the same seeds."""
        rise = (np.array(tuned) - np.array(base)).tolist()
        return cls(float(np.mean(base)), float(np.mean(tuned)), Mean.of(rise, prompts))

    def words(self, name: str) -> str:
        """Return "the reward rose from -0.10 to +0.52: a difference of …"."""
        interval, means = self.change.interval, f"from {self.base:+.2f} to {self.tuned:+.2f}"
        if not self.change.mean and interval is None:
            return f"{name} did not change: {self.base:+.2f}"
        low, high = interval or (-1.0, 1.0)
        went = f"went {means}, which may be chance"
        went = f"rose {means}" if low > 0 else f"fell {means}" if high < 0 else went
        return f"{name} {went}: a difference of {self.change.words()}"


@dataclass(frozen=True)
class RLResults:
    """The kept model on test prompts, which it never learned from and which chose nothing.

    None where the project has no test prompts.
    """

    prompts: int
    n: int  # answers to a prompt
    reward: Change | None
    held_out: Change | None
    kl: float  # nats an answer, from the base model, estimated on the samples
    repeated: BaseAndTuned | None  # share of an answer's runs of three words that repeat others
    steps: int  # that were taken
    best_step: int
    opened_at: int | None  # the step of the check where the gap had opened


def sentence(results: RLResults) -> str:
    """Return what became of both rewards, in one line."""
    kl = f"KL {results.kl:.2f} nats an answer, step {results.best_step}"
    if results.reward is None or results.held_out is None:
        return f"The project has no test prompts, so the reward on others is not known; {kl}"
    return (
        f"On {count(results.prompts, 'test prompt')}, {results.reward.words('the reward')};"
        f" {results.held_out.words('the held-out reward')}; {kl}"
    )


def gap(results: RLResults, held: HeldOut) -> str:
    """Return where training stopped and why, if the held-out reward can tell."""
    steps = count(results.steps, "step")
    if not held.decides:
        return (
            "The held-out reward is not shown to be better than chance, so it cannot tell whether"
            f" a gap between the rewards opened in {steps}."
        )
    if results.opened_at is None:
        return f"The gap between the rewards did not open in {steps}."
    return (
        f"At step {results.opened_at} the reward still rose and the held-out one no longer did. The"
        f" weights are those of step {results.best_step}: of the checks after training began, the"
        " one with the highest held-out reward."
    )


def rl_alarms(
    results: RLResults, held: HeldOut, failed_at: int | None, samples: Samples
) -> tuple[str, ...]:
    """Return the alarms of an RL run; `failed_at` is the step of a loss that was not a number."""
    raised = [*stopped(failed_at, results.best_step), *_rewards(results, held)]
    if samples.prompts >= MIN_PROMPTS:
        advice = "Raise --beta, or lower the learning rate."
        raised += [*length(samples, advice), *unended(samples, advice), *style(samples, advice)]
    return tuple(raised)


def _rewards(results: RLResults, held: HeldOut) -> Iterator[str]:
    if not held.decides:
        yield (
            f"The held-out reward is right on {held.accuracy.words()}: chance (50%) is not ruled"
            " out, so it could not stop the run. Label more prompts, add --halves, or name a better"
            " one with --held-out."
        )
    for name, change in (("reward", results.reward), ("held-out reward", results.held_out)):
        low, _ = (change.change.interval or (0.0, 0.0)) if change else (1.0, 1.0)
        if change and low <= 0:
            yield (
                f"On test prompts, {change.words(f'the {name}')}. Take more steps (--epochs), write"
                " more answers (--n), or make a better reward."
            )
