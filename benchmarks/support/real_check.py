"""`palate check` on a real model: the base model, models that were tuned, and models ruined."""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from support import folds, pool, real_table

from palate.check.config import CheckArguments
from palate.check.job import Scores, report, score
from palate.check.losses import CheckReport
from palate.generate import models

RUIN = 100  # times the usual rate
KINDS = ("full", "lora", f"full, rate × {RUIN}", f"lora, rate × {RUIN}")


@dataclass(frozen=True)
class Task:
    """The base model under a seed, or a model that was tuned on a fold."""

    model: Path
    data: Path
    kind: str
    number: int  # of the seed or the fold

    def key(self) -> list[Any]:
        return [self.kind, self.number]


def run_missing(arguments: argparse.Namespace) -> None:
    done = [r["task"] for r in real_table.results(arguments.out)]
    kinds = [(kind, int(n)) for kind in KINDS for n in arguments.folds.split(",")]
    kinds += [("base", n) for n in range(arguments.seeds)]
    tasks = [Task(arguments.model, arguments.data, *k) for k in kinds if list(k) not in done]
    for task, result in pool.results(run, tasks, arguments.workers, arguments.minutes):
        if isinstance(result, Exception):
            print(f"{task.kind}, {task.number}: {result!r}", file=sys.stderr)
            continue
        with arguments.out.open("a") as file:
            file.write(json.dumps(result) + "\n")


def run(task: Task) -> dict[str, Any]:
    """Return what the model of the task follows and guesses."""
    pool.begin()
    seed = task.number if task.kind == "base" else 0
    loaded = folds.load(task.model) if task.kind == "base" else tuned(task)
    found = score(loaded, [], CheckArguments("me/titles", seed=seed, batch_size=200), print)
    return {
        "task": task.key(), "followed": found.followed, "guessed": found.guessed,
        "passages": found.passages,
    }  # fmt: skip


def tuned(task: Task) -> models.Loaded:
    from palate.train.config import DPOArguments
    from palate.train.recipes.recipe import dpo_rate

    method: Any = task.kind[:4]
    rate = dpo_rate(method, folds.PARAMETERS) * (1 if task.kind == method else RUIN)
    args = DPOArguments(
        "me/titles", method=method, learning_rate=rate, sft_weight=0.0, reckless=True
    )
    fold = folds.whole(folds.folds(folds.preferences(task.data))[task.number])
    with tempfile.TemporaryDirectory() as references:
        trainer = folds.by_palate(task.model, fold, args, Path(references), looks=False)
    return models.Loaded("me/smollm2", "", trainer.model, trainer.processing_class)


def table(file: Path) -> str:
    """Return the alarms of each kind, and what its models follow and guess on average."""
    scores: dict[str, dict[int, Scores]] = {}
    for r in real_table.results(file):
        found = Scores(r["followed"], [], r["guessed"], r["passages"])
        scores.setdefault(r["task"][0], {})[r["task"][1]] = found
    base = scores.get("base", {})
    if 0 not in base:
        return "The base model under seed 0 is missing."
    rows = [_row("base, another seed", [_report(x, y) for x, y in combinations(base.values(), 2)])]
    for kind in KINDS:
        if kind in scores:
            rows.append(_row(kind, [_report(base[0], s) for s in scores[kind].values()]))
    head = "| model | comparisons | alarms | instructions followed | next tokens guessed |"
    return "\n".join([head, "|---|---:|---:|---:|---:|", *rows])


def _report(base: Scores, other: Scores) -> CheckReport:
    source = models.Source("me/smollm2", "", Path(), folds.PARAMETERS)
    return report(source, source, [base, other], CheckArguments("me/titles"))


def _row(kind: str, reports: list[CheckReport]) -> str:
    if not reports:
        return f"| {kind} | 0 | | | |"
    alarms = sum(bool(r.alarms()) for r in reports)
    shares = [
        f"{100 * fmean(r.abilities[i].base for r in reports):.1f}% →"
        f" {100 * fmean(r.abilities[i].tuned for r in reports):.1f}%"
        for i in (0, 1)
    ]
    return f"| {kind} | {len(reports)} | {alarms} | {' | '.join(shares)} |"
