"""Which run of a sweep to keep, and figures that the choice does not flatter.

DPO keeps the weights of its last step: the step of the lowest test loss ranks held-out pairs worse
(docs/recipes.md). On the prompts that chose it, the best of several equally good trainings is some
points too high. So for a sweep, and for the checkpoint of SFT, one half of the test prompts chooses
and the other half measures, then the reverse, for twenty random halves (cross-fitting: V.
Chernozhukov et al., "Double/debiased machine learning", Econometrics Journal 21, 2018). What is
kept is chosen on all test prompts. Pure: no I/O.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from palate.core.errors import UsageError
from palate.core.rates import clustered
from palate.core.schema import digest
from palate.train.config import DPOArguments

HALVINGS = 20
SWEPT = ("beta", "learning_rate", "epochs", "sft_weight", "flip_rate", "seed", "batch_size")
KEEPS = "eval_step"  # the highest: the last step whose loss is a number
LOGGED = "eval_margins"  # of Trainer's log: test row → reward margin
LOGGED_SUMS = "eval_sums"  # of SFT's: sums of loss, right tokens and tokens of each test row
Interval = tuple[float, float]
Run = Mapping[int, np.ndarray]  # step of a checkpoint → reward margin of each test row


def read_runs(logs: Iterable[Sequence[Mapping]]) -> tuple[list[Run], list[int]]:
    """Return the checkpoints of each run that Trainer's logs hold, and the places of their rows."""
    runs: list[Run] = []
    rows: list[int] = []
    for log in logs:
        evaluated = [entry for entry in log if LOGGED in entry]
        rows = sorted(int(row) for row in evaluated[0][LOGGED]) if evaluated else rows
        margins = {e["step"]: np.array([e[LOGGED][str(row)] for row in rows]) for e in evaluated}
        runs.append({step: m for step, m in margins.items() if np.isfinite(m).all()})
    return runs, rows


def losses(margins: np.ndarray) -> np.ndarray:
    """Return -log σ(margin), DPO's loss, of each row."""
    return np.logaddexp(0, -margins)


def right(margins: np.ndarray) -> np.ndarray:
    """Return 1 where the chosen answer has the higher reward, ½ where both have the same."""
    return (1 + np.sign(margins)) / 2


def choose(runs: Sequence[Run], rows: np.ndarray) -> tuple[int, int]:
    """Return which run to keep, and its last step, by these rows.

    The highest reward accuracy wins, since losses at different beta are not comparable. Ties go to
    the lower loss.
    """
    steps = [max(run) for run in runs]
    margins = [run[step][rows] for run, step in zip(runs, steps, strict=True)]
    keys = [(float(right(m).mean()), -float(losses(m).mean())) for m in margins]
    best = keys.index(max(keys))
    return best, steps[best]


def cross_fit(runs: Sequence[Run], prompts: Sequence[str]) -> np.ndarray | None:
    """Return each row's margin under the run that the other half of the prompts chose.

    Shape (halvings, rows), or (1, rows) for one run, which nothing chose. None for several runs and
    a single prompt, which has no other half.
    """
    if len(runs) == 1:
        return runs[0][max(runs[0])][None]
    if len(set(prompts)) < 2:
        return None
    margins = np.empty((HALVINGS, len(prompts)))
    for n, (chosen, measured) in halvings(prompts):
        run, step = choose(runs, chosen)
        margins[n, measured] = runs[run][step][measured]
    return margins


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
    """The result of one value."""

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


@dataclass(frozen=True)
class Sweep:
    """An argument and its values; each value is one run, and the best on the test split is kept."""

    name: str
    values: list[float]

    @classmethod
    def read(cls, args: DPOArguments) -> "Sweep":
        """Return what `--sweep name=value,value` says. Raises UsageError for what cannot work."""
        name, _, values = (args.sweep or "").partition("=")
        name = name.replace("-", "_")
        try:
            numbers = [float(v) for v in values.split(",")]
        except ValueError:
            numbers = []
        if name not in SWEPT or len(set(numbers)) < 2 or len(set(numbers)) < len(numbers):
            raise UsageError(
                f"Cannot sweep over {args.sweep!r}: expected two or more different numbers for one"
                f" of {', '.join(n.replace('_', '-') for n in SWEPT)}, such as beta=0.05,0.1,0.5"
            )
        return cls(name, [int(n) if name in ("seed", "batch_size") else n for n in numbers])

    def check(self, test_rows: int) -> None:
        """Raise UsageError, before anything is trained, where there is nothing to choose by."""
        if not test_rows:
            raise UsageError("A sweep chooses by the test split, and no test prompt has labels.")

    def arguments(self, args: DPOArguments) -> list[DPOArguments]:
        return [replace(args, **{self.name: value, "sweep": None}) for value in self.values]

    def best(self, runs: Sequence[Run], prompts: Sequence[str]) -> tuple[int, SweepFacts]:
        """Return which run to keep, and the figures that chose it; `runs` are in order of `values`.

        `prompts` names the prompt of each test row.
        """
        rows = np.arange(len(prompts))
        table = []
        for value, run in zip(self.values, runs, strict=True):
            step = max(run)
            hits, loss = right(run[step]), float(losses(run[step]).mean())
            interval = clustered(list(hits), prompts)
            table.append(SweepRun(value, float(hits.mean()), interval, loss, step))
        return choose(runs, rows)[0], SweepFacts(self.name, tuple(table))
