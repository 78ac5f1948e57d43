"""What stopping at the decision does to a win rate, a forecast and a series of rounds.

    python benchmarks/stopping.py [--runs 400] [--json]

One decisive vote a prompt, a look after every vote. `stopped`: the mean win rate at the vote that
decides, if one of 500 does, as it is and corrected (exact). `rounds`: equal models called better in
any of so many rounds on the same prompts (an exact bound), with the rule of later rounds and
without. `ahead`: how often "half decide within N more votes, four in five within M" came true, said
after ten votes, over win rates as likely as the rule takes them to be. `high`: how many times as
often as evidence of 20 to 1,000 should come up at most, it does, where several people vote on each
prompt and equal models win prompts that correlate.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln
from support.simulation import main

from palate.evaluate import sequential
from palate.evaluate.decision import PROMPTS_NEEDED, Evidence, prompts_effect, share
from palate.evaluate.planning import MOST, stopping, to_go

RATES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85)
ROUNDS = (1, 2, 5, 10, 20)
THRESHOLDS = (20, 40, 100, 300, 1000)
CELLS = ((11, 20, 0.0), (11, 20, 0.3), (11, 20, 0.5), (20, 20, 0.3), (50, 8, 0.3))


def ahead(runs: int) -> dict[str, float]:
    """Return how many evaluations decided within the forecast after ten votes."""
    random = np.random.default_rng(4)
    within: dict[str, list[bool]] = {"half": [], "most": []}
    while len(within["half"]) < runs:
        rate = random.beta(sequential.PRIOR, sequential.PRIOR)
        won = random.random(10 + MOST) < rate
        counted = Evidence()
        for i in range(10):
            counted.add(i, 0, float(won[i]))
        claim = counted.about("prompts")
        if claim.decided:
            continue
        said = to_go(counted.wins, counted.losses, claim, left=0, seed=len(within["half"]))
        wins, votes = won.cumsum()[10:], np.arange(11, 11 + MOST)
        over = _log_evidence(wins, votes - wins) >= np.log(sequential.DECIDES)
        more = float(over.argmax() + 1) if over.any() else np.inf
        for name, limit in (("half", said.half), ("most", said.most)):
            within[name].append(more <= (MOST if limit is None else limit))
    return {name: float(np.mean(held)) for name, held in within.items()}


def stopped(rate: float, most: int = 500) -> dict[str, float]:
    """Return the mean win rate at the vote that decides, as it is and corrected."""
    chance, total = np.zeros(most + 2), np.zeros(3)
    chance[0] = 1.0
    for n in range(1, most + 1):
        moved = chance * (1 - rate)
        moved[1:] += chance[:-1] * rate
        wins = np.arange(n + 1)
        over = _log_evidence(wins, n - wins) >= np.log(sequential.DECIDES)
        gone = np.where(over, moved[: n + 1], 0.0)
        corrected = (wins + sequential.PRIOR) / (n + 2 * sequential.PRIOR)
        total += gone.sum(), gone @ (wins / n), gone @ corrected
        moved[: n + 1][over] = 0.0
        chance = moved
    return {"rate": float(total[1] / total[0]), "corrected": float(total[2] / total[0])}


def rounds(number: int) -> dict[str, float]:
    """Return a bound on the chance that equal models are called better in any round."""
    each = [
        float(stopping(0.5, sequential.DECIDES / share(k))[-1]) / 2 for k in range(1, number + 1)
    ]
    return {"spending": sum(each), "the same rule": min(1.0, number * each[0])}


def high(prompts: int, people: int, correlation: float, runs: int) -> dict[str, float]:
    """Return, by evidence, how often it came up at any look, over how often it may."""
    random = np.random.default_rng(5)
    wins_each = np.full((runs, prompts), 0.5)
    if correlation:
        shape = (1 - correlation) / correlation / 2
        wins_each = random.beta(shape, shape, (runs, prompts))
    wins, votes, best = np.zeros((runs, prompts)), np.zeros(prompts), np.full(runs, -np.inf)
    for n in range(1, prompts * people + 1):
        prompt = (n - 1) % prompts
        wins[:, prompt] += random.random(runs) < wins_each[:, prompt]
        votes[prompt] += 1
        if n < PROMPTS_NEEDED:
            continue
        total = wins.sum(1)
        rate = total / n
        clustered = ((wins - rate[:, None] * votes) ** 2).sum(1)
        single = n * rate * (1 - rate)
        effect = prompts_effect(np.full(runs, float(n)), (votes**2).sum(), clustered, single)
        best = np.maximum(best, _log_evidence(total / effect, (n - total) / effect))
    return {str(t): float((best >= np.log(t)).mean() * t) for t in THRESHOLDS}


def _log_evidence(wins: NDArray, losses: NDArray) -> NDArray:
    prior = sequential.PRIOR
    mixture = betaln(wins + prior, losses + prior) - betaln(prior, prior)
    return mixture + (wins + losses) * np.log(2)


def measure(runs: int) -> dict[str, Any]:
    return {
        "stopped": {str(rate): stopped(rate) for rate in RATES},
        "rounds": {str(number): rounds(number) for number in ROUNDS},
        "ahead": ahead(runs),
        "high": {
            f"{prompts} × {people}, {correlation}": high(prompts, people, correlation, 15 * runs)
            for prompts, people, correlation in CELLS
        },
        "runs": runs,
    }


def table(figures: dict[str, Any]) -> str:
    lines = ["| truth | rate at the vote that decides | corrected |", "|---:|---:|---:|"]
    for rate, at in figures["stopped"].items():
        shown = f"{100 * at['rate']:.1f}% | {100 * at['corrected']:.1f}%"
        lines.append(f"| {100 * float(rate):.0f}% | {shown} |")
    lines += ["", "| rounds on the same prompts | any called better | with the rule of round 1 |"]
    lines += ["|---:|---:|---:|"]
    for number, at in figures["rounds"].items():
        shown = f"{100 * at['spending']:.1f}% | {100 * at['the same rule']:.1f}%"
        lines.append(f"| {number} | {shown} |")
    lines += ["", "| prompts × people, correlation | " + " | ".join(map(str, THRESHOLDS)) + " |"]
    lines += ["|---|" + "---:|" * len(THRESHOLDS)]
    for name, at in figures["high"].items():
        lines.append(f"| {name} | " + " | ".join(f"{times:.1f}" for times in at.values()) + " |")
    said = figures["ahead"]
    return "\n".join([
        *lines, "", f"Decided within the forecast for half: {100 * said['half']:.0f}%;"
        f" for four in five: {100 * said['most']:.0f}%; {figures['runs']} runs.",
    ])  # fmt: skip


if __name__ == "__main__":
    main(__doc__, 400, measure, table)
