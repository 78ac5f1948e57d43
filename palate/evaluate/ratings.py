"""Several models in one evaluation: how strong each is, from all votes between any two.

Pure: no I/O. `evaluate.bradley_terry` computes the differences and how sure they are.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np

from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.rates import ALPHA
from palate.core.schema import BEST_OF, IMPORTED, Candidate, Event, Model, model_of
from palate.evaluate.bradley_terry import Games, Strengths, numbered, strengths
from palate.evaluate.decision import PEOPLE_NEEDED
from palate.evaluate.verdict import Verdict

Interval = tuple[float | None, float | None]  # None is an open end
FEW = 4  # models of which a terminal shows every difference


@dataclass(frozen=True)
class Difference:
    """Points of `model` less those of `other`; 100 more win 64% of votes.

    `points` is None where the votes between them have no best estimate: one won all of them, or
    none compares them. `interval`: 95%, for one look when all votes are in.
    """

    model: Model
    other: Model
    points: float | None
    interval: Interval

    def words(self) -> str:
        """Return such as "+200 points (+150 to +250)" or "at least +120 points"."""
        low, high = self.interval
        if self.points is not None and low is not None and high is not None:
            return f"{self.points:+.0f} points ({low:+.0f} to {high:+.0f})"
        if self.points is not None:
            return f"{self.points:+.0f} points (too few prompts or people for an interval)"
        if low is not None:
            return f"at least {low:+.0f} points: it won every vote that compares them"
        if high is not None:
            return f"at most {high:+.0f} points: it lost every vote that compares them"
        return "not known: too few votes or prompts compare them"


@dataclass(frozen=True)
class Rating:
    """A model, its difference from the reference, and its places as far as they are known."""

    model: Model
    over: Difference | None  # None for the reference
    places: tuple[int, int]
    votes: int

    @property
    def place(self) -> str:
        first, last = self.places
        return str(first) if first == last else f"{first}–{last}"


@dataclass(frozen=True)
class RatingList:
    """Models that votes connect, the strongest first; models of two lists never met."""

    reference: Model
    ratings: list[Rating]
    differences: list[Difference]  # of every two, the stronger one first
    votes: int
    prompts: int
    people: int
    comparisons: int  # of all lists, among which places allow for chance

    def scope(self) -> str:
        """Return what the ratings are made of, and for whom they hold."""
        population = "prompts and people like these"
        if self.people < PEOPLE_NEEDED:
            voted = "person" if self.people == 1 else f"{self.people} people"
            population = f"prompts like these and the {voted} who voted"
        return (
            f"{count(len(self.ratings), 'model')} by {count(self.votes, 'vote')} on"
            f" {count(self.prompts, 'prompt')}, for {population}."
        )

    def reading(self) -> str:
        """Return how to read intervals and places."""
        misses = round(ALPHA * len(self.differences))
        among = f", so about {misses} of these {len(self.differences):,} miss" if misses else ""
        return (
            "100 points more win 64% of votes. Each 95% interval holds for one look when voting is"
            f" over{among}. Places differ only where all {self.comparisons:,} comparisons together"
            " leave at most a 5% chance of any mistake."
        )


def ratings(
    events: Iterable[Event], candidates: Sequence[Candidate], first: Model | None = None
) -> list[RatingList]:
    """Return the models that somebody voted on, in lists that votes connect.

    The reference of a list is `first` if it is in it, else the model with the most votes. Empty
    with fewer than three models.
    """
    models, games, votes = _games(events, candidates)
    if len(models) < 3:
        return []
    fit = strengths(games)
    number = fit.met()
    lists = [np.flatnonzero(number == n).tolist() for n in dict.fromkeys(number.tolist())]
    pairs = sum(math.comb(len(own), 2) for own in lists)
    rated = [_list(fit, own, models, votes, first, pairs) for own in lists]
    return sorted(rated, key=lambda one: (one.reference != first, -one.votes))


def _games(
    events: Iterable[Event], candidates: Sequence[Candidate]
) -> tuple[list[Model], Games, list[int]]:
    """Return the models, the votes between two of them, and how many each has."""
    by_id = {c.id: model_of(c) for c in candidates if c.model}
    cast = [
        (by_id[e.left], by_id[e.right], e)
        for e in standing_judgements(events)
        if e.kind in ("label", "tie")
        and e.left in by_id
        and e.right in by_id
        and by_id[e.left] != by_id[e.right]
    ]
    models = list(dict.fromkeys(m for left, right, _ in cast for m in (left, right)))
    index = {model: i for i, model in enumerate(models)}
    left, right = (np.array([index[row[side]] for row in cast], np.intp) for side in (0, 1))
    result = [0.5 if e.kind == "tie" else float(e.chosen == e.left) for *_, e in cast]
    prompts = numbered([e.prompt_id for *_, e in cast])
    people = numbered([e.annotator for *_, e in cast])
    games = Games(len(models), left, right, np.array(result), prompts, people)
    votes = np.bincount(np.concatenate((left, right)), minlength=len(models)).tolist()
    return models, games, votes


def _list(
    fit: Strengths,
    own: list[int],
    models: Sequence[Model],
    votes: Sequence[int],
    first: Model | None,
    pairs: int,
) -> RatingList:
    """Return the list of the models `own`, numbers into `models`; `pairs` are all comparisons."""
    strongest = sorted(own, key=lambda i: _strength(fit, own, i), reverse=True)
    reference = next((i for i in own if models[i] == first), max(own, key=lambda i: votes[i]))
    alpha = ALPHA / max(pairs, 1)
    above = {(i, j) for i in own for j in own if i != j and fit.differ(i, j, alpha)}
    rated = [
        Rating(
            models[i],
            None if i == reference else _difference(fit, models, i, reference),
            (
                1 + sum((j, i) in above for j in own),
                len(own) - sum((i, j) in above for j in own),
            ),
            votes[i],
        )
        for i in strongest
    ]
    differences = [_difference(fit, models, i, j) for i, j in combinations(strongest, 2)]
    games = fit.games.among(np.isin(fit.games.left, own))
    return RatingList(
        models[reference], rated, differences, len(games.left),
        len(np.unique(games.prompt)), len(np.unique(games.person)), pairs,
    )  # fmt: skip


def _strength(fit: Strengths, own: Sequence[int], i: int) -> tuple[int, float, float]:
    """Return a key that sorts by strength, though some differences are infinite or unknown."""
    row = fit.points[i, own]
    beaten = int(np.isposinf(row).sum()) - int(np.isneginf(row).sum())
    finite = row[np.isfinite(row)]
    return beaten, -float(np.flatnonzero(np.isfinite(row))[0]), float(finite.mean())


def _difference(fit: Strengths, models: Sequence[Model], i: int, j: int) -> Difference:
    low, high = fit.interval(i, j)
    points = float(fit.points[i, j])
    return Difference(
        models[i], models[j], points if math.isfinite(points) else None,
        (low if math.isfinite(low) else None, high if math.isfinite(high) else None),
    )  # fmt: skip


def figures(verdict: Verdict, rated: Sequence[RatingList]) -> dict[str, object]:
    """Return a verdict's figures for JSON, together with the ratings."""
    return verdict.to_json() | {"ratings": [asdict(one) for one in rated]}


