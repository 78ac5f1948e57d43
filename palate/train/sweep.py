"""Several trainings that differ in one setting, of which the best on the test split is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from palate.core.errors import UsageError
from palate.train.config import DPOArguments
from palate.train.record import DPOResults, SweepFacts, SweepRun

NAMES = ("beta", "learning_rate", "epochs", "sft_weight", "flip_rate", "seed", "batch_size")


@dataclass(frozen=True)
class Sweep:
    """An argument and its values."""

    name: str
    values: list[float]

    @classmethod
    def read(cls, args: DPOArguments) -> "Sweep":
        """Return what `--sweep name=value,value` asks for. Raises UsageError for what it cannot."""
        name, _, values = (args.sweep or "").partition("=")
        name = name.replace("-", "_")
        try:
            numbers = [float(v) for v in values.split(",")]
        except ValueError:
            numbers = []
        if name not in NAMES or len(set(numbers)) < 2 or len(set(numbers)) < len(numbers):
            raise UsageError(
                f"Cannot sweep over {args.sweep!r}: expected two or more different numbers for one"
                f" of {', '.join(n.replace('_', '-') for n in NAMES)}, such as beta=0.05,0.1,0.5"
            )
        return cls(name, [int(n) if name in ("seed", "batch_size") else n for n in numbers])

    def check(self, test_rows: int) -> None:
        """Raise UsageError where nothing could be picked by, before anything is trained."""
        if not test_rows:
            raise UsageError("A sweep picks by the test split, and no test prompt has labels.")

    def arguments(self, args: DPOArguments) -> list[DPOArguments]:
        return [replace(args, **{self.name: value, "sweep": None}) for value in self.values]

    def best(self, results: Sequence[DPOResults]) -> tuple[int, SweepFacts]:
        """Return which run to keep, and the table of all; `results` are in the order of `values`.

        The highest reward accuracy on the test split wins: losses at different beta are not
        comparable. Ties go to the lower test loss.
        """
        keys = [(r.test_reward_accuracy or 0.0, -(r.test_loss or 0.0)) for r in results]
        runs = tuple(_run(value, r) for value, r in zip(self.values, results, strict=True))
        return keys.index(max(keys)), SweepFacts(self.name, runs)


def _run(value: float, r: DPOResults) -> SweepRun:
    # a sweep is refused without test rows
    assert r.test_reward_accuracy is not None
    assert r.test_reward_accuracy_interval is not None
    assert r.test_loss is not None
    accuracy, interval = r.test_reward_accuracy, r.test_reward_accuracy_interval
    return SweepRun(value, accuracy, interval, r.test_loss, r.best_step)


def lines(facts: SweepFacts, best: int) -> list[str]:
    """Return a line for each run, with an arrow at the best."""
    return [
        f"{'→' if i == best else ' '} {facts.name} {run.value:g}: test reward accuracy"
        f" {100 * run.test_reward_accuracy:.1f}%, loss {run.test_loss:.4f}"
        for i, run in enumerate(facts.runs)
    ]
