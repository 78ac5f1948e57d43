"""What is known of a reward: held-out accuracy, calibration, what length explains, alarms.

Pure: no I/O.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from palate.audit.baselines import Accuracy, Baseline, accuracy, bag_of_words, longer
from palate.core.rates import Rate
from palate.core.schema import Preference
from palate.reward.probe import folds
from palate.train.records.choice import temperature
from palate.train.records.results import RULES, Lead, Rule, lead
from palate.train.rows.data import as_audit_rows, preference_sentence

STRENGTHS = {1: "barely better", 2: "slightly better", 3: "plainly better", 4: "much better"}
MOST_PEOPLE = 10  # whose accuracy is listed, of those with the most pairs
BINS = 5
EXPLAINED = 0.5  # of the variance of scores within prompts, by length alone
HeldOut = Literal["folds and test", "test"]


@dataclass(frozen=True)
class RewardResults:
    """The reward on pairs of prompts that it had not seen; None where nothing was held out.

    With "folds and test", each train prompt was scored by a probe of the other folds, and each test
    prompt by the published one.
    """

    held_out: HeldOut
    accuracy: Rate
    by_strength: dict[str, Rate]
    by_annotator: dict[str, Rate]
    test: Rate
    train: Rate  # by the published reward, which has seen them
    baselines: dict[str, Accuracy]
    leads: dict[str, Lead]
    temperature: float  # a lead of the score, divided by it, is the log odds
    calibration_error: float | None
    log_loss: float | None
    length_explains: float | None  # of the variance of scores within prompts
    taste: str  # which lengths and formats the scores prefer

    def comparisons(self) -> list[str]:
        """Return what is known of the reward against each simple rule, a sentence each."""
        known = {
            "better": "The reward is right more often than {}.",
            "worse": "The reward is right less often than {}.",
            "open": "It cannot be told whether the reward is right more often than {}.",
        }
        return [
            f"{known[lead.known].format(RULES[name])} {lead.words()}"
            for name, lead in self.leads.items()
        ]


@dataclass(frozen=True)
class Scored:
    """Rows, and by how much the preferred answer's score leads in each."""

    rows: Sequence[Preference]
    leads: np.ndarray

    @property
    def prompts(self) -> list[str]:
        return [r.prompt_id for r in self.rows]


def results(
    held: Scored,
    test: Scored,
    train: Scored,
    rules: Mapping[str, Rule],
    explained: float,
    seed: int,
    *,
    folds: bool,
) -> RewardResults:
    """Return the figures. `held` are rows whose prompts did not teach the scores that they have."""
    chances = calibrated(held.leads, held.prompts, seed) if held.rows else None
    accuracies, leads = compared(rules, held.leads, held.prompts)
    known = [*train.rows, *test.rows]
    picked = [
        r if lead >= 0 else replace(r, chosen=r.rejected, rejected=r.chosen)
        for r, lead in zip(known, [*train.leads, *test.leads], strict=True)
    ]
    return RewardResults(
        held_out="folds and test" if folds else "test",
        accuracy=rates(held.rows, held.leads),
        by_strength=by_strength(held.rows, held.leads),
        by_annotator=by_annotator(held.rows, held.leads),
        test=rates(test.rows, test.leads),
        train=rates(train.rows, train.leads),
        baselines=accuracies,
        leads=leads,
        temperature=temperature(held.leads) if held.rows else 1.0,
        calibration_error=None if chances is None else calibration_error(chances),
        log_loss=None if chances is None else float(-np.log(chances).mean()),
        length_explains=explained,
        taste=preference_sentence(picked),
    )


def rules_by_fold(
    train: Sequence[Preference], test: Sequence[Preference], parts: Sequence[set[str]]
) -> dict[str, Rule]:
    """Return the simple rules on all rows, each row by a rule that has not seen its prompt.

    `parts` are the folds of the train prompts; test rows are judged by rules of all train rows.
    """
    known, held = as_audit_rows(train, "train"), as_audit_rows(test, "test")
    rules: dict[str, Baseline] = {"bag of words": bag_of_words, "length": longer}
    by_rule = {}
    for name, rule in rules.items():
        scores = np.zeros(len(known))
        for part in parts:
            own = [i for i, r in enumerate(train) if r.prompt_id in part]
            others = [known[i] for i, r in enumerate(train) if r.prompt_id not in part]
            if own and others:
                scores[own] = rule(others)([known[i] for i in own])
        both = np.concatenate([scores, rule(known)(held) if held else np.zeros(0)])
        right = (1 + np.sign(both)) / 2
        by_rule[name] = (accuracy([*known, *held], right), right)
    return by_rule


def rates(rows: Sequence[Preference], leads: np.ndarray) -> Rate:
    """Return how often the preferred answer has the higher score."""
    return Rate.of(
        [bool(x > 0) for x in leads], [r.prompt_id for r in rows], [r.annotator for r in rows], 0.5
    )


