"""The facts of a run: its data, its curve, its results, the versions and the machine.

Curves and results are pure; they read Trainer's log, a list of dicts with one entry per step.
"""

import math
import os
import platform
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any, TypeVar

from palate import __version__
from palate.audit.baselines import Accuracy
from palate.core import ledger
from palate.core.project import Project
from palate.core.schema import Preference
from palate.core.stats import wilson
from palate.label import agreement, preferences
from palate.train.job import Job
from palate.train.preflight import preference_sentence
from palate.train.record import (
    VERSION,
    DataFacts,
    DPOPoint,
    DPOResults,
    Hardware,
    SFTDataFacts,
    SFTPoint,
    SFTResults,
    SplitPrompts,
    SplitRows,
    TokenFigures,
)
from palate.train.rows import Answer, Rows, read_preferences
from palate.train.run_dir import Clock

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "huggingface_hub")
DPO_KEYS = {  # of TRL's log → of the record
    "loss": "loss",
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "eval_loss": "test_loss",
    "eval_rewards/accuracies": "test_reward_accuracy",
    "eval_rewards/margins": "test_reward_margin",
    "eval_rewards/chosen": "test_reward_chosen",
    "eval_rewards/rejected": "test_reward_rejected",
    "eval_logps/chosen": "test_logp_chosen",
    "eval_logps/rejected": "test_logp_rejected",
}
SFT_KEYS = {
    "loss": "loss",
    "mean_token_accuracy": "token_accuracy",
    "eval_loss": "test_loss",
    "eval_mean_token_accuracy": "test_token_accuracy",
}
Point = TypeVar("Point", DPOPoint, SFTPoint)


def dpo_curve(log: Sequence[dict]) -> tuple[DPOPoint, ...]:
    """Return one point per step, with test figures where the test split was evaluated."""
    points = _curve(log, DPO_KEYS, DPOPoint)
    # before anything is learned all margins are 0, which TRL counts as wrong
    return tuple(replace(p, reward_accuracy=None) if p.reward_margin == 0 else p for p in points)


def sft_curve(log: Sequence[dict]) -> tuple[SFTPoint, ...]:
    """Return one point per step, with test figures where the test split was evaluated."""
    return tuple(_curve(log, SFT_KEYS, SFTPoint))


def _curve(log: Sequence[dict], keys: Mapping[str, str], point: type[Point]) -> list[Point]:
    steps: dict[int, dict[str, Any]] = {}
    for entry in log:
        if "loss" not in entry and "eval_loss" not in entry:
            continue  # Trainer's summary of the whole run
        figures = steps.setdefault(entry["step"], {"step": entry["step"], "epoch": entry["epoch"]})
        figures |= {keys[k]: v for k, v in entry.items() if k in keys and math.isfinite(v)}
    return [point(**steps[step]) for step in sorted(steps)]


def dpo_results(
    margins: Sequence[float], best_step: int, baselines: dict[str, Accuracy]
) -> DPOResults:
    """Return the figures of the kept model, given its reward margin on each test row."""
    n = len(margins)
    right = sum(m > 0 for m in margins)
    return DPOResults(
        test_loss=sum(map(_loss, margins)) / n if n else None,
        test_reward_accuracy=right / n if n else None,
        test_reward_accuracy_interval=wilson(right, n) if n else None,
        test_reward_margin=sum(margins) / n if n else None,
        test_rows=n,
        best_step=best_step,
        baselines=baselines,
    )


def _loss(margin: float) -> float:
    """Return -log σ(margin) without overflow."""
    return math.log1p(math.exp(-abs(margin))) + max(-margin, 0)


def sft_results(
    base: TokenFigures | None, tuned: TokenFigures | None, rows: int, best_step: int
) -> SFTResults:
    """Return the figures of the kept model and the base model on `rows` test rows."""
    return SFTResults(*_token_figures(tuned), *_token_figures(base), rows, best_step)


