"""How much the choice of a training flatters its figure, with and without cross-fitting.

    python benchmarks/choosing.py [--runs N] [--json]

Simulated: K trainings that all rank the chosen answer first on 65% of the pairs of prompts like
these, ten pairs a prompt, and share which prompts are hard. The best on the test prompts is kept.
Its figure on those prompts is compared with what palate reports: the figure on the half that did
not choose, over twenty random halves and both ways round. With seed 0 the tables repeat exactly.
"""

import argparse
import json
from dataclasses import asdict, dataclass

import numpy as np

from palate.core.rates import clustered
from palate.train.choice import choose, cross_fit, right

TRUE = 0.65  # reward accuracy of every training
PAIRS = 10  # of each prompt
HARD = 0.5  # standard deviation of a prompt's part in the margins; a row's own is 1
SHARED = 0.7  # of that variance: trainings agree which prompts are hard
TRAININGS = (1, 3, 5, 10)
PROMPTS = (11, 19, 50)


@dataclass(frozen=True)
class Cell:
    """One setting: biases in points, and how often an interval holds the true accuracy."""

    trainings: int
    prompts: int
    chosen_bias: float
    chosen_coverage: float
    reported_bias: float
    reported_coverage: float


def simulate(trainings: int, prompts: int, runs: int, random: np.random.Generator) -> Cell:
    """Return the biases and coverages of `runs` choices."""
    from scipy.stats import norm

    names = [f"p-{i // PAIRS}" for i in range(prompts * PAIRS)]
    every, mean = np.arange(len(names)), norm.ppf(TRUE) * np.sqrt(1 + HARD**2)
    figures: dict[str, list[tuple[float, bool]]] = {"chosen": [], "reported": []}
    for _ in range(runs):
        shared = np.sqrt(SHARED) * random.normal(size=prompts)
        own = np.sqrt(1 - SHARED) * random.normal(size=(trainings, prompts))
        hard = np.repeat(HARD * (shared + own), PAIRS, axis=1)
        margins = mean + hard + random.normal(size=(trainings, len(names)))
        candidates = [{1: row} for row in margins]
        fitted = cross_fit(candidates, names)
        assert fitted is not None
        best, step = choose(candidates, every)
        for name, m in (("chosen", candidates[best][step]), ("reported", fitted)):
            hits = np.atleast_2d(right(m)).mean(0)
            low, high = clustered(list(hits), names) or (0, 1)
            figures[name].append((hits.mean(), low <= TRUE <= high))
    cells = []
    for name in ("chosen", "reported"):
        rates, held = np.array(figures[name]).T
        cells += [round(100 * (rates.mean() - TRUE), 2), round(held.mean(), 4)]
    return Cell(trainings, prompts, *cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    cells = [simulate(k, n, options.runs, random) for n in PROMPTS for k in TRAININGS]
    if options.json:
        print(json.dumps([asdict(c) for c in cells], indent=2))
        return
    print("| test prompts | best of | on the prompts that chose | covers | reported | covers |")
    print("|---:|---:|---:|---:|---:|---:|")
    for c in cells:
        print(
            f"| {c.prompts} | {c.trainings} | {c.chosen_bias:+.1f} | {c.chosen_coverage:.1%}"
            f" | {c.reported_bias:+.1f} | {c.reported_coverage:.1%} |"
        )


if __name__ == "__main__":
    main()
