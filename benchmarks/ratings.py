"""How often the intervals of ratings hold, by simulation with fixed seeds.

    python benchmarks/ratings.py [--runs 400] [--json]

Four models; each person votes on every pair of them on each prompt. Prompts and people have
leanings: each shifts every model's strength by a normal amount (standard deviation `prompt` and
`person`, in log odds). The truth is what infinitely many prompts would give: with the people who
voted where they are fewer than five, else with infinitely many people.

`covers`: intervals, over all pairs of models, that held it. `far`: those of a model that wins nine
votes in ten, and in small evaluations every one. `wrong`: evaluations of four equal models in which
places told any two apart; fewer than five people have no leanings there, since their own taste is
then the truth.
"""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.special import expit
from support.simulation import main

from palate.core.rates import ALPHA
from palate.evaluate.bradley_terry import SCALE, Games, Strengths, strengths
from palate.evaluate.decision import PEOPLE_NEEDED

PROMPTS, PEOPLE = (11, 20, 50, 100), (1, 3, 10)
UNEQUAL, EQUAL, APART = (0.0, 0.3, 0.6, 1.2), (0.0,) * 4, (0.0, 0.3, 0.6, 2.8)
PAIRS = list(combinations(range(4), 2))
FAR = [(i, 3) for i in range(3)]
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)  # integrate over normal leanings
Floats = NDArray[np.float64]


def simulate(
    strength: Floats, prompts: int, people: int, leanings: tuple[float, float], seed: int
) -> tuple[Strengths, Floats]:
    """Return the fit of one evaluation, and the true points."""
    random = np.random.default_rng(seed)
    by_prompt = random.normal(0, leanings[0], (prompts, 4))
    by_person = random.normal(0, leanings[1], (people, 4))
    p, v, g = np.meshgrid(np.arange(prompts), np.arange(people), np.arange(6), indexing="ij")
    p, v, g = p.ravel(), v.ravel(), g.ravel()
    left, right = np.array(PAIRS).T[:, g]
    latent = strength + by_prompt[p] + by_person[v]
    rows = np.arange(len(p))
    won = random.random(len(p)) < expit(latent[rows, left] - latent[rows, right])
    games = Games(4, left, right, won.astype(float), p, v)
    fixed = people < PEOPLE_NEEDED
    spread = np.hypot(leanings[0], 0.0 if fixed else leanings[1])
    return strengths(games), truth(strength + by_person * fixed, np.sqrt(2) * spread)


def truth(strength: Floats, spread: float) -> Floats:
    """Return the points to which more and more votes would lead; `strength` is (people, 4)."""
    x = np.array([strength[:, i] - strength[:, j] for i, j in PAIRS])[..., None] + spread * NODES
    chance = (expit(x) @ WEIGHTS / WEIGHTS.sum()).mean(1)
    logits = np.zeros(4)
    x = np.zeros((6, 4))
    for row, (i, j) in enumerate(PAIRS):
        x[row, i], x[row, j] = 1, -1
    for _ in range(50):
        fitted = expit(x @ logits)
        information = (x * (fitted * (1 - fitted))[:, None]).T @ x
        logits += np.linalg.pinv(information) @ x.T @ (chance - fitted)
    return SCALE * logits


def cell(prompts: int, people: int, leanings: tuple[float, float], runs: int) -> dict[str, Any]:
    held, far, wrong = [], [], 0
    own = leanings if people >= PEOPLE_NEEDED else (leanings[0], 0.0)
    for seed in range(runs):
        for strength, kept, pairs in ((UNEQUAL, held, PAIRS), (APART, far, FAR)):
            found, points = simulate(np.array(strength), prompts, people, leanings, seed)
            for i, j in pairs:
                low, high = found.interval(i, j)
                kept.append(low <= points[i] - points[j] <= high)
        equal, _ = simulate(np.array(EQUAL), prompts, people, own, runs + seed)
        alpha = ALPHA / len(PAIRS)
        wrong += any(equal.differ(i, j, alpha) or equal.differ(j, i, alpha) for i, j in PAIRS)
    return {
        "prompts": prompts, "people": people, "prompt": leanings[0], "person": leanings[1],
        "covers": float(np.mean(held)), "far": float(np.mean(far)), "wrong": wrong / runs,
        "runs": runs,
    }  # fmt: skip


def measure(runs: int) -> dict[str, Any]:
    sizes = [(p, v) for p in PROMPTS for v in PEOPLE]
    cells = [
        cell(p, v, leanings, max(runs * 11 // p, runs // 2))
        for p, v in track(sizes, console=Console(stderr=True), transient=True)
        for leanings in ((0.0, 0.0), (0.7, 0.5))
    ]
    return {"cells": cells, "lowest": min(min(c["covers"], c["far"]) for c in cells), "runs": runs}


def table(figures: dict[str, Any]) -> str:
    lines = [
        "| prompts | people | leanings | held | of a far model | wrongly told apart |",
        "|---:|---:|---|---:|---:|---:|",
    ]
    for c in figures["cells"]:
        shares = " | ".join(f"{100 * c[k]:.1f}%" for k in ("covers", "far", "wrong"))
        leanings = "yes" if c["prompt"] else "no"
        lines.append(f"| {c['prompts']} | {c['people']} | {leanings} | {shares} |")
    return "\n".join([*lines, "", f"Lowest: {100 * figures['lowest']:.1f}%."])


if __name__ == "__main__":
    main(__doc__, 400, measure, table)
