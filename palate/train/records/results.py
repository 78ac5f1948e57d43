"""The results of a finished run: figures on the test rows, comparisons with simple rules, alarms.

Pure: no I/O. Alarms say what deserves a second look; they read Trainer's log, the results and the
samples.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from palate.audit.baselines import Accuracy
from palate.core.rates import clustered, effective_rows
from palate.generate.samples import Samples
from palate.train.records.choice import LOGGED_SUMS, Run, cross_fit_tokens, losses, right

UNTRAINED_LOSS = math.log(2)  # of a model that is its own reference
UNTRAINED_MARGIN = 0.002  # below, the loss is as good as that
RULES = {"bag of words": "a bag of words", "length": "a rule by length"}
MIN_PROMPTS = 4  # samples on fewer prompts raise no alarm
Interval = tuple[float, float]
Kept = Literal["last", "lowest loss"]  # which step's weights; the second before version 3
Rule = tuple[Accuracy, np.ndarray]  # a simple rule's accuracy, and on which test rows it is right


@dataclass(frozen=True)
class Lead:
    """By how much more often the model is right than a simple rule, on the same test rows.

    The interval is for other prompts; None for a single prompt, which says nothing about others.
    """

    difference: float  # of the shares of rows, from -1 to 1
    interval: Interval | None

    @property
    def known(self) -> Literal["better", "worse", "open"]:
        """What the interval says of other prompts."""
        low, high = self.interval or (-1.0, 1.0)
        return "better" if low > 0 else "worse" if high < 0 else "open"

    def words(self) -> str:
        """Return the difference in points with its interval, in a sentence."""
        points = f"The difference is {100 * self.difference:+.1f} points"
        if self.interval is None:
            return f"{points}, on one prompt."
        low, high = (100 * x for x in self.interval)
        return f"{points} (95% interval for other prompts {low:+.1f} to {high:+.1f})."


@dataclass(frozen=True)
class DPOResults:
    """The kept model on the test rows; None without test rows."""

    test_loss: float | None
    test_reward_accuracy: float | None  # a tie counts half
    test_reward_accuracy_interval: Interval | None  # for other prompts; None for a single one
    test_reward_margin: float | None
    test_rows: int
    test_prompts: int | None  # None where an earlier version did not record it
    test_ties: int  # rows on which both answers have the same reward
    cross_fitted: bool  # whether the figures are of prompts that did not choose the weights
    kept: Kept
    best_step: int
    baselines: dict[str, Accuracy]
    leads: dict[str, Lead]  # over the baselines, by their names
    # of those with most test rows; empty where one person judged all
    by_annotator: dict[str, Accuracy] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class SFTResults:
    """The kept model and the base model on the test rows, per token; None without test rows."""

    test_loss: float | None
    test_perplexity: float | None
    test_token_accuracy: float | None
    base_test_loss: float | None
    base_test_perplexity: float | None
    base_test_token_accuracy: float | None
    test_rows: int
    cross_fitted: bool  # whether the figures are of prompts that did not choose the checkpoint
    best_step: int


def dpo_alarms(
    log: Sequence[dict],
    results: DPOResults,
    beta: float,
    failed_at: int | None = None,
    samples: Samples | None = None,
    to_end: str = "Lower the learning rate.",
) -> tuple[str, ...]:
    """Return the alarms of a DPO run; `failed_at` is the step of a loss that was not a number.

    `to_end` helps where answers do not end. Both rewards below zero raise no alarm: DPO moves the
    difference.
    """
    raised = [*stopped(failed_at, results.best_step), *_learning(log, results)]
    raised += [*_worse_than_simple(results), *_unlearned(log, beta)]
    if samples and samples.prompts >= MIN_PROMPTS:
        raised += [
            *length(samples, "Try --length-desensitized."),
            *unended(samples, to_end),
        ]
        raised += style(samples, "Lower the learning rate, or raise beta.")
    return tuple(raised)


def sft_alarms(results: SFTResults, failed_at: int | None, samples: Samples) -> tuple[str, ...]:
    """Return the alarms of an SFT run."""
    raised = list(stopped(failed_at, results.best_step))
    tuned, base = results.test_loss, results.base_test_loss
    if tuned is not None and base is not None and tuned >= base:
        raised.append(
            f"The test loss is {tuned:.4f}, not below the base model's {base:.4f}: what"
            " it learned holds for these answers alone. Lower the learning rate, or start DPO from"
            " the base model itself."
        )
    if samples.prompts >= MIN_PROMPTS:
        raised += unended(samples, "Does the chat template close answers with EOS?")
        raised += style(samples, "Lower the learning rate, or take fewer epochs.")
    return tuple(raised)


def stopped(failed_at: int | None, best_step: int) -> Iterator[str]:
    if failed_at is not None:
        yield (
            f"The loss was not a number at step {failed_at}; the model is that of step"
            f" {best_step}. Lower the learning rate."
        )


def _learning(log: Sequence[dict], results: DPOResults) -> Iterator[str]:
    train = [e for e in log if "loss" in e]
    if len(train) >= 5 and all(abs(e["rewards/margins"]) < UNTRAINED_MARGIN for e in train):
        yield (
            "The reward margin stayed at 0: the model learned nothing. Are chosen and rejected"
            " alike, or is the learning rate too low?"
        )
    accuracy, test = _mean(_last_quarter(train), "rewards/accuracies"), results.test_reward_accuracy
    _, high = results.test_reward_accuracy_interval or (0.0, 1.0)
    if test is not None and accuracy >= 0.95 and test <= 0.6 and accuracy - high > 0.2:
        yield (
            f"Train reward accuracy is {100 * accuracy:.0f}% and test {100 * test:.0f}%: it"
            " learned its own pairs more than the taste. Fewer epochs, or more prompts."
        )
    if results.test_loss is not None and results.test_loss >= UNTRAINED_LOSS:
        yield f"The test loss is {results.test_loss:.4f}, no better than the base model's 0.6931."


def _worse_than_simple(results: DPOResults) -> Iterator[str]:
    test = results.test_reward_accuracy
    for name, rule in results.baselines.items():
        if test is not None and results.leads[name].known == "worse":
            yield (
                f"{RULES[name].capitalize()} is right on {100 * rule.rate:.1f}% of the test pairs,"
                f" the model on {100 * test:.1f}%: it has not learned the taste yet."
                f" {results.leads[name].words()}"
            )


def _unlearned(log: Sequence[dict], beta: float) -> Iterator[str]:
    # on test rows if there are any, since no margin was added to those
    tests = [{k.removeprefix("eval_"): v for k, v in e.items()} for e in log if "eval_loss" in e]
    entries = tests[-3:] or _last_quarter([e for e in log if "loss" in e])
    if entries and "logps/chosen" in entries[0] and (drop := _drop(entries, beta)) > 0.3:
        yield (
            f"The log-probability of chosen texts fell by {100 * drop:.0f}%: the model unlearns"
            " to write. Lower the learning rate, or raise beta."
        )


def length(samples: Samples, advice: str) -> Iterator[str]:
    base, tuned = samples.length.base, samples.length.tuned
    if base and not 0.67 <= tuned / base <= 1.5:
        yield (
            f"Completions are {tuned:.0f} characters long on average, the base model's"
            f" {base:.0f}: the length shifted. {advice}"
        )


def unended(samples: Samples, advice: str) -> Iterator[str]:
    cut = samples.unended
    if cut.tuned > max(0.2, 2 * cut.base):
        yield (
            f"{100 * cut.tuned:.0f}% of completions did not come to an end (base:"
            f" {100 * cut.base:.0f}%). {advice}"
        )


def style(samples: Samples, advice: str) -> Iterator[str]:
    if samples.same_opening > 0.5:
        yield (
            f"{100 * samples.same_opening:.0f}% of completions begin with the same three words:"
            f" the model has settled on one template. {advice}"
        )


def _last_quarter(entries: Sequence[dict]) -> Sequence[dict]:
    return entries[len(entries) * 3 // 4 :]


def _mean(entries: Sequence[dict], key: str) -> float:
    return sum(e[key] for e in entries) / len(entries) if entries else math.nan


def _drop(entries: Sequence[dict], beta: float) -> float:
    """Return the fraction by which the chosen texts' log-probability fell below the reference's."""
    change = _mean(entries, "rewards/chosen") / beta
    return -change / abs(_mean(entries, "logps/chosen") - change)


def dpo_results(
    run: Run,
    prompts: Sequence[str],
    step: int,
    rules: Mapping[str, Rule] | None = None,
) -> DPOResults:
    """Return the figures of the kept model, whose weights are those of `step`.

    `run` has the margins of its last step, `prompts` names the prompt of each test row, and `rules`
    are the simple rules that it is compared with. No test prompt chose anything.
    """
    if not prompts:
        return DPOResults(None, None, None, None, 0, 0, 0, False, "last", step, {}, {})
    margins = run[max(run)]
    hits, rules = right(margins), rules or {}
    return DPOResults(
        test_loss=float(losses(margins).mean()),
        test_reward_accuracy=float(hits.mean()),
        test_reward_accuracy_interval=clustered(list(hits), prompts),
        test_reward_margin=float(margins.mean()),
        test_rows=len(prompts),
        test_prompts=len(set(prompts)),
        test_ties=int((margins == 0).sum()),
        cross_fitted=True,
        kept="last",
        best_step=step,
        baselines={name: accuracy for name, (accuracy, _) in rules.items()},
        leads={name: lead(hits - rule, prompts) for name, (_, rule) in rules.items()},
    )


def comparisons(results: DPOResults) -> list[str]:
    """Return what is known of the model against each simple rule, a sentence each."""
    known = {
        "better": "The model is right more often than {}.",
        "worse": "The model is right less often than {}.",
        "open": "It cannot be told whether the model is right more often than {}.",
    }
    return [
        f"{known[lead.known].format(RULES[name])} {lead.words()}"
        for name, lead in results.leads.items()
    ]


def lead(differences: np.ndarray, prompts: Sequence[str]) -> Lead:
    """Return by how much more often the model is right than a rule on the same rows.

    `differences` are from -1 to 1. Rows of a prompt resemble each other, so the interval is that of
    as many independent rows as they are worth. It has one row more on each side, because few rows
    vary too little by chance: A. Agresti, Y. Min, "Simple improved confidence intervals for
    comparing matched proportions", Statistics in Medicine 24 (2005). Student's quantile replaces
    their normal one, which is too narrow with six rows.
    """
    from scipy.special import stdtrit

    rows, mean = effective_rows(list(differences), prompts), float(differences.mean())
    if rows is None:
        return Lead(mean, None)
    n = rows + 2
    centre, square = rows * mean / n, (rows * float((differences**2).mean()) + 1) / n
    half = float(stdtrit(n - 1, 0.975)) * math.sqrt((square - centre**2) / n)
    return Lead(mean, (max(-1.0, centre - half), min(1.0, centre + half)))


def sft_results(log: Sequence[dict], prompts: Sequence[str], step: int) -> SFTResults:
    """Return the figures of the kept model, whose weights are those of `step`, and the base model.

    `prompts` names the prompt of each test answer.
    """
    if not prompts:
        return SFTResults(None, None, None, None, None, None, 0, False, step)
    run = {e["step"]: np.array(e[LOGGED_SUMS]) for e in log if LOGGED_SUMS in e}
    base = run.pop(0)  # evaluated before the first step
    run = {s: sums for s, sums in run.items() if np.isfinite(sums).all()}
    fitted = cross_fit_tokens(run, prompts)
    tuned = run[step] if fitted is None else fitted
    cross_fitted = fitted is not None
    return SFTResults(*per_token(tuned), *per_token(base), len(prompts), cross_fitted, step)


def per_token(sums: np.ndarray) -> tuple[float, float, float]:
    """Return loss, perplexity and accuracy."""
    loss, hits, tokens = sums.sum(0).tolist()
    return loss / tokens, math.exp(loss / tokens), hits / tokens
