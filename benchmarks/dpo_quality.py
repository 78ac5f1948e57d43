"""Whether packed batches learn as well as TRL's: test loss and reward accuracy for each seed.

    python benchmarks/dpo_quality.py --data pairs.csv [--seeds 5] [--json]

Each seed splits the prompts differently (a sixth is test) and trains the same tiny Qwen2, which has
learned to write titles, once with PackedDPOTrainer (pairs of a prompt together) and once with TRL's
DPOTrainer (pairs shuffled): same rows, batch size, learning rate and epochs. Both are tested eight
times an epoch, and the figures are those of the lowest test loss. Differences are packed minus TRL,
with Student's 95% interval over the seeds.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import dpo_speed
from support import titles

from palate.run.local import child_environment

TESTS = 8  # per epoch
EPOCHS = 3
LEARNING_RATE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        parser.error(f"{arguments.data} does not exist. Name a file with --data.")
    from palate.demo import writer
    from palate.generate.models import quiet

    quiet()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        writer.make_model(Path(folder) / "model")
        figures = measure(arguments, Path(folder))
    print(json.dumps(figures) if arguments.json else table(figures))


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    rows = titles.read(arguments.data)
    runs = []
    for seed in range(arguments.seeds):
        train, test = split(rows, seed)
        run = {name: learn(name, train, test, folder, seed) for name in ("tree", "trl")}
        runs.append(run)
        print(seed, run, flush=True)
    return {
        "runs": runs,
        "differences": {
            key: difference([r["tree"][key] - r["trl"][key] for r in runs])
            for key in ("loss", "accuracy")
        },
    }


def split(rows: list[dict], seed: int) -> tuple[list[dict], list[dict]]:
    key = [row["prompt"][-1]["content"] for row in rows]
    prompts = sorted(set(key))
    Random(seed).shuffle(prompts)
    held = set(prompts[: len(prompts) // 6])
    train = [r for r, k in zip(rows, key, strict=True) if k not in held]
    return train, [r for r, k in zip(rows, key, strict=True) if k in held]


def learn(
    name: str, train: list[dict], test: list[dict], folder: Path, seed: int
) -> dict[str, float]:
    """Return test loss and reward accuracy where the loss was lowest."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from palate.train.trainers.dpo_trainer import PackedDPOTrainer

    test_steps = max(1, round(len(train) / dpo_speed.PAIRS / TESTS))
    trainer = {"tree": PackedDPOTrainer, "trl": DPOTrainer}[name](
        model=AutoModelForCausalLM.from_pretrained(folder / "model"),
        args=DPOConfig(
            output_dir=str(folder / "out"), use_cpu=True, report_to="none", save_strategy="no",
            disable_tqdm=True, seed=seed, bf16=False, learning_rate=LEARNING_RATE,
            num_train_epochs=EPOCHS, per_device_train_batch_size=dpo_speed.PAIRS,
            per_device_eval_batch_size=dpo_speed.PAIRS, warmup_steps=8, logging_steps=1000,
            eval_strategy="steps", eval_steps=test_steps, **dpo_speed.BEST,
        ),
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(test),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
    )  # fmt: skip
    trainer.train()
    tests = [e for e in trainer.state.log_history if "eval_loss" in e]
    best = min(tests, key=lambda e: e["eval_loss"])
    return {"loss": best["eval_loss"], "accuracy": best["eval_rewards/accuracies"]}


def difference(values: list[float]) -> dict[str, float]:
    """Return the mean with Student's 95% interval."""
    from scipy.stats import t

    mean = statistics.fmean(values)
    error = statistics.stdev(values) / len(values) ** 0.5
    half = float(t.ppf(0.975, len(values) - 1)) * error
    return {"mean": mean, "low": mean - half, "high": mean + half}


def table(figures: dict[str, Any]) -> str:
    lines = [
        "| seed | test loss, packed | TRL | reward accuracy, packed | TRL |",
        "|---|---|---|---|---|",
    ]
    for seed, run in enumerate(figures["runs"]):
        tree, trl = run["tree"], run["trl"]
        lines.append(
            f"| {seed} | {tree['loss']:.4f} | {trl['loss']:.4f} | {100 * tree['accuracy']:.1f}%"
            f" | {100 * trl['accuracy']:.1f}% |"
        )
    loss, accuracy = (figures["differences"][key] for key in ("loss", "accuracy"))
    lines.append(
        f"\nPacked minus TRL: loss {loss['mean']:+.4f} ({loss['low']:+.4f} to {loss['high']:+.4f}),"
        f" accuracy {100 * accuracy['mean']:+.1f} points ({100 * accuracy['low']:+.1f} to"
        f" {100 * accuracy['high']:+.1f})"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    environment = child_environment()
    if environment != dict(os.environ):  # glibc reads its settings for memory when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    main()
