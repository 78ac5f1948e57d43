"""What a real model learns from recorded labels, next to simple rules: five folds by prompt.

    python benchmarks/real.py [--model FOLDER] [--data pairs.csv] [--methods base,words,dpo]
                              [--folds 0,1] [--epochs 3] [--pairs N] [--workers N] [--minutes M]
                              [--out FILE] [--table] [--json]

FOLDER holds SmolLM2-135M-Instruct (`python -m palate.demo.smollm2 FOLDER` makes it); without
--model, the installed package makes one. All methods learn from the pairs of the other folds'
prompts and are measured on those of theirs, which chose nothing. Each fold of each method runs in a
new process, for its peak memory, and appends a line of JSON to --out. What that file holds is not
run again, so the same command continues. --pairs learns from the first N pairs only: TRL's batches
take hours on a CPU. --table runs nothing and prints the table of the file.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from support import folds, pool, real_table, titles, trained_reward

from palate.demo import smollm2
from palate.run.local import child_environment

SEEDS = 2  # answers per prompt
TRL_BEST = {"gradient_checkpointing": False, "precompute_ref_log_probs": True}


@dataclass(frozen=True)
class Task:
    """One method on one fold."""

    model: Path
    data: Path
    method: str
    fold: int
    epochs: float
    pairs: int | None

    def key(self) -> dict[str, Any]:
        return {k: getattr(self, k) for k in ("method", "fold", "epochs", "pairs")}


Method = Callable[[Task, folds.Fold], tuple[Any, Any]]  # → lead of each held-out row, and a model


def base(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    loaded = folds.load(task.model, _float32())
    return _likelihood_leads(loaded, fold), loaded


def words(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    from palate.audit.baselines import bag_of_words
    from palate.train.rows.data import as_audit_rows

    known, held = (as_audit_rows(rows, "") for rows in (fold.rows.train, fold.rows.test))
    return bag_of_words(known)(held), None


def probe(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    """Return the leads of a logistic regression on the frozen model's middle layer."""
    from palate.reward import features, probe
    from palate.reward.rows import Answers

    loaded = folds.load(task.model)
    rows = [*fold.rows.train, *fold.rows.test]
    answers = Answers.of(rows)
    texts = features.chats(loaded.tokenizer, answers.chats)
    layer = features.middle(loaded.model.config)
    by_layer = features.extract(loaded, texts, answers.prompts, [layer])
    pairs = answers.pairs(rows, "off")
    known = pairs.part(np.arange(len(fold.rows.train)))
    scores = probe.fitted(by_layer, known, probe.choose(by_layer, known, 1)).scores(by_layer)
    return (scores[pairs.first] - scores[pairs.second])[len(fold.rows.train) :], None


