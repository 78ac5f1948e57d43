"""The results of a finished run: figures on the test rows, alarms, and the choice of a sweep.

Pure: no I/O. Alarms say what deserves a second look; they read Trainer's log, the results and the
samples.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from palate.audit.baselines import Accuracy
from palate.core.errors import UsageError
from palate.core.stats import wilson
from palate.generate.samples import Samples
from palate.train.config import DPOArguments
from palate.train.record import DPOResults, SFTResults, SweepFacts, SweepRun, TokenFigures

UNTRAINED_LOSS = math.log(2)  # of a model that is its own reference
BASELINES = {"bag of words": "A bag of words", "length": "The length"}
MIN_PROMPTS = 4  # samples on fewer prompts raise no alarm
SWEPT = ("beta", "learning_rate", "epochs", "sft_weight", "flip_rate", "seed", "batch_size")


def dpo_alarms(
    log: Sequence[dict],
    results: DPOResults,
    beta: float,
    failed_at: int | None = None,
    samples: Samples | None = None,
) -> tuple[str, ...]:
    """Return the alarms of a DPO run; `failed_at` is the step of a loss that was not a number.

    Both rewards below zero raise no alarm: DPO moves the difference.
    """
    raised = [*_stopped(failed_at, results.best_step), *_learning(log, results)]
    raised += [*_worse_than_simple(results), *_unlearned(log, beta)]
    if samples and samples.prompts >= MIN_PROMPTS:
        raised += [*_length(samples), *_style(samples, "Lower the learning rate, or raise beta.")]
    return tuple(raised)


def sft_alarms(results: SFTResults, failed_at: int | None, samples: Samples) -> tuple[str, ...]:
    """Return the alarms of an SFT run."""
    raised = list(_stopped(failed_at, results.best_step))
    tuned, base = results.test_loss, results.base_test_loss
    if tuned is not None and base is not None and tuned >= base:
        raised.append(
            f"The test loss never fell below the base model's {base:.4f} (best: {tuned:.4f}): what"
            " it learned holds for these answers alone. Lower the learning rate, or start DPO from"
            " the base model itself."
        )
    if samples.prompts >= MIN_PROMPTS:
        raised += _style(samples, "Lower the learning rate, or take fewer epochs.")
    return tuple(raised)


def _stopped(failed_at: int | None, best_step: int) -> Iterator[str]:
    if failed_at is not None:
        yield (
            f"The loss was not a number at step {failed_at}; the model is that of step"
            f" {best_step}. Lower the learning rate."
        )


def _learning(log: Sequence[dict], results: DPOResults) -> Iterator[str]:
    train = [e for e in log if "loss" in e]
    if len(train) >= 5 and all(abs(e["loss"] - UNTRAINED_LOSS) < 1e-3 for e in train):
        yield (
            "The loss stayed at 0.6931: the model learned nothing. Are chosen and rejected alike,"
            " or is the learning rate too low?"
        )
    accuracy, test = _mean(_last_quarter(train), "rewards/accuracies"), results.test_reward_accuracy
    if test is not None and accuracy >= 0.95 and test <= 0.6:
        yield (
            f"Train reward accuracy is {100 * accuracy:.0f}% and test {100 * test:.0f}%: it"
            " learned these pairs rather than the taste. Fewer epochs, or more prompts."
        )
    if results.test_loss is not None and results.test_loss >= UNTRAINED_LOSS:
        yield f"The test loss is {results.test_loss:.4f}, no better than the base model's 0.6931."


def _worse_than_simple(results: DPOResults) -> Iterator[str]:
    test = results.test_reward_accuracy
    for name, rule in results.baselines.items():
        if test is not None and rule.rate > test:
            yield (
                f"{BASELINES[name]} alone is right on {100 * rule.rate:.1f}% of the test pairs,"
                f" the model on {100 * test:.1f}%: it has not learned the taste yet."
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


def _length(samples: Samples) -> Iterator[str]:
    base, tuned = samples.length.base, samples.length.tuned
    if base and not 0.67 <= tuned / base <= 1.5:
        yield (
            f"Completions are {tuned:.0f} characters long on average, the base model's"
            f" {base:.0f}: the length shifted. Try --length-desensitized."
        )


def _style(samples: Samples, advice: str) -> Iterator[str]:
    """Yield alarms about completions; `advice` is for a model that writes one template."""
    cut = samples.unended
    if cut.tuned > max(0.2, 2 * cut.base):
        yield (
            f"{100 * cut.tuned:.0f}% of completions did not come to an end (base:"
            f" {100 * cut.base:.0f}%): does the chat template close answers with EOS?"
        )
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


@dataclass(frozen=True)
class Sweep:
    """An argument and its values; each value is one run, and the best on the test split is kept."""

    name: str
    values: list[float]

    @classmethod
    def read(cls, args: DPOArguments) -> "Sweep":
        """Return what `--sweep name=value,value` says. Raises UsageError for what cannot work."""
        name, _, values = (args.sweep or "").partition("=")
        name = name.replace("-", "_")
        try:
            numbers = [float(v) for v in values.split(",")]
        except ValueError:
            numbers = []
        if name not in SWEPT or len(set(numbers)) < 2 or len(set(numbers)) < len(numbers):
            raise UsageError(
                f"Cannot sweep over {args.sweep!r}: expected two or more different numbers for one"
                f" of {', '.join(n.replace('_', '-') for n in SWEPT)}, such as beta=0.05,0.1,0.5"
            )
        return cls(name, [int(n) if name in ("seed", "batch_size") else n for n in numbers])

    def check(self, test_rows: int) -> None:
        """Raise UsageError, before anything is trained, where there is nothing to choose by."""
        if not test_rows:
            raise UsageError("A sweep chooses by the test split, and no test prompt has labels.")

    def arguments(self, args: DPOArguments) -> list[DPOArguments]:
        return [replace(args, **{self.name: value, "sweep": None}) for value in self.values]

    def best(self, results: Sequence[DPOResults]) -> tuple[int, SweepFacts]:
        """Return which run to keep, and the table of all; `results` are in the order of `values`.

        The highest reward accuracy on the test split wins: losses at different beta are not
        comparable. Ties go to the lower test loss.
        """
        keys = [(r.test_reward_accuracy or 0.0, -(r.test_loss or 0.0)) for r in results]
        runs = tuple(_sweep_run(value, r) for value, r in zip(self.values, results, strict=True))
        return keys.index(max(keys)), SweepFacts(self.name, runs)


def _sweep_run(value: float, r: DPOResults) -> SweepRun:
    # a sweep is refused without test rows
    assert r.test_reward_accuracy is not None
    assert r.test_reward_accuracy_interval is not None
    assert r.test_loss is not None
    accuracy, interval = r.test_reward_accuracy, r.test_reward_accuracy_interval
    return SweepRun(value, accuracy, interval, r.test_loss, r.best_step)
