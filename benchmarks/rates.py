"""How often the interval of a rate holds the truth when rows resemble each other; fixed seeds.

    python benchmarks/rates.py [--runs 1000] [--json]

A cell has a number of prompts and people, and a correlation of rows on one prompt and of rows of
one person (tastes). Rates are 50, 70, 90 and 97%. One person judges five rows a prompt, several
people one each; `uneven`: one person, 1 to 15 rows a prompt; `pairings`: ten people's agreement,
two by two, on one pair a prompt. The truth is the rate over other prompts; with five people or
more, also over other people.

Compared are `Rate`, Wilson's interval of the rows, Wilson's and the log odds' with the variance
that `Rate` measures, and resampled prompts. `alarms`: how often `Rate.p` is below 0.05 at a true
rate of one half. `controlled`: the interval of the win rate between answers alike, of votes that
follow length, side, formats and the prompt; its truth comes from 6,000 prompts. `differences`:
the interval of how much more often a model is right than a rule on the same rows, next to the
normal one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.special import expit, logit, ndtr, ndtri
from support.simulation import main

from palate.core.rates import (
    LEAST_CORRELATION,
    LEAST_CORRELATION_OF_PAIRINGS,
    PEOPLE_NEEDED,
    Rate,
    effective_rows,
    exact,
)
from palate.evaluate.confounds import Vote, controlled
from palate.train.records.results import lead

PROMPTS, PEOPLE = (5, 11, 20, 50, 100), (1, 3, 10)
CORRELATIONS, TASTES, RATES = (0.0, 0.1, 0.3, 0.5), (0.0, 0.1, 0.3), (0.5, 0.7, 0.9, 0.97)
ROWS_OF_ONE = 5  # a prompt
DRAWS = 400
AGAIN, LONGER = 0.94, 10  # a cell that covers less is simulated again, so many times as long
METHODS = ("Rate", "Wilson of rows", "Wilson, clustered", "log odds, clustered", "resampled")


@dataclass(frozen=True)
class Cell:
    kind: str  # people, uneven, pairings
    prompts: int
    people: int
    correlation: float
    tastes: float
    rate: float


@dataclass
class Rows:
    """One simulated table, and the rate that its interval should hold."""

    hits: NDArray
    prompts: NDArray
    people: NDArray
    truth: float
    least: float = LEAST_CORRELATION


def cells() -> Iterator[Cell]:
    for prompts in PROMPTS:
        for rate in RATES:
            for people in PEOPLE:
                for correlation in CORRELATIONS:
                    for tastes in TASTES if people > 1 else (0.0,):
                        if _latent(correlation) + _latent(tastes) < 0.95:
                            yield Cell("people", prompts, people, correlation, tastes, rate)
            for correlation in CORRELATIONS:
                yield Cell("uneven", prompts, 1, correlation, 0.0, rate)
        for correlation in CORRELATIONS:
            yield Cell("pairings", prompts, 10, correlation, 0.0, 0.5)


def _latent(correlation: float) -> float:
    """Return the correlation of normal variables whose signs correlate by so much."""
    return float(np.sin(np.pi / 2 * correlation))


def rows_of(cell: Cell, random: np.random.Generator) -> Rows:
    """Draw a table: a row is a hit where prompt, person and chance add up to more than zero."""
    each = 1 if cell.people > 1 else ROWS_OF_ONE
    counts = np.full(cell.prompts, cell.people * each)
    if cell.kind == "uneven":
        counts = random.integers(1, 16, cell.prompts)
    prompts = np.repeat(np.arange(cell.prompts), counts)
    people = np.concatenate([np.arange(n) % cell.people for n in counts])
    of_prompt, of_person = _latent(cell.correlation), _latent(cell.tastes)
    mean = float(ndtri(cell.rate))
    habits = random.normal(0, np.sqrt(of_person), cell.people)
    latent = mean + random.normal(0, np.sqrt(of_prompt), cell.prompts)[prompts] + habits[people]
    noise = random.normal(0, np.sqrt(1 - of_prompt - of_person), len(prompts))
    hits, truth = latent + noise > 0, cell.rate
    if cell.people < PEOPLE_NEEDED:  # the rate is that of these people
        truth = float(ndtr((mean + habits) / np.sqrt(1 - of_person)).mean())
    if cell.kind != "pairings":
        return Rows(hits, prompts, people, truth)
    table = hits.reshape(cell.prompts, cell.people)
    same = np.stack([table[:, i] == table[:, j] for i, j in combinations(range(cell.people), 2)], 1)
    prompts = np.repeat(np.arange(cell.prompts), same.shape[1])
    # of two votes with means of one half and a correlation c, (1 + c) / 2 agree
    truth = (1 + cell.correlation) / 2
    nobody = np.zeros(same.size, int)
    return Rows(same.ravel(), prompts, nobody, truth, LEAST_CORRELATION_OF_PAIRINGS)


def intervals(rows: Rows, draws: NDArray) -> tuple[dict[str, tuple[float, float]], float | None]:
    """Return each method's interval, and the p of `Rate` against one half."""
    prompts, people = rows.prompts.tolist(), rows.people.tolist()
    rate = Rate.of(rows.hits.tolist(), prompts, people, chance=0.5, least=rows.least)
    n, share = rate.n, rate.hits / rate.n
    effective = effective_rows(rows.hits.astype(float).tolist(), prompts, people, rows.least) or 0.0
    found = {"Rate": rate.interval or (0.0, 1.0), "Wilson of rows": _wilson(share, n)}
    found["Wilson, clustered"] = _wilson(share, effective)
    if 0 < share < 1:
        half = 1.96 / np.sqrt(effective * share * (1 - share))
        low, high = expit(logit(share) - half), expit(logit(share) + half)
        found["log odds, clustered"] = (float(low), float(high))
    else:
        found["log odds, clustered"] = found["Wilson, clustered"]
    hits, sizes = np.bincount(rows.prompts, rows.hits), np.bincount(rows.prompts)
    low, high = np.quantile(draws @ hits / (draws @ sizes), (0.025, 0.975))
    found["resampled"] = (float(low), float(high))
    return found, rate.p


