"""How many votes a verdict takes and how often it is wrong, by simulation with fixed seeds.

    python benchmarks/votes.py [--runs 10000] [--json]

Every simulated evaluation is looked at after each vote, up to 500. Voters see sides at random, one
in ten votes is a tie, and who is unsure takes the left side more often than the right. Compared are
palate's rule (the e-value reaches 20.2), Wilson's interval looked at after every vote from the
tenth on, a fixed number of votes (80 % power at 68 %), and a group-sequential design of five looks
(P. C. O'Brien, T. R. Fleming, Biometrics 35, 1979) of the same power. Coverage is the share of
evaluations in which the interval that palate shows held the truth after every one of 500 votes, the
lowest of several truths; `clustered` that of the interval over prompts, five votes on each.
"""

import argparse
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from palate.core import stats

MOST = 500
TIES = 0.1
LEFT = 0.1  # of the votes go to the left side, whatever stands there
TRUTHS = (0.68, 0.75, 0.85)
OBRIEN_FLEMING = 2.04  # of the fifth of five looks, two-sided 5 %


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.runs)
    print(json.dumps(figures) if arguments.json else table(figures))


def measure(runs: int) -> dict[str, Any]:
    rules = {
        "palate": anytime,
        "Wilson, peeking": peeking,
        "fixed": fixed,
        "group-sequential": group_sequential,
    }
    designs: dict[str, Any] = {}
    for name, rule in rules.items():
        equal = rule(*votes(0.5, runs, seed=1))
        found = {"false_better": float((equal > 0).mean()), "false": float((equal != 0).mean())}
        medians, power = {}, {}
        for truth in TRUTHS:
            wins, losses = votes(truth, runs, seed=2)
            stopped = rule(wins, losses)
            medians[str(truth)] = _median(stopped, wins, losses)
            power[str(truth)] = float((stopped > 0).mean())
        designs[name] = found | {"median_votes": medians, "found": power}
    cover = {str(t): coverage(t, max(runs // 10, 100)) for t in (0.5, 0.6, *TRUTHS, 0.95)}
    return {
        "false_better": designs["palate"]["false_better"],
        "median_votes": designs["palate"]["median_votes"],
        "coverage": min(cover.values()),
        "coverages": cover,
        "clustered": {
            f"{prompts} prompts": clustered(prompts, max(runs // 2, 100))
            for prompts in (20, 50, 100)
        },
        "designs": designs,
        "runs": runs,
    }


def votes(rate: float, runs: int, seed: int) -> tuple[Any, Any]:
    """Return wins and losses of tuned after each vote, shape (runs, 500).

    `rate` is that of the decisive votes. A share LEFT of them follows the side alone, so the others
    are as much surer as keeps the rate.
    """
    random = np.random.default_rng(seed)
    shape = (runs, MOST)
    tie = random.random(shape) < TIES
    tuned_left = random.random(shape) < 0.5
    sided = random.random(shape) < LEFT
    sure = (rate - LEFT / 2) / (1 - LEFT)
    won = np.where(sided, tuned_left, random.random(shape) < sure)
    return (won & ~tie).cumsum(1), (~won & ~tie).cumsum(1)


# A rule returns, for each run, the number of the vote that it stopped at: above zero for "better",
# below for "worse", 0 where it never did.


def anytime(wins: Any, losses: Any) -> Any:
    from scipy.special import betaln

    a = stats.PRIOR
    log = betaln(wins + a, losses + a) - betaln(a, a) + (wins + losses) * np.log(2)
    return _first(log >= np.log(stats.DECIDES), wins, losses)


def peeking(wins: Any, losses: Any) -> Any:
    n = wins + losses
    p = np.divide(wins, n, out=np.full(n.shape, 0.5), where=n > 0)
    z2 = 1.96**2
    half = np.sqrt(z2) * np.sqrt(p * (1 - p) * np.maximum(n, 1) + z2 / 4)
    away = np.abs(p - 0.5) * n > half  # Wilson's interval leaves out one half
    return _first(away & (n >= 10), wins, losses)


def fixed(wins: Any, losses: Any) -> Any:
    n = stats.votes_needed(0.68)
    return _looks(wins, losses, [n], [1.96])


def group_sequential(wins: Any, losses: Any) -> Any:
    most = stats.votes_needed(0.68) * 1.028  # what five looks cost at the same power
    looks = [round(most * k / 5) for k in range(1, 6)]
    return _looks(wins, losses, looks, [OBRIEN_FLEMING * (5 / k) ** 0.5 for k in range(1, 6)])


def _looks(wins: Any, losses: Any, looks: list[int], bounds: list[float]) -> Any:
    n = wins + losses
    stop = np.zeros(wins.shape, bool)
    for look, z in zip(looks, bounds, strict=True):
        at = (n >= look).argmax(1)
        rows = np.arange(len(n))
        difference = np.abs(wins[rows, at] - losses[rows, at])
        stop[rows, at] |= difference >= z * np.sqrt(n[rows, at])
    return _first(stop, wins, losses)


def _first(stop: Any, wins: Any, losses: Any) -> Any:
    at, any_ = stop.argmax(1), stop.any(1)
    rows = np.arange(len(stop))
    sign = np.where(wins[rows, at] > losses[rows, at], 1, -1)
    return np.where(any_, (at + 1) * sign, 0)


def _median(stopped: Any, wins: Any, losses: Any) -> float | None:
    """Return the median number of decisive votes at the stop; None where half never stopped."""
    at = np.abs(stopped) - 1
    n = (wins + losses)[np.arange(len(at)), np.maximum(at, 0)].astype(float)
    median = float(np.median(np.where(stopped == 0, np.inf, n)))
    return median if np.isfinite(median) else None


def coverage(rate: float, runs: int) -> float:
    """Return the share of runs whose interval held the win rate after every vote."""
    wins, losses = votes(rate, runs, seed=3)
    truth = (1 - TIES) * rate + TIES / 2
    inside = _inside(truth)
    kept = 0
    for w, m in zip(wins, losses, strict=True):
        kept += all(inside(int(a), int(b), k - int(a) - int(b)) for k, (a, b) in
                    enumerate(zip(w, m, strict=True), 1))  # fmt: skip
    return kept / runs


def _inside(truth: float) -> Callable[[int, int, int], bool]:
    @cache
    def inside(wins: int, losses: int, ties: int) -> bool:
        low, high = stats.sequence(wins, losses, ties)
        return low <= truth <= high

    return inside


def clustered(prompts: int, runs: int) -> float:
    """Return the coverage of the interval over prompts, whose own rates differ widely."""
    random = np.random.default_rng(4)
    truth, names = 0.65, np.repeat(np.arange(prompts), 5).tolist()
    kept = 0
    for seed in range(runs):
        each = random.beta(2 * truth, 2 * (1 - truth), prompts)
        won = (random.random((prompts, 5)) < each[:, None]).astype(float).ravel()
        low, high = stats.clustered(won.tolist(), names, seed=seed) or (0.0, 1.0)
        kept += low <= truth <= high
    return kept / runs


def table(figures: dict[str, Any]) -> str:
    head = "| rule | wrongly decided | wrongly better | " + " | ".join(
        f"median votes at {100 * float(t):.0f} % | found" for t in figures["median_votes"]
    )
    lines = [head + " |", "|---" * (3 + 2 * len(TRUTHS)) + "|"]
    for name, d in figures["designs"].items():
        cells = [f"{100 * d['false']:.1f} %", f"{100 * d['false_better']:.1f} %"]
        for truth, median in d["median_votes"].items():
            shown = "over 500" if median is None else f"{median:.0f}"
            cells += [shown, f"{100 * d['found'][truth]:.0f} %"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    cover = ", ".join(
        f"{100 * float(t):.0f} %: {100 * c:.1f} %" for t, c in figures["coverages"].items()
    )
    over = ", ".join(f"{name}: {100 * c:.1f} %" for name, c in figures["clustered"].items())
    return "\n".join(
        [*lines, "", f"Held at every vote, by truth: {cover}", f"Over prompts: {over}"]
    )


if __name__ == "__main__":
    main()
