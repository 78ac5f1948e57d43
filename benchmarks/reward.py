"""A reward model's probe on a real model and recorded labels, over five folds by prompt.

    python benchmarks/reward.py [--model FOLDER] [--data pairs.csv]
    python benchmarks/reward.py --trained FILE [--workers N] [--minutes M]

FOLDER holds SmolLM2-135M-Instruct (`python -m palate.demo.smollm2 FOLDER` makes it); without
--model, the installed package makes one. Each fold is scored by a probe of the other folds, which
also chose its penalty. The last probe is saved, and plain transformers scores all answers
with it.

--trained trains rewards by TRL with some rates and lengths, for a GPU. It appends to FILE,
continues from it, and prints its table.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from support import folds, pool, real_table, titles, trained_reward

from palate.core.rates import Rate
from palate.demo import smollm2
from palate.reward import classifier, features, figures, probe
from palate.reward.rows import Answers
from palate.train.recipes.trials import METHODS
from palate.train.records.choice import losses

# what differs from `palate reward`
TRAINED: dict[str, dict[str, Any]] = {
    f"{METHODS[method]}, {rate:g}, {epochs} epoch{'s' * (epochs > 1)}": {
        "method": method,
        "learning_rate": rate,
        "epochs": epochs,
    }
    for method, rates in {"full": (1e-5, 3e-5), "lora": (1e-4, 3e-4)}.items()
    for rate in rates
    for epochs in (1, 3)
}


@dataclass(frozen=True)
class Task:
    """A reward that is trained on a fold."""

    model: Path
    data: Path
    recipe: str
    fold: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--trained", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.model:
            arguments.model = Path(folder)
            smollm2.save_model(arguments.model)
        if arguments.trained:
            train_missing(arguments)
            print(trained_table(arguments.trained, arguments.data))
        else:
            measure(arguments.model, arguments.data)


def train_missing(arguments: argparse.Namespace) -> None:
    done = [(r["recipe"], r["fold"]) for r in real_table.results(arguments.trained)]
    tasks = [
        Task(arguments.model, arguments.data, name, number)
        for name in TRAINED
        for number in range(folds.FOLDS)
        if (name, number) not in done
    ]
    for task, result in pool.results(train, tasks, arguments.workers, arguments.minutes):
        if isinstance(result, Exception):
            print(f"{task.recipe}, fold {task.fold}: {result!r}", file=sys.stderr)
            continue
        with arguments.trained.open("a") as file:
            file.write(json.dumps(result) + "\n")


def train(task: Task) -> dict[str, Any]:
    pool.begin()
    fold = folds.whole(folds.folds(folds.preferences(task.data))[task.fold])
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PALATE_CACHE"] = cache
        leads = trained_reward.leads(task.model, fold, **TRAINED[task.recipe])
    seconds = round(time.monotonic() - start, 1)
    return {"recipe": task.recipe, "fold": task.fold, "leads": leads.tolist(), "seconds": seconds}


def trained_table(file: Path, data: Path) -> str:
    made = [folds.whole(fold) for fold in folds.folds(folds.preferences(data))]
    lines = ["| trained reward | pairs right, held out | log loss | seconds a fold |"]
    lines.append("|---|---:|---:|---:|")
    for name in TRAINED:
        runs = [r for r in real_table.results(file) if r["recipe"] == name]
        if len(runs) < folds.FOLDS:
            continue
        leads = np.concatenate([r["leads"] for r in runs])
        prompts = [row.prompt_id for r in runs for row in made[r["fold"]].rows.test]
        rate = _rate(Rate.of(list(leads > 0), prompts))
        seconds = np.mean([r["seconds"] for r in runs])
        lines.append(f"| {name} | {rate} | {losses(leads).mean():.3f} | {seconds:.0f} |")
    return "\n".join(lines)


def measure(model: Path, data: Path) -> None:
    start = time.monotonic()
    rows = folds.preferences(data)
    loaded = folds.load(model)
    answers = Answers.of(rows)
    texts = features.chats(loaded.tokenizer, answers.chats)
    layer = features.middle(loaded.model.config)
    found = features.extract(loaded, texts, answers.prompts, [layer])
    read = time.monotonic()
    pairs = answers.pairs(rows, "off")
    parts = [{r.prompt_id for r in f.rows.test[f.choosing :]} for f in folds.folds(rows)]
    leads, penalties = np.zeros(len(rows)), []
    for part in parts:
        held = pairs.of(part)
        known = pairs.part(~held)
        choice = probe.choose(found, known, 1)
        penalties.append(f"{choice.penalty:g}")
        scores = probe.fitted(found, known, choice).scores(found)
        leads[held] = (scores[pairs.first] - scores[pairs.second])[held]
    fitted = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        last = probe.fitted(found, pairs, choice)
        classifier.with_head(loaded, last).save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        plain, tokenizer = classifier.load(Path(folder))
        scores = classifier.scores(plain, tokenizer.pad_token_id, texts)
    off = np.abs(scores - last.scores(found)).max()
    prompts = [r.prompt_id for r in rows]
    rules = figures.rules_by_fold(rows, [], parts)
    accuracies, ahead = figures.compared(rules, leads, prompts)
    chances = figures.calibrated(leads, prompts, 0)
    assert chances is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print("| | |\n|---|---:|")
    print(f"| probe, held out | {_rate(Rate.of(list(leads > 0), prompts))} |")
    for name, accuracy in accuracies.items():
        print(f"| {name} | {accuracy.words()} |")
        print(f"| difference from it | {ahead[name].words()} |")
    print(f"| penalties chosen, on layer {layer} | {', '.join(penalties)} |")
    print(f"| calibration error | {100 * figures.calibration_error(chances):.1f} points |")
    print(f"| log loss (a coin: 0.693) | {-np.log(chances).mean():.3f} |")
    explained = figures.length_explains(scores, answers.lengths, answers.prompts)
    print(f"| length explains of the last fold's scores | {100 * explained:.0f}% |")
    print(f"| plain transformers differs by at most | {off:.1e} |")
    print(f"| features of {len(texts)} answers | {read - start:.0f} s |")
    print(f"| choosing and fitting, five folds | {fitted - read:.0f} s |")
    print(f"| peak memory | {peak:.1f} GB |")


def _rate(rate: Rate) -> str:
    low, high = rate.interval or (0.0, 1.0)
    return f"{100 * (rate.rate or 0):.1f}% ({100 * low:.1f}–{100 * high:.1f}%)"


if __name__ == "__main__":
    main()
