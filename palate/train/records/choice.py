"""Which weights are kept, and figures that the choice does not flatter.

DPO keeps the weights of its last step: the step of the lowest test loss ranks held-out pairs worse
(docs/recipes.md). Its recipe is chosen on train prompts. For the checkpoint of SFT, one half of the
test prompts chooses and the other half measures, then the reverse, for twenty random halves
(cross-fitting: V. Chernozhukov et al., "Double/debiased machine learning", Econometrics Journal 21,
2018). What is kept is chosen on all test prompts. Pure: no I/O.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from palate.core.schema import digest

HALVINGS = 20
KEEPS = "eval_step"  # the highest: the last step whose loss is a number
LOGGED = "eval_margins"  # of Trainer's log: test row → reward margin
LOGGED_SUMS = "eval_sums"  # of SFT's: sums of loss, right tokens and tokens of each test row
Interval = tuple[float, float]
Run = Mapping[int, np.ndarray]  # step of a checkpoint → reward margin of each test row


def read_run(log: Sequence[Mapping]) -> tuple[Run, list[int]]:
    """Return the evaluations that Trainer's log holds, and the places of their rows."""
    evaluated = [entry for entry in log if LOGGED in entry]
    rows = sorted(int(row) for row in evaluated[0][LOGGED]) if evaluated else []
    margins = {e["step"]: np.array([e[LOGGED][str(row)] for row in rows]) for e in evaluated}
    return {step: m for step, m in margins.items() if np.isfinite(m).all()}, rows


def losses(margins: np.ndarray) -> np.ndarray:
    """Return -log σ(margin), DPO's loss, of each row."""
    return np.logaddexp(0, -margins)


def right(margins: np.ndarray) -> np.ndarray:
    """Return 1 where the chosen answer has the higher reward, ½ where both have the same."""
    return (1 + np.sign(margins)) / 2


def temperature(margins: np.ndarray) -> float:
    """Return the temperature at which the margins of preferred answers are most likely.

    C. Guo et al., "On Calibration of Modern Neural Networks" (2017). It is at least 0.01 and at
    most 100: margins that are all right, or all wrong, have no best one.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(losses(margins / np.exp(log_temperature)).mean())

    bound = float(np.log(100))
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def calibrated_loss(margins: np.ndarray) -> float:
    """Return the log loss of the margins at their best temperature: 0.693 where they say nothing.

    It does not change where a training is surer of everything, as with another β.
    """
    return float(losses(margins / temperature(margins)).mean())


def halvings(prompts: Sequence[str]) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """Yield the number of a halving, and the rows of either half of the prompts, both ways round.

    The same in every run. One halving alone would depend on which prompts fall together.
    """
    number = {p: i for i, p in enumerate(sorted(set(prompts), key=digest))}
    rows, random = np.array([number[p] for p in prompts]), np.random.default_rng(0)
    for n in range(HALVINGS):
        first = (random.permutation(len(number)) < len(number) // 2)[rows]
        one, other = np.flatnonzero(first), np.flatnonzero(~first)
        yield n, (one, other)
        yield n, (other, one)


def cross_fit_tokens(run: Run, prompts: Sequence[str]) -> np.ndarray | None:
    """Return each row's sums under the checkpoint that the other half of the prompts chose.

    A row of `run` has sums of loss, of right tokens and of tokens. Shape (rows, 3), means over the
    halvings. None for a single prompt.
    """
    if len(set(prompts)) < 2:
        return None
    sums = np.zeros((len(prompts), 3))
    for _, (chosen, measured) in halvings(prompts):
        totals = {step: rows[chosen].sum(0) for step, rows in run.items()}
        step = min(totals, key=lambda s: totals[s][0] / totals[s][2])
        sums[measured] += run[step][measured] / HALVINGS
    return sums


@dataclass(frozen=True)
class SweepRun:
    """The result of one value of a sweep, with which earlier versions chose by the test prompts."""

    value: int | float
    test_reward_accuracy: float
    test_reward_accuracy_interval: Interval | None
    test_loss: float
    best_step: int


@dataclass(frozen=True)
class SweepFacts:
    """The argument that was varied, and the figures of each value, which chose among them."""

    name: str
    runs: tuple[SweepRun, ...]
