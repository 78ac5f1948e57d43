"""The table of `minutes.py`: judgements until it was decided, over the seeds of each way."""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

NAMES = {
    "random": "DPO, pairs in random order",
    "ranking": "DPO, a ranking",
    "uncertain": 'DPO, "uncertain" after 30 labels',
    "ai": "DPO, a judge's labels on all other pairs",
    "best-of-16": "best of 16, a ranking",
}
SECONDS = 5  # a judgement
GOAL = 240  # judgements
HEAD = (
    f"| way | labels | seeds | better | worse | open | at most {GOAL} judgements"
    " | median (quartiles) | minutes | true win rate |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)
Line = dict[str, Any]


def lines(results: Sequence[dict[str, Any]]) -> list[Line]:
    """Return the figures of each way and number of labels; undecided seeds need endlessly many."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        groups[result["task"]["way"], result["task"]["labels"]].append(result)
    return [_line(*key, groups[key]) for key in sorted(groups, key=_order)]


def _order(key: tuple[str, int]) -> tuple[int, int]:
    return list(NAMES).index(key[0]), key[1]


def _line(way: str, labels: int, runs: Sequence[dict[str, Any]]) -> Line:
    decisions = [r["decision"] for r in runs]
    needed = [math.inf if r["decision"] == "open" else float(r["given"] + r["votes"]) for r in runs]
    low, middle, high = np.quantile(needed, (0.25, 0.5, 0.75), method="inverted_cdf").tolist()
    return {
        "way": way, "labels": labels, "seeds": len(runs), "better": decisions.count("better"),
        "worse": decisions.count("worse"), "open": decisions.count("open"),
        "within": sum(n <= GOAL for n in needed), "median": middle, "quartiles": (low, high),
        "win_rate": fmean(r["win_rate"] for r in runs),
    }  # fmt: skip


def table(figures: Sequence[Line]) -> str:
    return "\n".join([HEAD, *map(_row, figures)])


def _row(line: Line) -> str:
    low, high = line["quartiles"]
    minutes = line["median"] * SECONDS / 60
    cells = (
        NAMES[line["way"]], str(line["labels"]), str(line["seeds"]), str(line["better"]),
        str(line["worse"]), str(line["open"]), str(line["within"]),
        f"{_number(line['median'])} ({_number(low)}–{_number(high)})",
        "" if math.isinf(minutes) else f"{minutes:.0f}", f"{100 * line['win_rate']:.0f}%",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _number(judgements: float) -> str:
    return "undecided" if math.isinf(judgements) else f"{judgements:.0f}"
