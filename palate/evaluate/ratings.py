"""Several models in one evaluation: how strong each is, from all votes between any two.

Pure: no I/O.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.schema import Candidate, Event, Model, model_of
from palate.evaluate.verdict import Verdict

RESAMPLES = 200
MIN_PROMPTS = 5  # fewer are not resampled
SCALE = 400 / math.log(10)  # of chess ratings: 400 points are odds of ten to one
# Every two models share this fraction of a tie, so that one that always wins stays finite.
PRIOR_TIE = 0.2

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rating:
    """A model's strength; the first model's is 0, and 100 points more win 64% of votes."""

    model: Model
    points: float
    interval: tuple[float, float] | None  # 95%, over prompts; None: the first one, few prompts
    votes: int

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class _Game:
    """A vote between two models; 1 is a win of the left one, ½ a tie."""

    left: Model
    right: Model
    result: float
    prompt_id: str


def ratings(events: Iterable[Event], candidates: Sequence[Candidate], first: Model) -> list[Rating]:
    """Return a rating for each model that somebody voted on, the strongest first.

    The maximum of the Bradley–Terry likelihood (R. A. Bradley, M. E. Terry, "Rank analysis of
    incomplete block designs", Biometrika 39, 1952), a tie as half a win of either; intervals
    resample prompts. Empty with fewer than three models.
    """
    games = _games(events, candidates)
    models = list(dict.fromkeys([first, *(m for g in games for m in (g.left, g.right))]))
    if len(models) < 3:
        return []
    points = _points(games, models, np.ones(len(games)))
    intervals = _intervals(games, models)
    rated = [
        Rating(
            model, float(points[i]), intervals[i], sum(model in (g.left, g.right) for g in games)
        )
        for i, model in enumerate(models)
    ]
    return sorted(rated, key=lambda r: -r.points)


def _games(events: Iterable[Event], candidates: Sequence[Candidate]) -> list[_Game]:
    models = {c.id: model_of(c) for c in candidates if c.model}
    return [
        _Game(
            models[e.left],
            models[e.right],
            0.5 if e.kind == "tie" else float(e.chosen == e.left),
            e.prompt_id,
        )
        for e in standing_judgements(events)
        if e.kind in ("label", "tie")
        and e.left in models
        and e.right in models
        and models[e.left] != models[e.right]
    ]


def _points(games: Sequence[_Game], models: Sequence[Model], weights: Floats) -> Floats:
    """Return the points of the models, the first one's 0; `weights` is (games,)."""
    import evalica

    number = {model: i for i, model in enumerate(models)}
    winner = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    prior = list(combinations(range(len(models)), 2))
    scores = evalica.bradley_terry(
        [number[g.left] for g in games] + [a for a, _ in prior],
        [number[g.right] for g in games] + [b for _, b in prior],
        [winner[g.result] for g in games] + [evalica.Winner.Draw] * len(prior),
        weights=[*weights, *[PRIOR_TIE] * len(prior)],
        limit=10_000,  # iterations; a dozen usually suffice
    ).scores.sort_index()
    logits = np.log(scores.to_numpy())
    return SCALE * (logits - logits[0])


def _intervals(games: Sequence[_Game], models: Sequence[Model]) -> list[tuple[float, float] | None]:
    """Return the 95% interval of each model's points over resampled prompts."""
    prompts = {p: i for i, p in enumerate(dict.fromkeys(g.prompt_id for g in games))}
    k = len(prompts)
    if k < MIN_PROMPTS:
        return [None] * len(models)
    random = np.random.default_rng(0)
    draws = random.multinomial(k, np.full(k, 1 / k), size=RESAMPLES).astype(float)
    weights = draws[:, [prompts[g.prompt_id] for g in games]]
    points = np.array([_points(games, models, w) for w in weights])
    low, high = np.quantile(points, (0.025, 0.975), axis=0)
    return [None, *((float(low[i]), float(high[i])) for i in range(1, len(models)))]


def figures(verdict: Verdict, rated: Sequence[Rating]) -> dict[str, object]:
    """Return a verdict's figures for JSON, together with the ratings."""
    return verdict.to_json() | {"ratings": [r.to_json() for r in rated]}


def table(rated: Sequence[Rating]) -> list[str]:
    """Return a line for each model."""
    lines = []
    for place, r in enumerate(rated, 1):
        bounds = "" if r.interval is None else f" ({r.interval[0]:+.0f} to {r.interval[1]:+.0f})"
        name = f"{r.model.repo} at {r.model.revision[:7]}"
        lines.append(f"{place}. {name}: {r.points:+.0f} points{bounds}, {count(r.votes, 'vote')}")
    return lines