def sft(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    """Return the leads of the likelihood after training on the answers that won more than lost."""
    from palate.train.config import SFTArguments
    from palate.train.recipes.recipe import Machine, choose_sft_recipe
    from palate.train.rows.data import preferred_answers
    from palate.train.trainers.trainer import make_sft_trainer

    args = SFTArguments("me/titles", method="full")
    recipe = choose_sft_recipe(args, folds.PARAMETERS, Machine.here())
    rows = preferred_answers(args.project, replace(fold.rows, test=[]))
    loaded = folds.load(task.model, _float32())
    with tempfile.TemporaryDirectory() as out:
        trainer = make_sft_trainer(args, recipe, loaded, rows, Path(out), [], fresh=False)
        trainer.args.save_strategy = "no"
        trainer.train()
    return _likelihood_leads(loaded, fold), loaded


def dpo(task: Task, fold: folds.Fold, **changes: Any) -> tuple[Any, Any]:
    from palate.train.config import DPOArguments
    from palate.train.packed.references import LOGGED

    args = DPOArguments("me/titles", method="full", epochs=task.epochs, sft_weight=0.0)
    with tempfile.TemporaryDirectory() as references:
        trainer = folds.by_palate(
            task.model, fold, replace(args, **changes), Path(references), looks=False
        )
    entry = next(e for e in trainer.state.log_history if LOGGED in e)
    leads = [entry[LOGGED][str(i)] for i in range(len(fold.rows.test))]
    return leads, folds.models.Loaded("me/smollm2", "", trainer.model, trainer.processing_class)


def adapter(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    return dpo(task, fold, method="lora")


def dpo_sft(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    return dpo(task, fold, sft_weight=0.1)


def adapter_sft(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    return dpo(task, fold, method="lora", sft_weight=0.1)


def search(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    """Return the leads of the recipe that a plain `palate train` chooses on the train prompts."""
    from palate.terminal.console import PlainConsole
    from palate.train.config import DPOArguments
    from palate.train.recipes import search as recipe_search

    asked = DPOArguments("me/titles", epochs=task.epochs, sft_weight=0.0, output="me/titles-dpo")
    recipe = folds.recipe_of(asked, fold.rows.train)
    job = folds.job(task.model, replace(asked, method=recipe.method), recipe, fold.rows)
    plan = recipe_search.planned(job, asked)
    assert not isinstance(plan, str), plan
    facts, _ = recipe_search.run(PlainConsole(), job, plan)
    print(*facts.lines(), sep="\n", flush=True)
    kept = facts.kept
    recipe = {"learning_rate": kept.learning_rate, "beta": kept.beta, "epochs": kept.epochs}
    return dpo(task, fold, method=kept.method, **recipe)


def reward_full(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    return trained_reward.leads(task.model, fold, method="full"), None


def reward_adapter(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    return trained_reward.leads(task.model, fold, method="lora"), None


def trl(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    """Return the leads after TRL's trainer with its defaults, but for the steps in float32."""
    return _trl(task, fold, learning_rate=1e-6)


def trl_best(task: Task, fold: folds.Fold) -> tuple[Any, Any]:
    """Return the leads after TRL's fastest flags, at palate's learning rate."""
    from palate.train.recipes.recipe import dpo_rate

    return _trl(task, fold, learning_rate=dpo_rate("full", folds.PARAMETERS), **TRL_BEST)


def _trl(task: Task, fold: folds.Fold, **flags: Any) -> tuple[Any, Any]:
    result: dict[str, Any] = {}
    loaded = folds.by_trl(task.model, fold, result, num_train_epochs=task.epochs, **flags)
    return next(iter(result["margins"].values())), loaded


METHODS: dict[str, Method] = {
    f.__name__: f
    for f in (
        words,
        base,
        probe,
        reward_full,
        reward_adapter,
        sft,
        dpo,
        adapter,
        dpo_sft,
        adapter_sft,
        search,
        trl_best,
        trl,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--folds", default="0,1,2,3,4")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--out", type=Path, default=Path("real.jsonl"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        parser.error(f"{arguments.data} does not exist. Name a file with --data.")
    if unknown := set(arguments.methods.split(",")) - set(METHODS):
        parser.error(f"expected methods of {', '.join(METHODS)}, found {', '.join(unknown)}")
    if not arguments.table:
        with tempfile.TemporaryDirectory() as folder:
            if not arguments.model:
                arguments.model = Path(folder)
                smollm2.save_model(arguments.model)
            run_missing(arguments)
    lines = real_table.lines(arguments.out, arguments.data)
    print(json.dumps(lines) if arguments.json else real_table.table(lines))


def run_missing(arguments: argparse.Namespace) -> None:
    """Run what the file does not hold: fold by fold, so that all methods have the same ones."""
    done = [r["task"] for r in real_table.results(arguments.out)]
    tasks = [
        Task(arguments.model, arguments.data, method, number, arguments.epochs, arguments.pairs)
        for number in map(int, arguments.folds.split(","))
        for method in arguments.methods.split(",")
    ]
    left = [t for t in tasks if t.key() not in done]
    for task, result in pool.results(run, left, arguments.workers, arguments.minutes):
        if isinstance(result, Exception):
            print(f"{task.method}, fold {task.fold}: {result!r}", file=sys.stderr)
            continue
        with arguments.out.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(f"{task.method}, fold {task.fold}: {result['seconds']:.0f} s", file=sys.stderr)


def run(task: Task) -> dict[str, Any]:
    """Return what a method gives on a fold."""
    pool.begin()
    fold = folds.whole(folds.folds(folds.preferences(task.data))[task.fold])
    if task.pairs:
        fold = folds.fewer(fold, task.pairs)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PALATE_CACHE"] = cache
        leads, loaded = METHODS[task.method](task, fold)
    seconds = time.monotonic() - start
    prompts = {r.prompt_id: r.prompt for r in fold.rows.test} if loaded else {}
    written = [folds.answers(loaded, list(prompts.values()), n) for n in range(SEEDS) if loaded]
    return {
        "task": task.key(),
        "leads": [round(float(x), 4) for x in leads],
        "train_pairs": len(fold.rows.train),
        "seconds": round(seconds, 1),
        "peak_gb": _peak_gb(),
        "answers": [[a.text, a.ended] for part in written for a in part],
    }


def _likelihood_leads(loaded: Any, fold: folds.Fold) -> Any:
    chosen, rejected = np.array(folds.log_likelihoods(loaded, fold.rows.test)).T
    return chosen - rejected


def _float32() -> Any:
    import torch

    return torch.float32


def _peak_gb() -> float:
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


if __name__ == "__main__":
    environment = child_environment()
    if environment != dict(os.environ):  # glibc reads its settings for memory when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    main()
