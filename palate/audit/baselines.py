"""Baselines that a model has to beat: a lookup table, length, a bag of words. Pure: no I/O.

Accuracies are of held-out rows, pooled over folds; equal scores count as half right.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from palate.audit.rows import Row
from palate.core.rates import clustered
from palate.core.similar import HAN, THAI
from palate.core.splits import normal

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

FOLDS, FEWER_FOLDS = 10, 5
SMALL_ROWS = 3_000  # up to here more folds and repetitions are cheap, and steady the figure
FEW_ROWS = 1_000  # of texts with more words than that, which are regressed in fewer dimensions
MOST_ROWS = 8_000  # more rows change an accuracy by less than its interval
WORD = rf"(?u)[{HAN}]|[{THAI}]{{1,4}}|(?:(?![{HAN}{THAI}])\w)+|[^\w\s]"

Scorer = Callable[[Sequence[Row]], np.ndarray]  # the lead of each row's winner, shape (rows,)
Baseline = Callable[[Sequence[Row]], Scorer]  # fitted on rows


@dataclass(frozen=True)
class Accuracy:
    """A held-out accuracy; the 95% interval knows that rows of one prompt resemble each other."""

    rate: float
    interval: tuple[float, float]
    n: int

    @property
    def low(self) -> float:
        return self.interval[0]

    def to_json(self) -> dict[str, object]:
        return {"rate": self.rate, "interval": list(self.interval), "n": self.n}

    def words(self) -> str:
        """Return "63.5% (59.1–67.8%)"."""
        low, high = (100 * x for x in self.interval)
        return f"{100 * self.rate:.1f}% ({low:.1f}–{high:.1f}%)"


def sample(rows: Sequence[Row], seed: int = 0) -> list[Row]:
    """Return the rows of random prompts, at most `MOST_ROWS` of them."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(normal(row.prompt), []).append(row)
    order = list(groups.values())
    Random(seed).shuffle(order)
    kept: list[Row] = []
    for group in order:
        if len(kept) + len(group) > MOST_ROWS:
            break
        kept += group
    return kept or list(rows[:MOST_ROWS])


def folds(rows: Sequence[Row], by_prompt: bool, seed: int) -> list[list[int]]:
    """Return up to ten folds of row indices; `by_prompt` keeps each prompt in one fold."""
    groups: dict[str | int, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(normal(row.prompt) if by_prompt else i, []).append(i)
    order = list(groups.values())
    Random(seed).shuffle(order)
    n = min(fold_count(len(rows)), len(order))
    return [list(chain(*order[k::n])) for k in range(n)]


def fold_count(rows: int) -> int:
    return FOLDS if rows <= SMALL_ROWS else FEWER_FOLDS


def held_out(rows: Sequence[Row], baseline: Baseline, *, by_prompt: bool) -> Accuracy:
    """Return the accuracy on each fold of a baseline fitted on the other folds' rows.

    Few rows are shuffled and folded several times. Raises ValueError for fewer than two folds.
    """
    shuffles = 3 if len(rows) <= SMALL_ROWS else 1
    right = np.zeros(len(rows))
    for seed in range(shuffles):
        split = folds(rows, by_prompt, seed)
        if len(split) < 2:
            raise ValueError("expected rows of two prompts at least")
        for k, fold in enumerate(split):
            train = [i for j, other in enumerate(split) if j != k for i in other]
            score = baseline([rows[i] for i in train])
            right[fold] += _right(score([rows[i] for i in fold])) / shuffles
    return accuracy(rows, right)


def tested(train: Sequence[Row], test: Sequence[Row], baseline: Baseline) -> Accuracy:
    """Return the accuracy on `test` of a baseline fitted on `train`."""
    return accuracy(test, _right(baseline(train)(test)))


def accuracy(rows: Sequence[Row], right: np.ndarray) -> Accuracy:
    """Return the mean of `right`, shape (rows,), with an interval that is clustered by prompt."""
    interval = clustered(right.tolist(), [normal(r.prompt) for r in rows])
    return Accuracy(float(np.mean(right)), interval or (0.0, 1.0), len(rows))


def lookup(train: Sequence[Row]) -> Scorer:
    """Score a text by its wins less its losses in `train`; this measures a leak."""
    wins: Counter[str] = Counter()
    for row in train:
        wins[row.winner] += 1
        wins[row.loser] -= 1
    return lambda rows: np.array([wins[r.winner] - wins[r.loser] for r in rows])


def longer(train: Sequence[Row]) -> Scorer:
    """Prefer the longer or the shorter text, as `train` does."""

    def leads(rows: Sequence[Row]) -> np.ndarray:
        return np.array([len(r.winner) - len(r.loser) for r in rows])

    sign = np.sign(np.sign(leads(train)).sum())
    return lambda rows: sign * leads(rows)


def bag_of_words(train: Sequence[Row]) -> Scorer:
    """Fit a Bradley-Terry model of words and word pairs: a logistic regression on differences."""
    words = _vectorizer(train)
    fitted = _fit(_differences(words, train))
    return lambda rows: fitted(_differences(words, rows))


def shared_words(rows: Sequence[Row]) -> Baseline:
    """Return `bag_of_words` for folds of these rows, whose words are counted once.

    A word that no row of a fold's training has gets the weight 0, as if it were unknown.
    """
    counted = _differences(_vectorizer(rows), rows)
    if counted.shape[0] <= FEW_ROWS and counted.shape[0] < counted.shape[1]:
        counted = _turned(counted)
    place = {id(row): i for i, row in enumerate(rows)}

    def of(some: Sequence[Row]) -> "csr_matrix":
        return counted[[place[id(row)] for row in some]]

    def baseline(train: Sequence[Row]) -> Scorer:
        x = of(train)
        used = np.unique(x.indices)
        fitted = _fit(x[:, used])
        return lambda some: fitted(of(some)[:, used])

    return baseline


def _turned(x: "csr_matrix") -> "csr_matrix":
    """Return the rows in as many dimensions as there are rows, with the same products.

    A regression with an L2 penalty depends on the rows' products alone.
    """
    from scipy.sparse import csr_matrix

    values, vectors = np.linalg.eigh((x @ x.T).toarray().astype(float))
    return csr_matrix(vectors * np.sqrt(values.clip(0)))


def _vectorizer(rows: Sequence[Row]) -> "CountVectorizer":
    from sklearn.feature_extraction.text import CountVectorizer

    words = CountVectorizer(token_pattern=WORD, ngram_range=(1, 2))
    return words.fit([text for r in rows for text in (r.winner, r.loser)])


def _differences(words: "CountVectorizer", rows: Sequence[Row]) -> "csr_matrix":
    better = words.transform([r.winner for r in rows])
    return (better - words.transform([r.loser for r in rows])).tocsr()


def _fit(x: "csr_matrix") -> "Callable[[csr_matrix], np.ndarray]":
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    signs = np.resize((1, -1), x.shape[0])  # half of the rows with their sides exchanged
    model = LogisticRegression(C=0.3, max_iter=1000, fit_intercept=False)
    with threadpool_limits(1):  # several threads wait for each other on a busy machine
        model.fit(x.multiply(signs[:, None]).tocsr(), signs > 0)
    return model.decision_function


def _right(scores: np.ndarray) -> np.ndarray:
    return (1 + np.sign(scores)) / 2
