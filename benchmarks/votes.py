"""How often a verdict is wrong and how many votes it takes, by simulation with fixed seeds.

    python benchmarks/votes.py [--runs 2000] [--json]

The rule is applied after each vote of every simulated evaluation. Cells differ in the number of
prompts and voters, in how much votes on one prompt agree (their correlation, 0 to 0.5: each prompt
has another win rate), and in how much voters' tastes differ (likewise). `rounds`: each prompt is
asked once before any is asked again, over all people. `one person first`: a person votes on
everything before the next begins. One cell of each size has 30% ties and voters who favor a side.

`false_decided`: equal models that were called different after any vote; a cell above 4% is
simulated again with another seed and four times the runs, and that figure counts. The claim about
people is measured where tastes differ, the claim about prompts where they do not: the people who
voted may prefer one. `median_votes`: one person, one decisive vote a prompt.
`coverage`: evaluations whose interval held the true rate, with all votes in.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.special import betaln
from support.simulation import main

from palate.core import splits
from palate.core.project import Settings
from palate.core.schema import Prompt
from palate.evaluate import sequential
from palate.evaluate.decision import (
    PEOPLE_NEEDED,
    PROMPTS_NEEDED,
    people_effect,
    prompts_effect,
)

PROMPTS, VOTERS = (11, 20, 50, 100, 200), (1, 3, 5, 10, 30)
CORRELATIONS, TASTES = (0.0, 0.1, 0.3, 0.5), (0.1, 0.3)
RATES = (0.68, 0.75, 0.85)
IDEAS = 114  # of a simulated project, as many as the seed has
MOST_VOTES = 6_000  # of an evaluation
AGAIN = 0.04  # wrongly decided: such a cell is simulated again
TIES, SIDE = 0.3, 0.2  # of the cells that have them: share of ties, points that a side adds


@dataclass(frozen=True)
class Cell:
    prompts: int
    voters: int
    correlation: float = 0.0
    tastes: float = 0.0
    order: str = "rounds"
    ties: float = 0.0
    side: float = 0.0
    rate: float = 0.5

    @property
    def population(self) -> str:
        return "people" if self.tastes else "prompts"


@dataclass
class Sums:
    """What the rule needs of the votes so far, for each run; units are prompts or people."""

    total: NDArray  # (runs, units)
    count: NDArray  # (units,): every run has the same order
    squares: NDArray  # (runs,): Σ total²
    products: NDArray  # Σ total · count
    sizes: float = 0.0  # Σ count²

    @classmethod
    def of(cls, runs: int, units: int) -> "Sums":
        empty = np.zeros(runs)
        return cls(np.zeros((runs, units)), np.zeros(units), empty.copy(), empty.copy())

    def add(self, unit: int, results: NDArray) -> None:
        total, n = self.total[:, unit], self.count[unit]
        self.squares += 2 * total * results + results**2
        self.products += total + n * results + results
        self.sizes += 2 * n + 1
        self.total[:, unit] += results
        self.count[unit] += 1

    def variance(self, rate: NDArray) -> NDArray:
        between = self.squares - 2 * rate * self.products + rate**2 * self.sizes
        return np.maximum(between, 0.0)

    @property
    def units(self) -> int:
        return int((self.count > 0).sum())


def order_of(cell: Cell, random: np.random.Generator) -> list[tuple[int, int]]:
    """Return (prompt, person) of each vote."""
    prompts, voters = cell.prompts, cell.voters
    if cell.order == "rounds":
        order = random.permutation(prompts)
        turns = [(int(order[i]), (i + k) % voters) for k in range(voters) for i in range(prompts)]
    else:
        turns = [(int(p), v) for v in range(voters) for p in random.permutation(prompts)]
    return turns[:MOST_VOTES]


def rates_of(cell: Cell, runs: int, random: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Return each prompt's and each person's own win rate; people's are around one half."""

    def own(correlation: float, mean: float, units: int) -> NDArray:
        if not correlation:
            return np.full((runs, units), mean)
        scale = 1 / correlation - 1
        return random.beta(mean * scale, (1 - mean) * scale, (runs, units)).clip(1e-6, 1 - 1e-6)

    return own(cell.correlation, cell.rate, cell.prompts), own(cell.tastes, 0.5, cell.voters)


def simulate(cell: Cell, runs: int, seed: int, oracle: bool = False) -> tuple[NDArray, NDArray]:
    """Return for each run the vote at which it decided (below zero: for base; 0: never), and
    whether the interval after the last vote holds the truth."""
    random = np.random.default_rng(seed)
    prompt_rate, person_rate = rates_of(cell, runs, random)
    prompts, people = Sums.of(runs, cell.prompts), Sums.of(runs, cell.voters)
    wins, losses, ties = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    stop, effect = np.zeros(runs, int), np.ones(runs)
    for votes, (p, v) in enumerate(order_of(cell, random), 1):
        odds = prompt_rate[:, p] / (1 - prompt_rate[:, p])
        odds = odds * person_rate[:, v] / (1 - person_rate[:, v])
        sided = cell.side * random.choice((-1, 1), runs)
        won = random.random(runs) < (odds / (1 + odds) + sided).clip(0, 1)
        tied = random.random(runs) < cell.ties
        results = np.where(tied, 0.5, won)
        prompts.add(p, results)
        people.add(v, results)
        wins, losses, ties = wins + (won & ~tied), losses + (~won & ~tied), ties + tied
        enough = cell.population == "prompts" or people.units >= PEOPLE_NEEDED
        if prompts.units < PROMPTS_NEEDED or not enough:
            continue
        rate = (wins + ties / 2) / votes
        single = wins * (1 - rate) ** 2 + losses * rate**2 + ties * (0.5 - rate) ** 2
        count = float(votes)
        if oracle:
            effect = np.full(runs, 1 + cell.correlation * (prompts.sizes / votes - 1))
        elif cell.population == "prompts":
            effect = prompts_effect(count, prompts.sizes, prompts.variance(rate), single)
        else:
            effect = people_effect(
                count,
                (prompts.sizes, people.sizes),
                (prompts.variance(rate), people.variance(rate)),
                single,
            )
        decides = log_evidence(wins / effect, losses / effect) >= np.log(sequential.DECIDES)
        new = (stop == 0) & decides
        stop[new] = np.where(wins > losses, votes, -votes)[new]
    return stop, held(cell, wins, losses, ties, effect)