def name(model: Model) -> str:
    """Return the model's name, and its commit if that is known, or what a reward chose."""
    if model.revision.startswith(BEST_OF):
        n = model.revision.removeprefix(BEST_OF).partition(".")[0]
        return f"best of {n} by {model.repo}"
    known = model.revision != IMPORTED
    return f"{model.repo} at {model.revision[:7]}" if known else model.repo


def short_names(rated: Iterable[RatingList], project: str) -> dict[Model, str]:
    """Return what a page calls the models: "kto" for me/titles-kto, if no other is called so."""
    models = [r.model for one in rated for r in one.ratings]
    short = {m: _short(m, project) for m in models}
    times = Counter(short.values())
    return {m: own if times[own] == 1 else name(m) for m, own in short.items()}


def _short(model: Model, project: str) -> str:
    if model.revision.startswith(BEST_OF):
        return f"best of {model.revision.removeprefix(BEST_OF).partition('.')[0]}"
    return model.repo.removeprefix(f"{project}-")


def table(rated: Sequence[RatingList]) -> list[str]:
    """Return a line for each model, and what the lines say and do not say."""
    lines = []
    for number, one in enumerate(rated):
        if number:
            lines.append("No vote connects the next models with those above.")
        lines.append(f"Ratings of {one.scope()}")
        for r in one.ratings:
            points = "the reference" if r.over is None else r.over.words()
            lines.append(f"{r.place}. {name(r.model)}: {points}, {count(r.votes, 'vote')}")
        others = [d for d in one.differences if one.reference not in (d.model, d.other)]
        if len(one.ratings) <= FEW:
            lines += [f"{name(d.model)} over {name(d.other)}: {d.words()}" for d in others]
        elif others:
            lines.append("Any two models: palate verdict --json")
    return [*lines, rated[0].reading()] if rated else []
