"""The table of `recipes.py`: held-out figures of each recipe over all folds, by prompt."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from support import folds, titles

from palate.core.rates import clustered
from palate.train.choice import losses, right

Runs = Mapping[int, dict[str, Any]]  # of one recipe, by fold
HEAD = (
    "| recipe | reward accuracy, last step | 95% interval | step of the lowest loss | test loss |"
    " answers that end | words |\n|---|---:|---:|---:|---:|---:|---:|"
)


def table(file: Path, data: Path = titles.DATA) -> str:
    """Return a line for each recipe that all folds were trained with."""
    made = folds.folds(folds.preferences(data))
    runs: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for line in file.read_text("utf-8").splitlines():
        result = json.loads(line)
        runs[result["name"]][result["fold"]] = result
    whole = {name: by_fold for name, by_fold in runs.items() if len(by_fold) == folds.FOLDS}
    return "\n".join([HEAD, *(_line(name, by_fold, made) for name, by_fold in whole.items())])


def _line(name: str, runs: Runs, made: list[folds.Fold]) -> str:
    answers = [answer for run in runs.values() for answer in run["answers"]]
    written = (
        f" {100 * fmean(ended for _, ended in answers):.0f}%"
        f" | {fmean(len(text.split()) for text, _ in answers):.1f} |"
    )
    if name == "base":
        hits, prompts = _base_hits(runs, made)
        return f"| {name} (likelihood) | {_rate(hits, prompts)} | | |{written}"
    last, lowest, loss, prompts = [], [], [], []
    for fold in made:
        run = runs[fold.number]
        margins = {int(step): np.array(m) for step, m in run["margins"].items()}
        step = min(margins, key=lambda s: float(losses(margins[s][: fold.choosing]).mean()))
        measured = margins[max(margins)][fold.choosing :]
        last += list(right(measured))
        lowest += list(right(margins[step][fold.choosing :]))
        loss += list(losses(measured))
        prompts += [r.prompt_id for r in fold.rows.test[fold.choosing :]]
    chosen = f"{100 * fmean(lowest):.1f}%" if len(margins) > 1 else ""
    return f"| {name} | {_rate(last, prompts)} | {chosen} | {fmean(loss):.3f} |{written}"


def _base_hits(runs: Runs, made: list[folds.Fold]) -> tuple[list[float], list[str]]:
    hits, prompts = [], []
    for fold in made:
        chosen, rejected = np.array(runs[fold.number]["log_likelihoods"])[fold.choosing :].T
        hits += list(right(chosen - rejected))
        prompts += [r.prompt_id for r in fold.rows.test[fold.choosing :]]
    return hits, prompts


def _rate(hits: list[float], prompts: list[str]) -> str:
    interval = clustered(hits, prompts)
    low, high = (100 * x for x in interval) if interval else (0.0, 100.0)
    return f"{100 * fmean(hits):.1f}% | {low:.1f}–{high:.1f}"
