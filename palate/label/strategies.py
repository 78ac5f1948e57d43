"""Which pairs of a prompt are worth asking now. Pure: no I/O.

A strategy is one small class. It sees a prompt's pairs with everybody's answers and returns the
pairs to ask; `assignment.Queue` decides who gets them.
"""

import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Annotated, Protocol

import numpy as np

from palate.core.errors import BadInput
from palate.core.schema import Event, Pair, Purpose, digest
from palate.core.typed import Check, read, version_of
from palate.label.ranking import Order

NOTES_VERSION = 0
REFIT = 5  # prompts with new answers, after which `uncertain` is computed again
NEWTON_STEPS = 8
CHECKS_PER_REPEAT = 2  # so that about as many questions are checks as are repeats
Chance = Callable[[str], float]  # a number in [0, 1) for an id, always the same for a person


def strategy_of(name: str, pairs: Sequence[Pair], notes: "RewardNotes") -> "Strategy":
    """Return the strategy that palate.toml names; `uncertain` ranks until there is a reward."""
    if name == "uncertain" and notes.vectors:
        return Uncertain(pairs, notes.vectors, notes.penalty)
    return STRATEGIES[name]()


def share(name: str) -> float:
    """Return a number in [0, 1) that is always the same for a name."""
    return zlib.crc32(name.encode()) / 2**32


@dataclass(frozen=True)
class Question:
    """A pair to ask about, and why."""

    pair: Pair
    purpose: Purpose = "ask"

    @property
    def id(self) -> str:
        return f"{self.purpose}:{self.pair.id}"


class Group:
    """The pairs of one prompt with everybody's standing judgements."""

    def __init__(
        self,
        prompt_id: str,
        pairs: Sequence[Pair],
        seed: int,
        wanted: int | None,
        repeats: float = 0.0,
    ) -> None:
        self.prompt_id, self.wanted, self._seed = prompt_id, wanted, seed
        self._checked = CHECKS_PER_REPEAT * repeats  # share of the implied pairs that is asked
        self.pairs = {p.id: p for p in sorted(pairs, key=lambda p: digest(seed, p.id))}
        ids = {x for p in pairs for x in (p.a, p.b)}
        self.candidates = sorted(ids, key=lambda candidate: digest(seed, candidate))
        self.standing: list[Event] = []
        self.count: Counter[str] = Counter()  # judgements of each pair, without skips
        self.answered: dict[str, set[str]] = {}  # annotator → pair ids, skipped ones included

    def update(self, standing: list[Event]) -> None:
        """Replace the group's standing judgements."""
        self.standing = standing
        self.count = Counter(e.pair_id for e in standing if e.kind != "skip")
        self.answered = {}
        for e in standing:
            self.answered.setdefault(e.annotator, set()).add(e.pair_id)
        self.__dict__.pop("order", None)

    @cached_property
    def order(self) -> Order:
        """The order that the answers imply; two candidates that are both bad are tied."""
        return Order(replace(e, kind="tie") if e.kind == "both_bad" else e for e in self.standing)

    def checks(self, pair_id: str) -> bool:
        """Tell whether the pair is asked even if the answers imply it, to see if they are right."""
        return share(f"{self._seed}\0check\0{pair_id}") < self._checked

    def full(self, pair_id: str) -> bool:
        """Tell whether enough people judged the pair."""
        return self.wanted is not None and self.count[pair_id] >= self.wanted


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


STRATEGIES: dict[str, type[Strategy]] = {
    "ranking": Ranking,
    "uncertain": Ranking,  # until there is a reward, see `strategy_of`
    "random": Random,
    "exhaustive": Exhaustive,
}