def _wilson(share: float, n: float) -> tuple[float, float]:
    centre = (share + 1.96**2 / (2 * n)) / (1 + 1.96**2 / n)
    half = 1.96 / (1 + 1.96**2 / n) * np.sqrt(share * (1 - share) / n + 1.96**2 / (4 * n * n))
    return float(centre - half), float(centre + half)


def simulate(cell: Cell, runs: int, seed: int = 1) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    draws = random.multinomial(cell.prompts, np.full(cell.prompts, 1 / cell.prompts), size=DRAWS)
    kept, width, alarms = dict.fromkeys(METHODS, 0), 0.0, 0
    for _ in range(runs):
        rows = rows_of(cell, random)
        found, p = intervals(rows, draws)
        for name, (low, high) in found.items():
            kept[name] += low - 1e-9 <= rows.truth <= high + 1e-9
        width += found["Rate"][1] - found["Rate"][0]
        alarms += p is not None and p < 0.05
    covered = {name: n / runs for name, n in kept.items()}
    if covered["Rate"] < AGAIN and seed == 1:
        return simulate(cell, LONGER * runs, seed=11)
    half = cell.kind != "pairings" and cell.rate == 0.5
    tested = half and (cell.people >= PEOPLE_NEEDED or not cell.tastes)
    return vars(cell) | {
        "coverage": covered, "width": width / runs, "alarms": alarms / runs if tested else None,
    }  # fmt: skip


CONTROLLED = ((20, 0), (30, 1), (50, 3), (70, 5), (100, 3))  # prompts, formats
VOTES = ((1, 0.0), (5, 1.0), (20, 1.5))  # a prompt, and how far prompts differ, in log odds
MARKS = ('"x"', "7", "?", "!", ":")  # each is a format


def votes_of(prompts: int, formats: int, each: int, spread: float, mean: float, seed: int) -> list:
    """Draw votes that follow quality, length, side and formats."""
    random, votes = np.random.default_rng(seed), []
    for prompt in range(prompts):
        has = random.random((2, formats)) < [[0.3], [0.5]]
        base, tuned = (
            "w" * int(random.integers(low, high)) + "".join(np.array(MARKS[:formats])[marked])
            for (low, high), marked in zip(((10, 40), (15, 60)), has, strict=True)
        )
        quality = mean + random.normal(0, spread) if spread else mean
        length = np.log((len(tuned) + 1) / (len(base) + 1))
        for _ in range(each):
            left = bool(random.random() < 0.5)
            odds = quality + 0.8 * length + 0.3 * (has[1].sum() - has[0].sum()) + (left - 0.5) * 0.6
            won = float(random.random() < expit(odds))
            votes.append(Vote(f"q{prompt}", base, tuned, left, won))
    return votes


def controlled_cells(runs: int) -> list[dict[str, Any]]:
    cells = []
    for prompts, formats in CONTROLLED:
        for each, spread in VOTES:
            for mean in (0.0, 1.0):
                truth = controlled(votes_of(6_000, formats, 3, spread, mean, 9_999))
                drawn = (
                    controlled(votes_of(prompts, formats, each, spread, mean, seed))
                    for seed in range(runs)
                )
                inside = [
                    c.interval[0] <= truth.rate <= c.interval[1] for c in drawn if c and truth
                ]
                cells.append({
                    "prompts": prompts, "formats": formats, "votes": each, "rate": truth.rate,
                    "coverage": sum(inside) / len(inside), "printed": len(inside) / runs,
                })  # fmt: skip
    return cells


