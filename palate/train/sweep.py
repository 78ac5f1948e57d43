"""Several trainings that differ in one setting, of which the best on the test split is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from palate.core.errors import UsageError
from palate.train.config import DPOArguments

NAMES = ("beta", "learning_rate", "epochs", "sft_weight", "flip_rate", "seed", "batch_size")


@dataclass
class Sweep:
    """The setting and its values; `results` are filled by `best`."""

    name: str
    values: list[float]
    results: list[dict[str, Any]] = field(default_factory=list)

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

    def best(self, runs: Sequence[tuple[DPOArguments, dict[str, Any]]]) -> tuple[int, list[str]]:
        """Return which run to keep, and a line about each.

        By reward accuracy on the test split: losses at different beta are not comparable. Among
        equals the one with the lower test loss.
        """
        self.results = [
            {"value": getattr(args, self.name), **_figures(run["results"])} for args, run in runs
        ]
        keys = [(r["test_reward_accuracy"], -r["test_loss"]) for r in self.results]
        best = keys.index(max(keys))
        lines = [
            f"{'→' if i == best else ' '} {self.name} {r['value']:g}: test reward accuracy"
            f" {100 * r['test_reward_accuracy']:.1f} %, loss {r['test_loss']:.4f}"
            for i, r in enumerate(self.results)
        ]
        return best, lines

    def record(self) -> dict[str, Any]:
        return {"sweep": {"name": self.name, "runs": self.results}}


def _figures(results: dict[str, Any]) -> dict[str, Any]:
    names = ("test_reward_accuracy", "test_reward_accuracy_interval", "test_loss", "best_step")
    return {name: results[name] for name in names}
