"""The table of `real.py`: held-out figures of each method over the folds that it ran on."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from support import folds

from palate.core.rates import clustered
from palate.train.records.choice import losses, right
from palate.train.records.results import lead

NAMES = {
    "base": "base model, likelihood",
    "words": "bag of words",
    "probe": "frozen features (`palate reward`)",
    "reward_full": "a trained reward, begun with the probe",
    "reward_adapter": "a trained reward, an adapter, begun with the probe",
    "sft": "SFT by palate, likelihood",
    "dpo": "DPO by palate, all weights",
    "adapter": "DPO by palate, an adapter",
    "dpo_sft": "DPO by palate, all weights, `--sft-weight 0.1`",
    "adapter_sft": "DPO by palate, an adapter, `--sft-weight 0.1`",
    "search": "DPO by palate, recipe chosen on train prompts",
    "trl": "DPO by TRL, its defaults",
    "trl_best": "DPO by TRL, fastest flags and palate's rate",
}
TRAINED = ("dpo", "adapter", "dpo_sft", "adapter_sft", "search", "trl", "trl_best")  # in epochs
LIKELIHOODS = ("base", "sft")  # whose leads are no log odds
HEAD = (
    "| method | folds | pairs right, held out | 95% for other prompts | more than the bag of words,"
    " same rows | log loss | answers that end | words | seconds a fold | peak memory |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)
Line = dict[str, Any]


def results(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]


def lines(file: Path, data: Path) -> list[Line]:
    """Return the figures of each method with the same settings, in the order of `NAMES`."""
    made = [folds.whole(fold) for fold in folds.folds(folds.preferences(data))]
    prompts = [[r.prompt_id for r in fold.rows.test] for fold in made]
    groups: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for result in results(file):
        task = result["task"]
        groups[task["method"], task["epochs"], task["pairs"]].append(result)
    simple = {
        (pairs, r["task"]["fold"]): right(np.array(r["leads"]))
        for (method, _, pairs), runs in groups.items()
        for r in runs
        if method == "words"
    }
    order = sorted(groups, key=lambda k: (k[2] or 0, list(NAMES).index(k[0])))
    return [_line(key, groups[key], simple, prompts) for key in order]


def _line(
    key: tuple, runs: list[dict[str, Any]], simple: dict[Any, np.ndarray], prompts: list[list[str]]
) -> Line:
    method, epochs, pairs = key
    numbers = [r["task"]["fold"] for r in runs]
    leads = np.concatenate([r["leads"] for r in runs])
    names = [p for n in numbers for p in prompts[n]]
    hits = right(leads)
    answers = [a for r in runs for a in r["answers"]]
    figures: Line = {
        "method": method, "epochs": epochs, "pairs": pairs, "folds": len(runs),
        "accuracy": float(hits.mean()), "interval": clustered(list(hits), names),
        "log_loss": None if method in LIKELIHOODS else float(losses(leads).mean()),
        "ended": fmean(ended for _, ended in answers) if answers else None,
        "words": fmean(len(text.split()) for text, _ in answers) if answers else None,
        "seconds": fmean(r["seconds"] for r in runs), "peak_gb": max(r["peak_gb"] for r in runs),
    }  # fmt: skip
    if method != "words" and all((pairs, n) in simple for n in numbers):
        ahead = lead(hits - np.concatenate([simple[pairs, n] for n in numbers]), names)
        figures |= {"ahead": ahead.difference, "ahead_interval": ahead.interval}
    return figures


def table(figures: list[Line]) -> str:
    return "\n".join([HEAD, *map(_row, figures)])


def _row(line: Line) -> str:
    name = NAMES[line["method"]]
    if line["pairs"]:
        name += f", {line['pairs']} pairs"
    if line["epochs"] != 3 and line["method"] in TRAINED:
        name += f", {line['epochs']:g} epochs"
    low, high = (100 * x for x in line["interval"])
    ahead = ""
    if "ahead" in line:
        ends = " to ".join(f"{100 * x:+.1f}" for x in line["ahead_interval"])
        ahead = f"{100 * line['ahead']:+.1f} ({ends})"
    loss, ended, words = line["log_loss"], line["ended"], line["words"]
    cells = (
        name, str(line["folds"]), f"{100 * line['accuracy']:.1f}%", f"{low:.1f}–{high:.1f}%", ahead,
        "" if loss is None else f"{loss:.3f}", "" if ended is None else f"{100 * ended:.0f}%",
        "" if words is None else f"{words:.1f}", f"{line['seconds']:.0f}",
        f"{line['peak_gb']:.1f} GB",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"