TEST_PROMPTS, TEST_ROWS = (6, 11, 20, 50, 100), (1, 3)  # rows a prompt
# how often the model alone is right, and the rule alone
ALONE = ((0.5, 0.0), (0.4, 0.1), (0.2, 0.2), (0.1, 0.05), (0.3, 0.25))
COPIED = 0.5  # of the rows of a prompt, go as its first draw did


def differences_cells(runs: int) -> list[dict[str, Any]]:
    """Simulate test rows of which the model, the rule, both or neither are right."""
    cells = []
    for prompts, rows, (model, rule) in product(TEST_PROMPTS, TEST_ROWS, ALONE):
        random, kept, normal = np.random.default_rng(1), 0, 0
        names = [f"p-{i // rows}" for i in range(prompts * rows)]
        for _ in range(runs):
            own = random.choice([1.0, -1.0, 0.0], len(names), p=[model, rule, 1 - model - rule])
            of_prompt = np.repeat(own[::rows], rows)
            drawn = np.where(random.random(len(names)) < COPIED, of_prompt, own)
            low, high = lead(drawn, names).interval or (-1.0, 1.0)
            kept += low - 1e-9 <= model - rule <= high + 1e-9
            worth, mean = effective_rows(drawn.tolist(), names) or 1.0, float(drawn.mean())
            half = 1.96 * float(drawn.std()) / np.sqrt(worth)
            low, high = mean - half, mean + half
            if not half:  # without variation: as if each row were a vote
                low, high = (2 * x - 1 for x in exact(worth * (1 + mean) / 2, worth))
            normal += low - 1e-9 <= model - rule <= high + 1e-9
        cells.append({
            "prompts": prompts, "rows": rows, "model": model, "rule": rule,
            "coverage": kept / runs, "normal": normal / runs,
        })  # fmt: skip
    return cells


def differences_lines(cells: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| prompts | rows a prompt | difference: lowest coverage | normal |",
        "|---:|---:|---:|---:|",
    ]
    for prompts, rows in product(TEST_PROMPTS, TEST_ROWS):
        of = [c for c in cells if (c["prompts"], c["rows"]) == (prompts, rows)]
        worst = [f"{100 * min(c[name] for c in of):.1f}%" for name in ("coverage", "normal")]
        lines.append(f"| {prompts} | {rows} | {' | '.join(worst)} |")
    return lines


def measure(runs: int) -> dict[str, Any]:
    console = Console(stderr=True)
    every = track(list(cells()), "cells", console=console, transient=True)
    results = [simulate(cell, runs) for cell in every]
    return {
        "coverage": min(c["coverage"]["Rate"] for c in results),
        "alarms": max(c["alarms"] for c in results if c["alarms"] is not None),
        "cells": results,
        "controlled": controlled_cells(max(runs // 3, 10)),
        "differences": differences_cells(runs),
        "runs": runs,
    }


def table(figures: dict[str, Any]) -> str:
    lines = [f"| rows | prompts | people | {' | '.join(METHODS)} | alarms |", "|---|" + "---:|" * 8]
    groups: dict[tuple, list[dict]] = {}
    for c in figures["cells"]:
        groups.setdefault((c["kind"], c["prompts"], c["people"]), []).append(c)
    for key, group in sorted(groups.items(), key=lambda item: (item[0][0], item[0][2], item[0][1])):
        worst = [min(c["coverage"][name] for c in group) for name in METHODS]
        alarms = [c["alarms"] for c in group if c["alarms"] is not None]
        last = f"{100 * max(alarms):.1f}%" if alarms else ""
        shown = " | ".join(f"{100 * w:.1f}%" for w in worst)
        lines.append(f"| {' | '.join(map(str, key))} | {shown} | {last} |")
    lines += [
        "",
        "| prompts | formats | controlled: lowest coverage | mean |",
        "|---:|---:|---:|---:|",
    ]
    for prompts, formats in CONTROLLED:
        of = [
            c for c in figures["controlled"] if (c["prompts"], c["formats"]) == (prompts, formats)
        ]
        covered = [100 * c["coverage"] for c in of]
        mean = sum(covered) / len(covered)
        lines.append(f"| {prompts} | {formats} | {min(covered):.1f}% | {mean:.1f}% |")
    return "\n".join([
        *lines, "", *differences_lines(figures["differences"]), "",
        f"Lowest coverage of `Rate` {100 * figures['coverage']:.1f}%, most false alarms"
        f" {100 * figures['alarms']:.1f}%; {figures['runs']:,} runs a cell.",
    ])  # fmt: skip


if __name__ == "__main__":
    main(__doc__, 1_000, measure, table)
