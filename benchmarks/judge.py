"""What a judge's labels add to a person's few: recorded labels, five folds by prompt.

    python benchmarks/judge.py [--model FOLDER] [--data pairs.csv] [--seeds 3] [--words]

FOLDER holds SmolLM2-135M-Instruct, as for `reward.py`; with --words, the features are a bag of
words. Of each fold's other prompts, half belong to the person, who labels 50 or 100 of their pairs,
and half make the judge: a probe of all their labels, in place of a language model that shares the
taste in part. A second judge is a probe of the person's own labels, which knows nothing else.
The judge answers the person's other pairs. As in `palate train --ai`, each answer weighs twice its
agreement with the person's labels less one, and a judge not shown to be above chance is not used.
A linear reward learns from both, and is measured on the fold's pairs.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from support import folds, titles

from palate.core.rates import Rate, clustered
from palate.core.schema import Preference
from palate.demo import smollm2
from palate.reward import features, probe
from palate.reward.rows import Answers
from palate.train.records.results import Lead, lead
from palate.train.rows.feedback import Feedback

PENALTY = 3.0  # of the squared weights, as in `uncertain.py`
LABELS = (50, 100)
JUDGES = ("none", "a probe of other prompts", "a probe of the person's own labels")
Key = tuple[int, str]  # labels of the person, judge


@dataclass
class Result:
    """The shares of seeds in which each row was right, and what was seen of the judge."""

    right: np.ndarray
    agreement: list[float] = field(default_factory=list)
    used: int = 0
    runs: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--words", action="store_true")
    arguments = parser.parse_args()
    rows = folds.preferences(arguments.data)
    show(rows, replay(rows, read(arguments, rows), arguments.seeds))


def read(arguments: argparse.Namespace, rows: Sequence[Preference]) -> np.ndarray:
    """Return the features of all answers, shape (answers, width)."""
    answers = Answers.of(rows)
    if arguments.words:
        from sklearn.feature_extraction.text import CountVectorizer

        words = CountVectorizer(binary=True, token_pattern=r"(?u)\w+|[^\w\s]")
        return words.fit_transform([chat[-1]["content"] for chat in answers.chats]).toarray() * 1.0
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or Path(folder)
        if not arguments.model:
            smollm2.save_model(model)
        loaded = folds.load(model)
        texts = features.chats(loaded.tokenizer, answers.chats)
        layer = features.middle(loaded.model.config)
        return features.extract(loaded, texts, answers.prompts, [layer])[layer]


def replay(rows: Sequence[Preference], found: np.ndarray, seeds: int) -> dict[Key, Result]:
    pairs = Answers.of(rows).pairs(rows, "off")
    results = {(n, judge): Result(np.zeros(len(rows))) for n in LABELS for judge in JUDGES}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        for part in probe.folds(pairs.prompts, seed):
            held = pairs.of(part)
            others = sorted({*pairs.prompts} - part)
            rng.shuffle(others)
            own = pairs.of(set(others[::2]))
            judge = probe.fit(found, pairs.part(pairs.of(set(others[1::2]))), PENALTY)
            order = rng.permutation(np.flatnonzero(own))
            for n in LABELS:
                person, left = order[:n], order[n:]
                for name in JUDGES:
                    result = results[n, name]
                    scores = learned(found, pairs, person, left, name, judge, result)
                    result.right[held] += _right(scores, pairs)[held] / seeds
    return results


def learned(
    found: np.ndarray, pairs: probe.Pairs, person: np.ndarray, left: np.ndarray, name: str,
    judge: np.ndarray, result: Result,
) -> np.ndarray:  # fmt: skip
    """Return the scores of a reward that learned from the person's labels, and a judge's."""
    weights = np.ones(len(person))
    result.runs += 1
    if name == JUDGES[0]:
        return found @ fit(found, pairs, person, np.ones(len(person)), weights)
    own = name == JUDGES[2]
    if own:  # how far it agrees is measured on prompts that it has not seen
        leads = probe.held_out_scores({0: found}, pairs.part(person), 0)
        agreed = leads > 0
        judge = probe.fit(found, pairs.part(person), PENALTY)
    else:
        agreed = _right(found @ judge, pairs)[person] == 1
    prompts = [pairs.prompts[i] for i in person]
    rate = Rate.of(list(map(bool, agreed)), prompts, ["p-1"] * len(person), chance=0.5)
    said = Feedback(name, [], rate, 0)
    result.agreement.append(rate.rate or 0.0)
    if said.problem:
        return found @ fit(found, pairs, person, np.ones(len(person)), weights)
    result.used += 1
    both = np.concatenate([person, left])
    scores = found @ judge
    won = np.concatenate([np.ones(len(person)), _right(scores, pairs)[left]])
    weights = np.concatenate([weights, np.full(len(left), said.weight)])
    return found @ fit(found, pairs, both, won, weights)


def _right(scores: np.ndarray, pairs: probe.Pairs) -> np.ndarray:
    """Return 1 where the first answer, which the person preferred, scores higher, ½ for a tie."""
    return (1 + np.sign(scores[pairs.first] - scores[pairs.second])) / 2


def fit(
    found: np.ndarray, pairs: probe.Pairs, rows: np.ndarray, won: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return a linear reward of weighted rows, with the penalty of `palate reward`."""
    from scipy.optimize import minimize
    from scipy.special import expit

    part = pairs.part(rows)
    space = probe.Space.of(found[part.answers()])
    steps = found[part.first] - found[part.second]
    steps = (steps - np.outer(steps @ space.mean, space.mean)) * space.scale

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        leads = steps @ w
        value = won * np.logaddexp(0, -leads) + (1 - won) * np.logaddexp(0, leads)
        slope = weights * (expit(leads) - won)
        return float(weights @ value + PENALTY * w @ w / 2), steps.T @ slope + PENALTY * w

    best = minimize(loss, np.zeros(steps.shape[1]), jac=True, method="L-BFGS-B").x * space.scale
    return best - (best @ space.mean) * space.mean


def show(rows: Sequence[Preference], results: dict[Key, Result]) -> None:
    prompts = [r.prompt_id for r in rows]
    print("| labels | judge | agrees | used | held out | 95% interval | judge's labels add |")
    print("|---:|---|---:|---:|---:|---|---|")
    for (n, name), result in results.items():
        low, high = clustered(result.right.tolist(), prompts) or (0.0, 1.0)
        agrees = f"{100 * np.mean(result.agreement):.1f}%" if result.agreement else ""
        used = f"{result.used} of {result.runs}" if result.agreement else ""
        added = "" if name == JUDGES[0] else "nothing: never used"
        if result.used:
            added = words(lead(result.right - results[n, JUDGES[0]].right, prompts))
        print(
            f"| {n} | {name} | {agrees} | {used} | {100 * result.right.mean():.1f}% |"
            f" {100 * low:.1f}–{100 * high:.1f}% | {added} |"
        )


def words(ahead: Lead) -> str:
    low, high = (100 * x for x in ahead.interval or (-1.0, 1.0))
    return f"{100 * ahead.difference:+.1f} points ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
