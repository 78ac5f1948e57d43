"""The results of KTO on held-out prompts, and its alarms. Pure: no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from palate.core.rates import clustered, exact
from palate.core.schema import Message, Preference, Unpaired, digest
from palate.generate.samples import Samples
from palate.train.records.results import MIN_PROMPTS, Interval, length, stopped, style, unended

MIN_SIDE = 5  # prompts with answers of each kind: fewer say too little of other prompts
TINY = 1e-12


@dataclass(frozen=True)
class KTOResults:
    """The kept model on the test prompts; None where nothing could be measured.

    A reward is β times the log-probability of an answer, less that under the base model.
    """

    good: int  # held-out answers that people called good, or preferred more often than not
    bad: int
    prompts: int
    # of all pairs of a good and a bad answer, also to different prompts: the good one's reward is
    # higher; a tie counts half
    separation: float | None
    separation_interval: Interval | None  # for other prompts
    good_reward: float | None
    bad_reward: float | None
    pairs: int  # held-out comparisons by people, as `palate train` is measured on
    pair_accuracy: float | None  # the preferred answer's reward is higher; a tie counts half
    pair_interval: Interval | None  # for other prompts
    best_step: int

    @property
    def learned(self) -> str:
        """What the interval of the separation says: better or worse than chance, or open."""
        low, high = self.separation_interval or (0.0, 1.0)
        return "better" if low > 0.5 else "worse" if high < 0.5 else "open"


def answer_key(prompt: list[Message], completion: list[Message]) -> str:
    return digest(prompt, completion)


def kto_results(
    rewards: Mapping[str, float],
    test: Sequence[Unpaired],
    pairs: Sequence[Preference],
    step: int,
) -> KTOResults:
    """Return the figures of the kept model, whose weights are those of `step`.

    `rewards` are by `answer_key`; pairs with an answer that has none are not measured.
    """
    values = np.array([rewards[answer_key(r.prompt, r.completion)] for r in test])
    labels = np.array([r.label for r in test], dtype=bool)
    prompts = [r.prompt_id for r in test]
    both = bool(labels.any() and (~labels).any())
    leads, asked = [], []
    for p in pairs:
        sides = [answer_key(p.prompt, side) for side in (p.chosen, p.rejected)]
        if all(side in rewards for side in sides):
            leads.append(rewards[sides[0]] - rewards[sides[1]])
            asked.append(p.prompt_id)
    hits = [float(x) for x in (1 + np.sign(leads)) / 2]
    return KTOResults(
        good=int(labels.sum()),
        bad=int((~labels).sum()),
        prompts=len(set(prompts)),
        separation=separation(values, labels) if both else None,
        separation_interval=_interval(values, labels, prompts) if both else None,
        good_reward=float(values[labels].mean()) if labels.any() else None,
        bad_reward=float(values[~labels].mean()) if (~labels).any() else None,
        pairs=len(hits),
        pair_accuracy=sum(hits) / len(hits) if hits else None,
        pair_interval=clustered(hits, asked) if hits else None,
        best_step=step,
    )


def separation(values: np.ndarray, labels: np.ndarray) -> float:
    """Return how often a good answer has a higher value than a bad one; a tie counts half.

    This is the area under the ROC curve.
    """
    leads = values[labels][:, None] - values[~labels][None, :]
    return float(((1 + np.sign(leads)) / 2).mean())


def _interval(values: np.ndarray, labels: np.ndarray, prompts: Sequence[str]) -> Interval | None:
    """Return the 95% interval of the separation for other prompts, None where they are too few.

    The variance is clustered by prompt: N. A. Obuchowski, "Nonparametric analysis of clustered ROC
    curve data", Biometrics 53 (1997). The interval is exact for as many independent comparisons as
    the separation is worth, and no more than independent answers would give.
    """
    from scipy.special import ndtri, stdtrit

    places = np.unique(prompts, return_inverse=True)[1]
    units = min(len(set(places[labels == side])) for side in (True, False))
    if units < MIN_SIDE:
        return None
    rate, good, bad = separation(values, labels), values[labels], values[~labels]
    wins = (1 + np.sign(good[:, None] - bad[None, :])) / 2
    shares = np.zeros(len(values))
    shares[labels] = (wins.mean(1) - rate) / len(good)
    shares[~labels] = (wins.mean(0) - rate) / len(bad)
    totals = np.bincount(places, shares)
    variance = float(totals @ totals) * len(totals) / (len(totals) - 1)
    variance *= float(stdtrit(units - 1, 0.975) / ndtri(0.975)) ** 2
    most = 3 * len(good) * len(bad) / (len(values) + 1)
    # without any variation nothing shows how far a prompt decides
    worth = min(most, rate * (1 - rate) / variance) if variance > TINY else units
    return exact(worth * rate, worth)


def kto_alarms(results: KTOResults, failed_at: int | None, samples: Samples) -> tuple[str, ...]:
    """Return the alarms of a KTO run; `failed_at` is the step of a loss that was not a number."""
    raised = [*stopped(failed_at, results.best_step), *_unlearned(results)]
    if samples.prompts >= MIN_PROMPTS:
        raised += length(samples, "Lower the learning rate, or raise beta.")
        raised += unended(samples, "Lower the learning rate, or raise beta.")
        raised += style(samples, "Lower the learning rate, or raise beta.")
    return tuple(raised)


def _unlearned(results: KTOResults) -> Iterator[str]:
    if results.separation is not None and results.learned == "worse":
        yield (
            f"On held-out prompts, good answers have the higher reward in only"
            f" {100 * results.separation:.0f}% of the pairs with a bad one: it has not learned what"
            " people call good."
        )