def held(cell: Cell, *sums: NDArray) -> NDArray:
    """Return whether the interval after the last vote holds the truth; first 200 runs."""
    truth = (1 - cell.ties) * cell.rate + cell.ties / 2
    inside = []
    for wins, losses, ties, effect in list(zip(*sums, strict=True))[:200]:
        low, high = sequential.sequence(wins / effect, losses / effect, ties / effect)
        inside.append(low <= truth <= high)
    return np.array(inside)


def log_evidence(wins: NDArray, losses: NDArray) -> NDArray:
    prior = sequential.PRIOR
    mixture = betaln(wins + prior, losses + prior) - betaln(prior, prior)
    return mixture + (wins + losses) * np.log(2)


def null_cells() -> list[Cell]:
    sizes = [(p, v) for p in PROMPTS for v in VOTERS if p * v <= MOST_VOTES]
    cells = [Cell(p, v, c) for p, v in sizes for c in CORRELATIONS]
    cells += [Cell(p, v, 0.3, ties=TIES, side=SIDE) for p, v in sizes]
    cells += [Cell(p, v, 0.3, order="one person first") for p, v in sizes if v > 1]
    many = [(p, v) for p, v in sizes if v >= PEOPLE_NEEDED]
    return cells + [
        Cell(p, v, c, t, order)
        for p, v in many
        for c in (0.0, 0.3)
        for t in TASTES
        for order in ("rounds", "one person first")
    ]


def vote_at(stop: NDArray, share: float) -> float | None:
    """Return the vote within which that share decides; None where fewer do."""
    at = np.where(stop == 0, np.inf, np.abs(stop))
    vote = float(np.quantile(at, share, method="lower"))
    return vote if np.isfinite(vote) else None


def measure(runs: int) -> dict[str, Any]:
    console = Console(stderr=True)
    false, cover = [], {}
    for cell in track(null_cells(), "equal models", console=console, transient=True):
        stop, inside = simulate(cell, runs, seed=1)
        if (stop != 0).mean() > AGAIN:
            stop, _ = simulate(cell, 4 * runs, seed=11)
        false.append(vars(cell) | {"false": float((stop != 0).mean())})
        cover[f"{cell}"] = float(inside.mean())
    alone = {str(r): vote_at(simulate(Cell(600, 1, rate=r), runs, 2)[0], 0.5) for r in RATES}
    return {
        "false_decided": {"worst": max(c["false"] for c in false), "cells": false},
        "median_votes": alone,
        "projects": projects(runs),
        "coverage": min(cover.values()),
        "runs": runs,
    }


def projects(runs: int) -> list[dict[str, Any]]:
    """Return how many projects of 114 ideas find tuned better, by one vote on each eval prompt."""
    ideas = [Prompt.of(f"idea {i}") for i in range(IDEAS)]
    drawn = splits.assign(ideas, [], Settings())
    kept = sum(p.split == "eval" for p in drawn)
    sizes = {
        "10% of the prompts": round(0.1 * IDEAS),
        "palate init": kept,
        "palate init, palate prompts": kept + splits.eval_missing(Settings(), drawn),
    }
    return [
        {"eval_prompts_by": by, "eval_prompts": n, "rate": RATES[1], "ties": ties}
        | {
            "decided": float(
                (simulate(Cell(n, 1, rate=RATES[1], ties=ties), runs, 4)[0] > 0).mean()
            )
        }
        for by, n in sizes.items()
        for ties in (0.0, 0.1)
    ]


def table(figures: dict[str, Any]) -> str:
    cells = figures["false_decided"]["cells"]
    lines = [
        "| prompts | voters | claim | order | worst false decided |",
        "|---:|---:|---|---|---:|",
    ]
    worst: dict[tuple, float] = {}
    for c in cells:
        claim = "people" if c["tastes"] else "prompts"
        key = (c["prompts"], c["voters"], claim, c["order"])
        worst[key] = max(worst.get(key, 0.0), c["false"])
    lines += [f"| {' | '.join(map(str, key))} | {100 * x:.1f}% |" for key, x in worst.items()]
    lines += ["", "| eval prompts by | number | ties | reach the verdict |", "|---|---:|---:|---:|"]
    lines += [
        f"| {p['eval_prompts_by']} | {p['eval_prompts']} | {100 * p['ties']:.0f}% |"
        f" {100 * p['decided']:.0f}% |"
        for p in figures["projects"]
    ]
    alone = ", ".join(f"{100 * float(r):.0f}%: {m:.0f}" for r, m in figures["median_votes"].items())
    return "\n".join([
        *lines, "", f"One person, a vote a prompt; median decisive votes at {alone}.",
        f"Worst of all cells {100 * figures['false_decided']['worst']:.1f}%;"
        f" lowest coverage {100 * figures['coverage']:.1f}%; {figures['runs']:,} runs each.",
    ])  # fmt: skip


if __name__ == "__main__":
    main(__doc__, 2_000, measure, table)