def grouped(
    rows: Sequence[Preference], leads: np.ndarray, names: Sequence[str | None], most: int
) -> dict[str, Rate]:
    """Return the accuracy by name, of those that have most rows."""
    counts = Counter(name for name in names if name)
    return {
        name: rates([r for r, n in zip(rows, names, strict=True) if n == name], leads[mask])
        for name, _ in counts.most_common(most)
        if (mask := np.array([n == name for n in names])).any()
    }


def by_strength(rows: Sequence[Preference], leads: np.ndarray) -> dict[str, Rate]:
    names = [STRENGTHS[r.strength] if r.strength else None for r in rows]
    by_name = grouped(rows, leads, names, len(STRENGTHS))
    return {name: by_name[name] for name in reversed(STRENGTHS.values()) if name in by_name}


def by_annotator(rows: Sequence[Preference], leads: np.ndarray) -> dict[str, Rate]:
    return grouped(rows, leads, [r.annotator or None for r in rows], MOST_PEOPLE)


def compared(
    rules: Mapping[str, Rule], leads: np.ndarray, prompts: Sequence[str]
) -> tuple[dict[str, Accuracy], dict[str, Lead]]:
    """Return the rules' accuracies, and by how much more often the reward is right."""
    right = (1 + np.sign(leads)) / 2
    return (
        {name: accuracy for name, (accuracy, _) in rules.items()},
        {name: lead(right - hits, prompts) for name, (_, hits) in rules.items()},
    )


def calibrated(leads: np.ndarray, prompts: Sequence[str], seed: int) -> np.ndarray | None:
    """Return the probability of each preferred answer, by the temperature of other prompts.

    None for fewer than two prompts.
    """
    parts = folds(prompts, seed)
    if len(parts) < 2:
        return None
    scaled = np.zeros(len(leads))
    for part in parts:
        own = np.array([p in part for p in prompts])
        scaled[own] = leads[own] / temperature(leads[~own])
    return 1 / (1 + np.exp(-scaled))


def calibration_error(probabilities: np.ndarray) -> float:
    """Return how far confidence is from accuracy, on average over bins of equally many pairs.

    `probabilities` are those of the preferred answers; the confidence is that of the answer with
    the higher score. M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining Well Calibrated
    Probabilities Using Bayesian Binning" (2015).
    """
    confidence = np.maximum(probabilities, 1 - probabilities)
    right = (1 + np.sign(probabilities - 0.5)) / 2
    bins = np.array_split(np.argsort(confidence, kind="stable"), BINS)
    return float(
        sum(abs(confidence[b].mean() - right[b].mean()) * len(b) for b in bins if len(b))
        / len(confidence)
    )


def length_explains(scores: np.ndarray, lengths: Sequence[int], prompts: Sequence[str]) -> float:
    """Return the share of the variance of scores within prompts that length alone explains.

    It is the better of a straight line over characters and over their logarithm.
    """
    y = centred(scores, prompts)
    if not (total := float(y @ y)):
        return 0.0
    shares = []
    for x in (np.asarray(lengths, float), np.log1p(np.asarray(lengths, float))):
        x = centred(x, prompts)
        spread = float(x @ x)
        shares.append(float(x @ y) ** 2 / (spread * total) if spread else 0.0)
    return max(shares)


def centred(values: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
    """Return the values less the mean of their prompt."""
    codes = {p: i for i, p in enumerate(dict.fromkeys(prompts))}
    index = np.array([codes[p] for p in prompts])
    means = np.bincount(index, values) / np.bincount(index)
    return values - means[index]


def alarms(results: RewardResults) -> tuple[str, ...]:
    """Return what deserves a second look."""
    return tuple(_alarms(results))


def _alarms(results: RewardResults) -> Iterator[str]:
    accuracy = results.accuracy
    if accuracy.interval and accuracy.interval[0] <= 0.5:
        yield (
            f"On prompts that it had not seen, the reward is right on {accuracy.words()}: chance"
            " (50%) is not ruled out. Collect more labels before you use it."
        )
    for name, ahead in results.leads.items():
        if ahead.known == "worse" or ahead.difference <= 0:
            yield (
                f"The reward is not shown to be better than {RULES[name]}, which is right on"
                f" {100 * results.baselines[name].rate:.1f}% of the same pairs. {ahead.words()}"
                " Collect labels on more prompts."
            )
    explained = results.length_explains
    if explained is not None and explained >= EXPLAINED:
        yield (
            f"Length alone explains {100 * explained:.0f}% of how scores differ between answers to"
            " the same prompt. What this reward chooses, it chooses mostly by length."
        )
    if results.train.rate and accuracy.rate and results.train.rate - accuracy.rate > 0.3:
        yield (
            f"The reward is right on {100 * results.train.rate:.0f}% of the pairs that it was"
            f" trained on, and on {100 * accuracy.rate:.0f}% of those that it was not: it has"
            " learned these pairs. Collect labels on more prompts."
        )
