"""How often the intervals of Krippendorff's α and Cohen's κ hold the truth; fixed seeds.

    python benchmarks/agreement.py [--runs 400] [--json]

People judge pairs that differ by a normal amount, larger on some prompts than on others, each
person with noise; small amounts are ties. α is between the people; κ is between the votes of all
of them and a judge that sees the same pair. Cells differ in prompts, people, pairs of a prompt (1
or 5) and how clear the pairs are (α from 0 to 0.9). The truth is that of 40,000 prompts.

Compared are the interval that palate prints, the raw agreement's on another scale, and the
jackknife that leaves out each prompt, with Student's quantile.
"""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.stats import t
from support.simulation import main

from palate.core.rates import Rate, alpha, beyond_chance

PROMPTS, PEOPLE, PAIRS = (11, 20, 50, 100), (2, 3, 10), (1, 5)
CLEARNESS = ((0.0, 0.0), (0.7, 0.0), (1.5, 0.2), (4.0, 0.1), (12.0, 0.0))  # and width of a tie
KINDS = 3  # of judgements: one answer, the other, a tie
TRUTH = 40_000  # prompts
AGAIN, LONGER = 0.93, 7  # a cell that covers less is simulated again, so many times as long
Interval = tuple[float, float] | None


def judgements(random: np.random.Generator, prompts: int, pairs: int, people: int, clear: Any):
    """Return what each person and the judge said of each pair: (pairs, people + 1)."""
    scale, tie = clear
    unlike = np.exp(random.normal(0, 0.5, prompts)).repeat(pairs)
    better = scale * unlike * random.normal(size=prompts * pairs)
    seen = better[:, None] + random.normal(size=(prompts * pairs, people + 1))
    said = (seen > 0).astype(int)
    said[np.abs(seen) < tie] = 2
    return said


def coincidences(said: NDArray, prompts: int) -> NDArray:
    """Return how often two people gave each two judgements, for each prompt."""
    counts = np.stack([(said == k).sum(1) for k in range(KINDS)], 1).astype(float)
    each = counts[:, :, None] * counts[:, None, :]
    each[:, range(KINDS), range(KINDS)] -= counts
    return each.reshape(prompts, -1, KINDS, KINDS).sum(1) / (said.shape[1] - 1)


def confusions(said: NDArray, prompts: int) -> NDArray:
    """Return how often a person and the judge gave each two judgements, for each prompt."""
    each = np.zeros((len(said), KINDS, KINDS))
    for person in said.T[:-1]:
        np.add.at(each, (range(len(said)), person, said[:, -1]), 1.0)
    return each.reshape(prompts, -1, KINDS, KINDS).sum(1)


def alpha_of(o: NDArray) -> NDArray:
    n, each = o.sum((-1, -2)), o.sum(-1)
    observed = 1 - np.trace(o, axis1=-2, axis2=-1) / n
    return 1 - observed / ((n**2 - (each**2).sum(-1)) / (n * (n - 1)))


def kappa_of(o: NDArray) -> NDArray:
    n = o.sum((-1, -2))
    chance = (o.sum(-1) * o.sum(-2)).sum(-1) / n**2
    return (np.trace(o, axis1=-2, axis2=-1) / n - chance) / (1 - chance)


def jackknife(of: Any, each: NDArray) -> Interval:
    k, whole = len(each), of(each.sum(0))
    error = np.sqrt((k - 1) / k * ((of(each.sum(0) - each) - whole) ** 2).sum())
    half = t.ppf(0.975, k - 1) * error
    return (whole - half, whole + half) if half > 1e-9 else None


def palates_alpha(people: NDArray, names: NDArray) -> Interval:
    columns = list(combinations(people.T, 2))
    same = np.stack([x == y for x, y in columns], 1)
    rows = names.repeat(len(columns)).tolist()
    result = alpha(dict(enumerate(row)) for row in people.tolist())
    rate = Rate.of_pairings(same.ravel().tolist(), rows)
    return beyond_chance(rate, result[1]) if result else None


def palates_kappa(said: NDArray, names: NDArray) -> Interval:
    votes, judge = said[:, :-1], said[:, -1:].repeat(said.shape[1] - 1, 1)
    people = np.tile(np.arange(votes.shape[1]), len(votes))
    rate = Rate.of((votes == judge).ravel().tolist(), names.repeat(votes.shape[1]).tolist(), people)
    chance = sum((votes == k).mean() * (judge == k).mean() for k in range(KINDS))
    return beyond_chance(rate, 1 - float(chance))


def simulate(prompts: int, people: int, pairs: int, clear: Any, runs: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    every = judgements(random, TRUTH, 1, people, clear)
    truth = {
        "α": float(alpha_of(coincidences(every[:, :-1], TRUTH).sum(0))),
        "κ": float(kappa_of(confusions(every, TRUTH).sum(0))),
    }
    names, tally = np.arange(prompts).repeat(pairs), {}
    for _ in range(runs):
        said = judgements(random, prompts, pairs, people, clear)
        with np.errstate(invalid="ignore", divide="ignore"):
            intervals = {
                ("α", "palate"): palates_alpha(said[:, :-1], names),
                ("α", "jackknife"): jackknife(alpha_of, coincidences(said[:, :-1], prompts)),
                ("κ", "palate"): palates_kappa(said, names),
                ("κ", "jackknife"): jackknife(kappa_of, confusions(said, prompts)),
            }
        for key, interval in intervals.items():
            if interval is not None and not np.isnan(interval[0]):
                held = interval[0] - 1e-9 <= truth[key[0]] <= interval[1] + 1e-9
                tally.setdefault(key, []).append((held, interval[1] - interval[0]))
    cell = {"prompts": prompts, "people": people, "pairs": pairs} | truth
    for (of, by), found in tally.items():
        held, width = np.mean(found, 0)
        cell[f"{of} {by}"] = {"covers": held, "width": width, "printed": len(found) / runs}
    return cell


def measure(runs: int) -> dict[str, Any]:
    sizes = [(g, m, p, c) for g in PROMPTS for m in PEOPLE for p in PAIRS for c in CLEARNESS]
    console = Console(stderr=True)
    cells = []
    for size in track(sizes, "cells", console=console, transient=True):
        cell = simulate(*size, runs)
        if min(cell["α palate"]["covers"], cell["κ palate"]["covers"]) < AGAIN:
            cell = simulate(*size, LONGER * runs)
        cells.append(cell)
    return {"cells": cells, "runs": runs}


METHODS = ("α palate", "α jackknife", "κ palate", "κ jackknife")


def table(figures: dict[str, Any]) -> str:
    lines = [f"| prompts | people | {' | '.join(METHODS)} |", "|---:" * 6 + "|"]
    for g in PROMPTS:
        for m in PEOPLE:
            own = [c for c in figures["cells"] if (c["prompts"], c["people"]) == (g, m)]
            lowest = (min(c[name]["covers"] for c in own if name in c) for name in METHODS)
            lines.append(f"| {g} | {m} | {' | '.join(f'{100 * x:.1f}%' for x in lowest)} |")
    printed = [min(c[name]["printed"] for c in figures["cells"] if name in c) for name in METHODS]
    shown = ", ".join(f"{n} {100 * x:.0f}%" for n, x in zip(METHODS, printed, strict=True))
    return "\n".join([*lines, "", f"Lowest share of tables with an interval: {shown}."])


if __name__ == "__main__":
    main(__doc__, 400, measure, table)
