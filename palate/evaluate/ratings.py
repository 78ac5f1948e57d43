"""Several models in one evaluation: how strong each is, from all votes between any two. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.schema import Candidate, Event, Model, model_of
from palate.evaluate.verdict import Verdict

RESAMPLES = 200
SCALE = 400 / math.log(10)  # of chess ratings: 400 points are odds of ten to one


@dataclass(frozen=True)
class Rating:
    """A model's strength; the first model's is 0, and 100 points more win 64 % of votes."""

    model: Model
    points: float
    interval: tuple[float, float] | None  # 95 %, over prompts; None for the first, or few prompts
    votes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def ratings(events: Iterable[Event], candidates: Sequence[Candidate], first: Model) -> list[Rating]:
    """Return a rating for each model that somebody voted on, the strongest first.

    The maximum of the Bradley–Terry likelihood (R. A. Bradley, M. E. Terry, "Rank analysis of
    incomplete block designs", Biometrika 39, 1952) by logistic regression, a tie as half a win of
    either; intervals resample prompts. Empty with fewer than three models.
    """
    model = {c.id: model_of(c) for c in candidates if c.model}
    games = [
        (model[e.left], model[e.right], 0.5 if e.kind == "tie" else float(e.chosen == e.left),
         e.prompt_id)
        for e in standing_judgements(events)
        if e.kind in ("label", "tie") and e.left in model and e.right in model
        and model[e.left] != model[e.right]
    ]  # fmt: skip
    names = list(dict.fromkeys([first, *(m for g in games for m in g[:2])]))
    if len(names) < 3:
        return []
    number = {m: i for i, m in enumerate(names)}
    x = np.zeros((len(games), len(names)))
    for row, (left, right, _, _) in enumerate(games):
        x[row, number[left]], x[row, number[right]] = 1, -1
    result = np.array([g[2] for g in games])
    points = _fit(x, result)
    by_prompt: dict[str, list[int]] = {}
    for row, game in enumerate(games):
        by_prompt.setdefault(game[3], []).append(row)
    drawn = _resampled(x, result, list(by_prompt.values()))
    made = []
    for m, i in number.items():
        interval = None
        if i and drawn is not None:
            low, high = np.quantile(drawn[:, i], (0.025, 0.975))
            interval = float(low), float(high)
        votes = int(np.abs(x[:, i]).sum())
        made.append(Rating(m, float(points[i]), interval, votes))
    return sorted(made, key=lambda r: -r.points)


def figures(result: Verdict, rated: Sequence[Rating]) -> dict[str, Any]:
    """Return a verdict's figures for JSON, with the ratings beside them."""
    return result.to_json() | {"ratings": [r.to_json() for r in rated]}


def _resampled(x: Any, result: Any, groups: list[list[int]]) -> Any:
    if len(groups) < 5:
        return None
    random, found = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = [r for k in random.integers(len(groups), size=len(groups)) for r in groups[k]]
        found.append(_fit(x[rows], result[rows]))
    return np.array(found)


def _fit(x: Any, result: Any) -> Any:
    """Return points, the first model's 0; a weak prior keeps who always wins finite."""
    from sklearn.linear_model import LogisticRegression

    rows, won = np.vstack((x, x)), np.repeat((1, 0), len(x))
    weight = np.concatenate((result, 1 - result))
    kept = weight > 0
    if len(set(won[kept])) < 2:  # one side won all: say each vote from the other side, too
        rows, won, weight = np.vstack((rows, -rows)), np.append(won, 1 - won), np.tile(weight, 2)
        kept = weight > 0
    model = LogisticRegression(C=10.0, fit_intercept=False, max_iter=500)
    model.fit(rows[kept], won[kept], sample_weight=weight[kept])
    return SCALE * (model.coef_[0] - model.coef_[0][0])


def table(found: Sequence[Rating]) -> list[str]:
    """Return a line for each model."""
    lines = []
    for place, r in enumerate(found, 1):
        bounds = "" if r.interval is None else f" ({r.interval[0]:+.0f} to {r.interval[1]:+.0f})"
        name = f"{r.model.repo} at {r.model.revision[:7]}"
        lines.append(f"{place}. {name}: {r.points:+.0f} points{bounds}, {count(r.votes, 'vote')}")
    return lines
