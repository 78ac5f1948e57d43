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
from palate.train.records.choice import calibrated_loss, losses, right

FULL = ("full 3e-6", "full 1e-5", "full 3e-5")
ADAPTERS = ("lora 5e-5", "lora 2e-4", "lora 5e-4")
CHOICES = {
    "all weights, three rates": FULL,
    "an adapter, three rates": ADAPTERS,
    "both, three rates each": (*FULL, *ADAPTERS),
    "what the search tries first": (*FULL[1:], "lora 2e-4", "lora 2e-4, beta 0.3"),
}
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
    lines = [_line(name, by_fold, made) for name, by_fold in whole.items()]
    return "\n".join([HEAD, *lines, "", *_choices(whole, made)])


def _choices(runs: Mapping[str, Runs], made: list[folds.Fold]) -> list[str]:
    """Return the held-out accuracy where the choosing prompts choose among recipes, fold by fold.

    By the log loss at each recipe's best scale, as the recipe search does, and by accuracy.
    """
    lines = ["| chosen among | by log loss | by accuracy |", "|---|---:|---:|"]
    for words, names in CHOICES.items():
        known = [n for n in names if n in runs]
        cells = []
        for worse in (calibrated_loss, lambda m: -float(right(m).mean())):
            hits: list[float] = []
            for fold in made:
                last = [_last(runs[n][fold.number]) for n in known]
                best = min(last, key=lambda m, w=worse, f=fold: w(m[: f.choosing]))
                hits += list(right(best[fold.choosing :]))
            cells.append(f"{100 * fmean(hits):.1f}%")
        lines.append(f"| {words} | {cells[0]} | {cells[1]} |")
    return lines


def _last(run: dict[str, Any]) -> np.ndarray:
    margins = {int(step): m for step, m in run["margins"].items()}
    return np.array(margins[max(margins)])


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