def _token_figures(figures: TokenFigures | None) -> tuple[float | None, float | None, float | None]:
    """Return loss, perplexity and accuracy."""
    if figures is None:
        return None, None, None
    return figures.loss, math.exp(figures.loss), figures.accuracy


def before_training(log: Sequence[dict]) -> TokenFigures | None:
    """Return the base model's figures: the evaluation before the first step, if there was one."""
    for entry in log:
        if entry["step"] == 0 and "eval_loss" in entry:
            return TokenFigures(entry["eval_loss"], entry["eval_mean_token_accuracy"])
    return None


def dpo_data(project: Project, rows: Rows[Preference]) -> DataFacts:
    """Return what DPO records of its data."""
    return DataFacts(**_data(project, rows))


def sft_data(project: Project, rows: Rows[Answer]) -> SFTDataFacts:
    """Return what SFT records of its data: the answers, and the preferences behind them."""
    compared = read_preferences(project, implied=False)
    facts = _data(project, compared)
    facts["prompts"] = replace(
        facts["prompts"], train=_prompts(rows.train), test=_prompts(rows.test)
    )
    facts |= {"train": len(rows.train), "test": len(rows.test), "dropped": dict(rows.dropped)}
    return SFTDataFacts(**facts, comparisons=SplitRows(len(compared.train), len(compared.test)))


def _data(project: Project, rows: Rows[Preference]) -> dict[str, Any]:
    prompts, labels = project.prompts, project.labels
    rebuilt = preferences.rebuild(prompts, project.candidates, labels)
    people = agreement.report(labels, project.candidates)
    blind = sum(p.split == "eval" for p in prompts)
    return {
        "train": len(rows.train),
        "test": len(rows.test),
        "prompts": SplitPrompts(_prompts(rows.train), _prompts(rows.test), blind),
        "annotators": len({r.annotator for r in (*rows.train, *rows.test) if r.source == "human"}),
        "implied": sum(r.source == "implied" for r in rows.train),
        "labels": sum(e.kind == "label" for e in ledger.standing_judgements(labels)),
        "agreement": people.agreement,
        "alpha": people.alpha,
        "self_consistency": people.self_consistency,
        "guidelines": project.guidelines,
        "question": project.settings.question,
        "taste": preference_sentence(rows.train),
        "left_out": dict(rebuilt.left_out),
        "dropped": dict(rows.dropped),
    }


def _prompts(rows: Iterable[Preference | Answer]) -> int:
    return len({r.prompt_id for r in rows})


def common(name: str, job: Job, clock: Clock, trainable: int) -> dict[str, Any]:
    """Return what every training job records in the same way; `trainable` counts parameters."""
    args, project, base = job.args, job.project, job.base
    return {
        "version": VERSION,
        "job": name,
        "palate": __version__,
        "project": project.id,
        "data_revision": project.revision,
        "base_model": base.repo,
        "base_revision": base.revision,
        "model": job.repo,
        "round": project.settings.round,
        "license": project.settings.license,
        "command": args.command(),
        "arguments": asdict(args),
        "seed": args.seed,
        "method": job.recipe.method,
        "why": job.recipe.reasons,
        "audit": job.audit,
        "versions": versions(),
        "hardware": hardware(),
        "started": clock.started,
        "seconds": round(clock.seconds, 1),
        "parameters": base.parameters,
        "trainable_parameters": trainable,
    }


def trainable_parameters(model: Any) -> int:
    return sum(w.numel() for w in model.parameters() if w.requires_grad)


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}}


def hardware() -> Hardware:
    """Return the device and the peak of its memory, in GiB; on a CPU that of this process."""
    import torch

    if torch.cuda.is_available():
        device, peak = torch.cuda.get_device_name(), torch.cuda.max_memory_allocated() / 2**30
    else:
        unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, Linux KiB
        device, peak = "cpu", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return Hardware(device, _cores(), round(peak, 2))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
