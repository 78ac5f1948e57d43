"""What helps and what ruins DPO on a real model: many recipes, each on five folds by prompt.

    python benchmarks/recipes.py [--model FOLDER] [--data pairs.csv] [--workers 8] [--minutes 8]
                                 [--only TEXT] [--folds 0,1] [--out FILE]

FOLDER holds SmolLM2-135M-Instruct (`python -m palate.demo.smollm2 FOLDER` makes it); without
--model, the installed package makes one. Every run appends a line of JSON to --out: the reward
margin of each held-out row after each quarter of an epoch, and how the model of the last step
answers. After --minutes no run begins: all of them take minutes on a GPU and days on two cores.
`--table FILE` prints the table of such a file.
"""

import argparse
import json
import multiprocessing
import queue
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from support import folds, titles

from palate.demo import smollm2

# name → what differs from `palate train`; in the order in which they are run
RECIPES: dict[str, dict[str, Any]] = {
    "full 1e-5": {"method": "full", "learning_rate": 1e-5},
    "lora 2e-4": {"method": "lora", "learning_rate": 2e-4},
    "full 1e-6": {"method": "full", "learning_rate": 1e-6},
    "trl default": {"trl": True, "learning_rate": 1e-6},
    "lora 5e-4": {"method": "lora", "learning_rate": 5e-4},
    "full 3e-5": {"method": "full", "learning_rate": 3e-5},
    "lora 1e-3": {"method": "lora", "learning_rate": 1e-3},
    "lora 5e-6": {"method": "lora", "learning_rate": 5e-6},
    "lora 5e-5": {"method": "lora", "learning_rate": 5e-5},
    "full 3e-6": {"method": "full", "learning_rate": 3e-6},
    "lora 2e-4, 10 epochs": {"method": "lora", "learning_rate": 2e-4, "epochs": 10},
    "full 1e-5, 10 epochs": {"method": "full", "learning_rate": 1e-5, "epochs": 10},
    "lora 2e-4, beta 0.03": {"method": "lora", "learning_rate": 2e-4, "beta": 0.03},
    "lora 2e-4, beta 0.3": {"method": "lora", "learning_rate": 2e-4, "beta": 0.3},
    "lora 2e-4, beta 1": {"method": "lora", "learning_rate": 2e-4, "beta": 1.0},
    "lora 2e-4, sft 0.1": {"method": "lora", "learning_rate": 2e-4, "sft_weight": 0.1},
    "lora 2e-4, sft 1": {"method": "lora", "learning_rate": 2e-4, "sft_weight": 1.0},
    "trl best": {"trl": True, "learning_rate": 1e-5},
    "full 1e-4": {"method": "full", "learning_rate": 1e-4},
    "lora 2e-3": {"method": "lora", "learning_rate": 2e-3},
    "lora 2e-4, ipo": {"method": "lora", "learning_rate": 2e-4, "loss": "ipo"},
    "lora 2e-4, hinge": {"method": "lora", "learning_rate": 2e-4, "loss": "hinge"},
    "lora 2e-4, robust 0.2": {
        "method": "lora", "learning_rate": 2e-4, "loss": "robust", "flip_rate": 0.2,
    },
    "lora 2e-4, apo_zero": {"method": "lora", "learning_rate": 2e-4, "loss": "apo_zero"},
    "lora 2e-4, norm beta 2": {
        "method": "lora", "learning_rate": 2e-4, "loss": "sigmoid_norm", "beta": 2.0,
    },
    "full 1e-5, norm beta 2": {
        "method": "full", "learning_rate": 1e-5, "loss": "sigmoid_norm", "beta": 2.0,
    },
    "lora 2e-4, batch 8": {"method": "lora", "learning_rate": 2e-4, "batch_size": 8},
    "lora 2e-4, batch 120": {"method": "lora", "learning_rate": 2e-4, "batch_size": 120},
    "full 1e-5, beta 0.03": {"method": "full", "learning_rate": 1e-5, "beta": 0.03},
    "full 1e-5, beta 0.3": {"method": "full", "learning_rate": 1e-5, "beta": 0.3},
    "full 1e-5, sft 0.1": {"method": "full", "learning_rate": 1e-5, "sft_weight": 0.1},
    "full 1e-5, batch 8": {"method": "full", "learning_rate": 1e-5, "batch_size": 8},
    "lora 2e-4, length": {"method": "lora", "learning_rate": 2e-4, "length_desensitized": True},
    "lora 2e-4, 300 pairs": {"method": "lora", "learning_rate": 2e-4, "pairs": 300},
    "lora 5e-4, 300 pairs": {"method": "lora", "learning_rate": 5e-4, "pairs": 300},
    "full 1e-5, 300 pairs": {"method": "full", "learning_rate": 1e-5, "pairs": 300},
    "lora 2e-4, 100 pairs": {"method": "lora", "learning_rate": 2e-4, "pairs": 100},
    "lora 5e-4, 100 pairs": {"method": "lora", "learning_rate": 5e-4, "pairs": 100},
    "lora 1e-4, 6 epochs": {"method": "lora", "learning_rate": 1e-4, "epochs": 6},
}  # fmt: skip
SEEDS = 2  # answers per prompt


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--only", default="", help="recipes whose name holds this")
    parser.add_argument("--folds", default="0,1,2,3,4")
    parser.add_argument("--out", type=Path, default=Path("recipes.jsonl"))
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    if arguments.table:
        from support.recipe_table import table

        print(table(arguments.table))
    elif not arguments.data.exists():
        parser.error(f"{arguments.data} does not exist. Name a file with --data.")
    elif arguments.model:
        run_all(arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            arguments.model = Path(folder)
            smollm2.save_model(arguments.model)
            run_all(arguments)


def run_all(arguments: argparse.Namespace) -> None:
    end = time.monotonic() + 60 * arguments.minutes
    context = multiprocessing.get_context("spawn")
    tasks, results = context.Queue(), context.Queue()
    numbers = [int(n) for n in arguments.folds.split(",")]
    names = ["base", *(name for name in RECIPES if arguments.only in name)]
    wanted = [(name, n) for name in names for n in numbers]
    for task in wanted + [None] * arguments.workers:
        tasks.put(task)
    workers = [
        context.Process(target=work, args=(arguments, tasks, results, end), daemon=True)
        for _ in range(arguments.workers)
    ]
    for worker in workers:
        worker.start()
    ended, count, start = 0, 0, time.monotonic()
    with arguments.out.open("a") as file:
        while ended < len(workers):
            try:
                result = results.get(timeout=5)
            except queue.Empty:
                if not any(w.is_alive() for w in workers):
                    break
                continue
            if result is None:
                ended += 1
                continue
            file.write(json.dumps(result) + "\n")
            file.flush()
            count += 1
            note = result.get("error") or f"{result['seconds']:.1f} s"
            at = time.monotonic() - start
            print(f"{at:5.0f} s  {count}/{len(wanted)}  {result['name']} {result['fold']}: {note}")
            sys.stdout.flush()


def work(arguments: argparse.Namespace, tasks: Any, results: Any, end: float) -> None:
    import torch

    from palate.generate.models import quiet

    torch.set_num_threads(1 if torch.cuda.is_available() else torch.get_num_threads())
    quiet()
    made = folds.folds(folds.preferences(arguments.data))
    while (task := tasks.get()) and time.monotonic() < end:
        name, number = task
        try:
            results.put(run(arguments.model, name, made[number]))
        except Exception as error:  # one recipe that fails is a result, too
            results.put({"name": name, "fold": number, "error": f"{type(error).__name__}: {error}"})
    results.put(None)


def run(model: Path, name: str, fold: folds.Fold) -> dict[str, Any]:
    """Return what a recipe gives on a fold."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    start = time.monotonic()
    result: dict[str, Any] = {"name": name, "fold": fold.number, "choosing": fold.choosing}
    if name == "base":
        loaded = folds.load(model, torch.float32)
        result["log_likelihoods"] = folds.log_likelihoods(loaded, fold.rows.test)
    else:
        loaded = _train(model, dict(RECIPES[name]), fold, result)
    result["seconds"] = round(time.monotonic() - start, 2)
    prompts = {r.prompt_id: r.prompt for r in fold.rows.test[fold.choosing :]}
    written = [folds.answers(loaded, list(prompts.values()), seed) for seed in range(SEEDS)]
    result["answers"] = [[a.text, a.ended] for part in written for a in part]
    if torch.cuda.is_available():
        result["peak_gb"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return result


def _train(model: Path, changes: dict[str, Any], fold: folds.Fold, result: dict[str, Any]) -> Any:
    from palate.train.config import DPOArguments
    from palate.train.records.choice import LOGGED

    pairs = changes.pop("pairs", None)
    if changes.pop("trl", False):
        fastest = {"gradient_checkpointing": False, "precompute_ref_log_probs": True}
        return folds.by_trl(model, fold, result, **changes, **fastest)
    if pairs:
        fold = folds.fewer(fold, pairs)
    args = DPOArguments("me/titles", reckless=True, **({"sft_weight": 0.0} | changes))
    trainer = folds.by_palate(model, fold, args, Path("/tmp/palate-references"))
    log = trainer.state.log_history
    result["margins"] = {
        entry["step"]: [round(entry[LOGGED][str(i)], 4) for i in range(len(fold.rows.test))]
        for entry in log
        if LOGGED in entry
    }
    result["losses"] = [round(e["loss"], 4) for e in log if "loss" in e]
    result["mode"], result["train_seconds"] = trainer.mode, log[-1].get("train_runtime")
    return folds.models.Loaded("me/smollm2", "", trainer.model, trainer.processing_class)


if __name__ == "__main__":
    main()
