"""Which pairs of a prompt are worth asking now. Pure: no I/O.

A strategy is one small class. It sees a prompt's pairs with everybody's answers and returns the
pairs to ask; `assignment.Queue` decides who gets them.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Protocol

import numpy as np

from palate.core.errors import BadInput
from palate.core.schema import Pair, Purpose
from palate.core.typed import Check, read, version_of
from palate.label.ranking import Group

NOTES_VERSION = 0
REFIT = 5  # prompts with new answers, after which `uncertain` is computed again
NEWTON_STEPS = 8
Chance = Callable[[str], float]  # a number in [0, 1) for an id, always the same for a person


def strategy_of(
    name: str,
    pairs: Sequence[Pair],
    notes: "RewardNotes",
    disputes: Mapping[str, int] | None = None,
) -> "Strategy":
    """Return the strategy that palate.toml names.

    `uncertain` ranks until there is a reward, and `disputed` until judges have answered.
    """
    if name == "uncertain" and notes.vectors:
        return Uncertain(pairs, notes.vectors, notes.penalty)
    if name == "disputed" and disputes:
        return Disputed(disputes)
    return STRATEGIES[name]()


@dataclass(frozen=True)
class Question:
    """A pair to ask about, and why."""

    pair: Pair
    purpose: Purpose = "ask"

    @property
    def id(self) -> str:
        return f"{self.purpose}:{self.pair.id}"


class Strategy(Protocol):
    """Which pairs of a prompt can be asked now, and in which order."""

    local: bool  # whether a pair's rank for a person depends only on its prompt and on them

    def open(self, group: Group, mine: Collection[str]) -> tuple[list[Pair], int]:
        """Return the pairs to ask now, and about how many questions are left, these included.

        `mine`: ids of the pairs that the person has answered or skipped.
        """

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        """Return a sort key; the pair with the smallest key is asked first."""

    def learn(self, group: Group) -> None:
        """Update what the strategy knows from a prompt whose judgements have changed."""


@dataclass(frozen=True)
class Doubt:
    """A person's choice that the reward, made of other prompts, finds unlikely."""

    annotator: str
    pair_id: str
    probability: float  # of the choice


def _fit(vectors: Mapping[str, Sequence[float]]) -> bool:
    """Tell whether all vectors are finite and of one size: another could not be computed with."""
    sizes = {len(vector) for vector in vectors.values()} or {1}
    numbers = (x for vector in vectors.values() for x in vector)
    return len(sizes) == 1 and sizes <= {*range(1, 65)} and all(abs(x) < 1e9 for x in numbers)


@dataclass(frozen=True)
class RewardNotes:
    """reward.json of a project: what `palate reward` says about its labels."""

    version: int
    round: int
    doubts: tuple[Doubt, ...]
    # of a linear reward's squared weights
    penalty: Annotated[float, Check(lambda x: 0 < x < math.inf, "a number above 0")] = 1.0
    vectors: Annotated[  # of candidates, by id
        dict[str, tuple[float, ...]], Check(_fit, "vectors of one size, 64 at most")
    ] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, source: object) -> "RewardNotes":
        """Return the notes that the text holds; none for an empty one."""
        if not text:
            return cls(NOTES_VERSION, 1, ())
        try:
            value = json.loads(text)
        except ValueError as error:
            raise BadInput(source, f"not JSON: {error}") from None
        version_of(value, NOTES_VERSION, source)
        return read(cls, value, source)

    def text(self) -> str:
        """Return the content of reward.json."""
        return json.dumps(asdict(self), separators=(",", ":")) + "\n"


Ask = tuple[tuple[float, ...], str, Pair]  # rank, question id


@dataclass
class Agenda:
    """What one person can be asked, prompt by prompt, if nobody else held anything."""

    # prompt → pairs to ask now, best first
    asks: dict[str, list[Ask]] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)  # prompt → about how many are left
    stale: set[str] = field(default_factory=set)  # prompts to look at again
    open: int = 0  # pairs in `asks`
    soon: int = 0  # questions of prompts with such pairs
    later: int = 0  # questions of the others

    def put(self, prompt_id: str, asks: list[Ask], left: int) -> None:
        """Replace what is known of a prompt."""
        old, before = self.asks.get(prompt_id, []), self.left.get(prompt_id, 0)
        self.open += len(asks) - len(old)
        self.soon += (left if asks else 0) - (before if old else 0)
        self.later += (0 if asks else left) - (0 if old else before)
        self.asks[prompt_id], self.left[prompt_id] = asks, left


class Random(Strategy):
    """Every pair, in random order across prompts."""

    local = True

    def open(self, group: Group, mine: Collection[str]) -> tuple[list[Pair], int]:
        pairs = [p for p in group.pairs.values() if not group.full(p.id) and p.id not in mine]
        return pairs, len(pairs)

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        return (chance(pair.id),)


class Exhaustive(Random):
    """Every pair, one prompt after another."""

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        return chance(group.prompt_id), chance(pair.id)


