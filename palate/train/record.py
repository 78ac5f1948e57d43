"""What a run records: its curve, its result, its alarms, the versions and the machine.

`curve`, `result` and `alarms` are pure; they read Trainer's log (a list of dicts, one per entry).
"""

import math
import os
import platform
import resource
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from importlib.metadata import version
from typing import Any

from palate import __version__
from palate.core.stats import wilson
from palate.train.job import Job
from palate.train.workdir import Clock

UNTAUGHT = math.log(2)  # the loss of a model that is its own reference
RULES = {"bag of words": "A bag of words", "length": "The length"}
FEW = 4  # prompts: what is written on fewer raises no alarm
_PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "huggingface_hub")
KEYS = {  # of TRL's log → of run.json
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


def curve(log: Sequence[dict], keys: Mapping[str, str] = KEYS) -> list[dict[str, Any]]:
    """Return one point a step: train figures, and test figures where the test split was looked at.

    `keys` are names in the log and the names that they get. What was not measured at a step is
    None, as is a figure that is not a number.
    """
    points: dict[int, dict[str, Any]] = {}
    for entry in log:
        if "loss" not in entry and "eval_loss" not in entry:
            continue  # Trainer's summary of the whole run
        empty = {"step": entry["step"], "epoch": entry["epoch"], **dict.fromkeys(keys.values())}
        point = points.setdefault(entry["step"], empty)
        point |= {keys[k]: v for k, v in entry.items() if k in keys and math.isfinite(v)}
        if point.get("reward_margin") == 0:  # nothing is learnt yet, which TRL counts as all wrong
            point["reward_accuracy"] = None
    return [points[step] for step in sorted(points)]


def result(margins: Sequence[float], best_step: int) -> dict[str, Any]:
    """Return the figures of the kept model on the test rows, given its reward margins there."""
    n = len(margins)
    right = sum(m > 0 for m in margins)
    return {
        "test_loss": sum(map(_loss, margins)) / n if n else None,
        "test_reward_accuracy": right / n if n else None,
        "test_reward_accuracy_interval": list(wilson(right, n)) if n else None,
        "test_reward_margin": sum(margins) / n if n else None,
        "test_rows": n,
        "best_step": best_step,
    }


def _loss(margin: float) -> float:
    """Return -log σ(margin) without overflow."""
    return math.log1p(math.exp(-abs(margin))) + max(-margin, 0)


def alarms(
    log: Sequence[dict],
    result: dict[str, Any],
    beta: float,
    failed_at: int | None = None,
    samples: dict[str, Any] | None = None,
) -> list[str]:
    """Return what in a run is worth a second look, in sentences; an empty list is good news.

    `samples` are those of `samples.compare`. Both rewards below zero is no alarm: DPO moves the
    difference.
    """
    found = list(_curve_alarms(log, result, beta))
    return stopped(failed_at, result) + found + (list(_sample_alarms(samples)) if samples else [])


def stopped(failed_at: int | None, result: dict[str, Any]) -> list[str]:
    """Return the alarm of a run that ended at a loss that was not a number, if it did."""
    if failed_at is None:
        return []
    return [
        f"The loss was not a number at step {failed_at}; the model is that of step"
        f" {result['best_step']}. Lower the learning rate."
    ]


def _curve_alarms(log: Sequence[dict], result: dict[str, Any], beta: float) -> Iterator[str]:
    train = [e for e in log if "loss" in e]
    late = train[len(train) * 3 // 4 :]
    if len(train) >= 5 and all(abs(e["loss"] - UNTAUGHT) < 1e-3 for e in train):
        yield (
            "The loss stayed at 0.6931: the model learned nothing. Are chosen and rejected alike,"
            " or is the learning rate too low?"
        )
    accuracy, test = _mean(late, "rewards/accuracies"), result["test_reward_accuracy"]
    if test is not None and accuracy >= 0.95 and test <= 0.6:
        yield (
            f"Train reward accuracy is {100 * accuracy:.0f} % and test {100 * test:.0f} %: it"
            " learned these pairs rather than the taste. Fewer epochs, or more prompts."
        )
    if result["test_loss"] is not None and result["test_loss"] >= UNTAUGHT:
        yield f"The test loss is {result['test_loss']:.4f}, no better than the base model's 0.6931."
    beaten = [
        (name, rule["rate"])
        for name, rule in (result.get("baselines") or {}).items()
        if test is not None and rule["rate"] > test
    ]
    for name, rate in beaten:
        yield (
            f"{RULES[name]} alone is right on {100 * rate:.1f} % of the test pairs, the model"
            f" on {100 * test:.1f} %: it has not learned the taste yet."
        )
    # on test rows if there are any, to which no margin was added
    looks = [_test_entry(e) for e in log if "eval_loss" in e][-3:] or late
    if looks and "logps/chosen" in looks[0] and (drop := _drop(looks, beta)) > 0.3:
        yield (
            f"The log-probability of chosen texts fell by {100 * drop:.0f} %: the model unlearns"
            " to write. Lower the learning rate, or raise beta."
        )


def _test_entry(entry: dict) -> dict:
    return {k.removeprefix("eval_"): v for k, v in entry.items()}


def _sample_alarms(samples: dict[str, Any]) -> Iterator[str]:
    length = samples["length"]
    if samples["prompts"] < FEW:
        return
    if length["base"] and not 0.67 <= length["tuned"] / length["base"] <= 1.5:
        yield (
            f"Completions are {length['tuned']:.0f} characters long on average, the base model's"
            f" {length['base']:.0f}: the length shifted. Try --length-desensitized."
        )
    yield from written(samples, "Lower the learning rate, or raise beta.")


def written(samples: dict[str, Any], advice: str) -> Iterator[str]:
    """Yield alarms about what the tuned model writes; `advice` where it is one template."""
    cut = samples["unended"]
    if samples["prompts"] < FEW:
        return
    if cut["tuned"] > max(0.2, 2 * cut["base"]):
        yield (
            f"{100 * cut['tuned']:.0f} % of completions did not come to an end (base:"
            f" {100 * cut['base']:.0f} %): does the chat template close answers with EOS?"
        )
    if samples["same_opening"] > 0.5:
        yield (
            f"{100 * samples['same_opening']:.0f} % of completions begin with the same three words:"
            f" the model has settled on one template. {advice}"
        )


def _mean(entries: Sequence[dict], key: str) -> float:
    return sum(e[key] for e in entries) / len(entries) if entries else math.nan


def _drop(entries: Sequence[dict], beta: float) -> float:
    """Return by which fraction the chosen texts' log-probability sank below the reference's."""
    change = _mean(entries, "rewards/chosen") / beta
    return -change / abs(_mean(entries, "logps/chosen") - change)


def sentence(run: dict[str, Any]) -> str:
    """Return a run's result in one line."""
    result = run["results"]
    if not result["test_rows"]:
        return "There is no test split, so nothing is known about the result."
    low, high = result["test_reward_accuracy_interval"]
    return (
        f"test reward accuracy {100 * result['test_reward_accuracy']:.1f} % (95 % interval"
        f" {100 * low:.1f}–{100 * high:.1f}, {result['test_rows']:,} rows), best at step"
        f" {result['best_step']}, {run['seconds']:.0f} s"
    )


def facts(name: str, job: Job, trainer: Any, clock: Clock) -> dict[str, Any]:
    """Return what every training job records in the same way, however it trains."""
    args, project, base = job.args, job.project, job.base
    weights = list(trainer.model.parameters())
    return {
        "job": name,
        "palate": __version__,
        "project": project.id,
        "data_revision": project.revision,
        "base_model": base.repo,
        "base_revision": base.revision,
        "model": job.repo,
        "round": project.settings.round,
        "license": project.settings.license,
        "command": command(name, args),
        "arguments": asdict(args),
        "seed": args.seed,
        "method": args.method,
        "why": list(job.sizes.reasons),
        "audit": job.audit,
        "versions": versions(),
        "hardware": hardware(),
        "started": clock.started,
        "seconds": round(clock.seconds, 1),
        "parameters": base.parameters,
        "trainable_parameters": sum(w.numel() for w in weights if w.requires_grad),
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}}


def hardware() -> dict[str, Any]:
    """Return device, CPU cores that we may use, and the peak of the memory that counts there."""
    import torch

    if torch.cuda.is_available():
        device, peak = torch.cuda.get_device_name(), torch.cuda.max_memory_allocated() / 2**30
    else:
        unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes, Linux KiB
        device, peak = "cpu", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"device": device, "cores": _cores(), "peak_memory_gb": round(peak, 2)}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def command(script: str, arguments: Any) -> str:
    """Return the shell command that runs a job with these arguments, defaults left out.

    The first field is the positional one.
    """
    assert is_dataclass(arguments)
    first, *rest = fields(arguments)
    words = ["python", f"jobs/{script}.py", str(getattr(arguments, first.name))]
    for f in rest:
        value = getattr(arguments, f.name)
        flag = "--" + f.name.replace("_", "-")
        if value is True and f.default is False:
            words.append(flag)
        elif value != f.default:
            words += [flag, str(value)]
    return shlex.join(words)
