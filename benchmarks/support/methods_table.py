"""The table of `methods.py`: figures of each method over the folds that it ran on."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from palate.core.rates import clustered
from palate.train.records.best import Mean
from palate.train.records.choice import right

NAMES = {
    "base": "base model",
    "sft": "SFT",
    "hindsight": "Chain of Hindsight",
    "dpo": "DPO",
    "ipo": "IPO",
    "kto": "KTO",
    "orpo": "ORPO",
    "simpo": "SimPO",
    "cpo": "CPO",
    "sft then dpo": "SFT, then DPO",
    "rl": "RL against the reward",
    "sft then rl": "SFT, then RL",
    "rejection": "rejection sampling, 1 round",
    "best-of-16": "best of 16 of the base model",
    "dpo-100": "DPO, 100 pairs",
    "ai-dpo": "DPO, 100 pairs and a judge's",
}
LEADS = {"base": "likelihood_leads", "best-of-16": "reward_leads"}
HEAD = (
    "| method | folds | pairs right, held out | reward, held out | more than the base model's"
    " | reward that trains | KL, nats | characters | answers that end | minutes a fold | memory |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)
N_KL = {"best-of-16": 16}
Line = dict[str, Any]


def lines(results: Sequence[dict[str, Any]], order: Sequence[str]) -> list[Line]:
    """Return the figures of each method, those with as many train pairs together."""
    groups: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        groups[result["task"]["pairs"] or 0, result["task"]["method"]].append(result)
    bases = {(r["task"]["pairs"] or 0, r["task"]["fold"]): r for r in groups_of(groups, "base")}
    shown = [name for name in NAMES if name in order]
    keys = sorted(groups, key=lambda key: (key[0], shown.index(key[1])))
    return [_line(key, groups[key], bases) for key in keys]


def groups_of(groups: dict[tuple, list[dict[str, Any]]], method: str) -> list[dict[str, Any]]:
    return [r for (_, name), runs in groups.items() if name == method for r in runs]


def _line(key: tuple, runs: list[dict[str, Any]], bases: dict[tuple, dict[str, Any]]) -> Line:
    pairs, method = key
    hits = [x for r in runs for x in right(np.array(r[LEADS.get(method, "ratio_leads")]))]
    prompts = [p for r in runs for p in r["prompts"]]
    answers = [a for r in runs for a in r["answers"]]
    ids = [a[0] for a in answers]
    line: Line = {
        "method": method, "pairs": pairs, "folds": len(runs),
        "accuracy": fmean(hits), "interval": clustered(hits, prompts),
        "reward": Mean.of([a[4] for a in answers], ids),
        "own_reward": fmean(a[3] for a in answers),
        "kl": Mean.of([a[5] for a in answers], ids),
        "characters": fmean(len(a[1]) for a in answers), "ended": fmean(a[2] for a in answers),
        "minutes": fmean(r["train_seconds"] for r in runs) / 60,
        "peak_gb": max(r["peak_gb"] for r in runs),
    }  # fmt: skip
    matching = [bases.get((pairs, r["task"]["fold"])) for r in runs]
    if method != "base" and all(matching):
        before = [a[4] for r in matching if r for a in r["answers"]]
        line["change"] = Mean.of([a[4] - b for a, b in zip(answers, before, strict=True)], ids)
    facts = ("held_accuracy", "agreement", "right", "weight", "learned")
    return line | {name: fmean(r[name] for r in runs) for name in facts if name in runs[0]}


def table(figures: Sequence[Line]) -> str:
    notes = [note for line in figures for note in _notes(line)]
    return "\n".join([HEAD, *map(_row, figures), "", *notes])


def _row(line: Line) -> str:
    name, method = NAMES[line["method"]], line["method"]
    if line["pairs"]:
        name += f", {line['pairs']} train pairs"
    low, high = line["interval"] or (0.0, 1.0)
    change = line["change"].cell() if "change" in line else ""
    cells = (
        name, str(line["folds"]),
        f"{100 * line['accuracy']:.1f}% ({100 * low:.1f}–{100 * high:.1f}%)",
        line["reward"].cell(), change, f"{line['own_reward']:+.2f}", _apart(method, line["kl"]),
        f"{line['characters']:.0f}", f"{100 * line['ended']:.0f}%", f"{line['minutes']:.1f}",
        f"{line['peak_gb']:.1f} GB",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _apart(method: str, kl: Mean) -> str:
    from palate.reward.best import divergence

    if method in N_KL:
        return f"at most {divergence(N_KL[method]):.2f}"
    low, high = kl.interval or (kl.mean, kl.mean)
    return "0" if method == "base" else f"{kl.mean:.1f} ({max(0.0, low):.1f}–{high:.1f})"


def _notes(line: Line) -> list[str]:
    notes = []
    if "held_accuracy" in line:
        notes.append(
            f"The held-out reward is right on {100 * line['held_accuracy']:.1f}% of its labels on"
            " prompts that it has not seen."
        )
    if "agreement" in line:
        notes.append(
            f"The judge agrees with {100 * line['agreement']:.1f}% of people's answers, on prompts"
            f" that it has not seen, so its answers weigh {line['weight']:.2f}. It is right on"
            f" {100 * line['right']:.1f}% of the other pairs."
        )
    if "learned" in line:
        notes.append(f"Rejection sampling learned {line['learned']:.0f} answers a fold.")
    return notes