class Ranking(Strategy):
    """The pair whose outcome is least predictable; of those that answers imply, a few as checks.

    This is merge insertion: L. R. Ford and S. M. Johnson, "A Tournament Problem", Amer. Math.
    Monthly 66 (1959). 6.93 questions order five candidates. Prompts with the fewest answers come
    first. A check is asked as soon as it is implied; its answer counts as any other.
    """

    local = True

    def open(self, group: Group, mine: Collection[str]) -> tuple[list[Pair], int]:
        begun, fresh = [], []
        for pair in group.pairs.values():
            if pair.id in mine or group.full(pair.id):
                continue
            if group.count[pair.id]:  # asked already, but not of enough people
                begun.append(pair)
            elif (sign := group.order.compare(pair.a, pair.b)) is None:
                fresh.append(pair)
            elif sign and group.checks(pair.id):
                begun.append(pair)
        if not begun and not fresh:
            return [], 0
        size = len(group.candidates)
        all_questions = math.lgamma(size + 1) / math.log(2)  # log2 of the number of orders
        left = len(begun) + all_questions * len(fresh) / math.comb(size, 2)
        place = {x: group.order.place(x, size) for x in group.candidates}
        best = min(begun or fresh, key=lambda p: (abs(place[p.a] - place[p.b]), place[p.a]))
        return [best], max(1, round(left))

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        return group.count.total(), chance(group.prompt_id)


class Uncertain(Ranking):
    """Of the pairs that a ranking would ask, first those that teach a reward most.

    The reward is linear in the candidates' `vectors`; pairs without them come last. A label teaches
    more if its outcome is open and its direction was seldom measured: D. MacKay, "Information-based
    objective functions for active data selection", Neural Computation 4 (1992).
    """

    local = False

    def __init__(
        self, pairs: Iterable[Pair], vectors: Mapping[str, Sequence[float]], penalty: float
    ) -> None:
        known = [p for p in pairs if p.a in vectors and p.b in vectors]
        self._place = {p.id: i for i, p in enumerate(known)}
        steps = [np.subtract(vectors[p.a], vectors[p.b]) for p in known]
        self._steps = np.array(steps) if steps else np.zeros((0, 1))
        self._first = {p.id: p.a for p in known}
        self._penalty = penalty
        self._labels: dict[str, list[tuple[int, float]]] = {}  # prompt → place, share won by a
        self._gains: np.ndarray | None = None
        self._news = 0  # prompts that changed since the gains were computed

    def learn(self, group: Group) -> None:
        self._labels[group.prompt_id] = [
            (self._place[e.pair_id], float(e.chosen == self._first[e.pair_id]))
            for e in group.standing
            if e.kind == "label" and e.pair_id in self._place
        ]
        self._news += 1

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        if self._gains is None or self._news >= REFIT:
            self._gains, self._news = self._computed(), 0
        place = self._place.get(pair.id)
        gain = -1.0 if place is None else float(self._gains[place])
        return -gain, group.count.total(), chance(group.prompt_id)

    def _computed(self) -> np.ndarray:
        """Return what a label of each pair teaches, by Laplace's approximation."""
        from scipy.special import expit

        rows = [row for labels in self._labels.values() for row in labels]
        steps = self._steps[[place for place, _ in rows]]
        won = np.array([share for _, share in rows], float)
        weights = np.zeros(self._steps.shape[1])
        penalties = self._penalty * np.eye(len(weights))
        for _ in range(NEWTON_STEPS):
            p = expit(steps @ weights)
            slope = steps.T @ (p - won) + self._penalty * weights
            curvature = (steps * (p * (1 - p))[:, None]).T @ steps + penalties
            weights = weights - np.linalg.solve(curvature, slope)
        p = expit(self._steps @ weights)
        return p * (1 - p) * ((self._steps @ np.linalg.inv(curvature)) * self._steps).sum(1)


class Disputed(Ranking):
    """The pairs first on which judges differ, the most different first; then as a ranking.

    `disputes` ranks pairs: a pair with a higher number comes first. What other answers imply is not
    asked.
    """

    def __init__(self, disputes: Mapping[str, int]) -> None:
        self._disputes = disputes

    def open(self, group: Group, mine: Collection[str]) -> tuple[list[Pair], int]:
        pairs, left = super().open(group, mine)
        first = [
            p
            for p in group.pairs.values()
            if p.id in self._disputes
            and p.id not in mine
            and not group.full(p.id)
            and (group.count[p.id] or group.order.compare(p.a, p.b) is None)
        ]
        return (first, max(left, len(first))) if first else (pairs, left)

    def learn(self, group: Group) -> None:
        """Nothing: what judges answered stays as it is."""

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        return -self._disputes.get(pair.id, 0), *super().rank(group, pair, chance)


STRATEGIES: dict[str, type[Strategy]] = {
    "ranking": Ranking,
    "uncertain": Ranking,  # until there is a reward, see `strategy_of`
    "disputed": Ranking,  # until judges have answered
    "random": Random,
    "exhaustive": Exhaustive,
}
