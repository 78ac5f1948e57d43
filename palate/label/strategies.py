"""Which pairs of a prompt are worth asking now. Pure: no I/O.

A strategy is one small class. It sees a prompt's pairs with everybody's answers and returns the
pairs to ask; `assignment.Queue` decides who gets them.
"""

import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Protocol

from palate.core.errors import BadInput
from palate.core.schema import Event, Pair, Purpose, digest
from palate.core.typed import read, version_of
from palate.label.ranking import Order

Models = frozenset[Hashable]  # the two models whose answers make a pair
NOTES_VERSION = 0
CHECKS_PER_REPEAT = 2  # so that about as many questions are checks as are repeats
Chance = Callable[[str], float]  # a number in [0, 1) for an id, always the same for a person


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
    """Which pairs of a prompt can be asked now, and in which order.

    `local`: a pair's rank for a person depends only on its prompt and on them.
    """

    local: bool

    def open(self, group: Group, mine: Collection[str]) -> tuple[list[Pair], int]:
        """Return the pairs to ask now, and about how many questions are left, these included.

        `mine`: ids of the pairs that the person has answered or skipped.
        """
        ...

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        """Return a sort key; the pair with the smallest key is asked first."""
        ...

    def learn(self, group: Group) -> None:
        """Update what the strategy knows from a prompt whose judgements have changed."""


@dataclass(frozen=True)
class Doubt:
    """A person's choice that the reward, made of other prompts, finds unlikely."""

    annotator: str
    pair_id: str
    probability: float  # of the choice


@dataclass(frozen=True)
class RewardNotes:
    """reward.json of a project: what `palate reward` says about its labels."""

    version: int
    round: int
    doubts: tuple[Doubt, ...]

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
        return json.dumps(asdict(self), indent=1) + "\n"


Ask = tuple[tuple[float, ...], str, Pair]  # rank, question id


@dataclass
class Agenda:
    """What one person can be asked, prompt by prompt, if nobody else held anything."""

    asks: dict[str, list[Ask]] = field(default_factory=dict)  # prompt → the pairs to ask now
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


class Informative(Random):
    """Every pair; first those where one more vote shrinks the error of a win rate most.

    W.-L. Chiang et al., "Chatbot Arena" (2024), section 5.2. `model` names each candidate's model.
    """

    local = False

    def __init__(self, pairs: Iterable[Pair], model: Mapping[str, Hashable]) -> None:
        self._model = model
        self._models = {p.id: frozenset((model[p.a], model[p.b])) for p in pairs}
        self._wins: Counter[tuple[Models, Hashable]] = Counter()  # of a model against the other
        self._prompt_wins: dict[str, Counter[tuple[Models, Hashable]]] = {}  # prompt → its part

    def learn(self, group: Group) -> None:
        wins = Counter(
            (self._models[e.pair_id], self._model[e.chosen])
            for e in group.standing
            if e.kind == "label" and e.chosen and e.pair_id in self._models
        )
        self._wins.subtract(self._prompt_wins.get(group.prompt_id, {}))
        self._wins.update(wins)
        self._prompt_wins[group.prompt_id] = wins

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        # a new prompt says more than another vote on one that was judged
        return -self._gain(self._models[pair.id]), group.count.total(), chance(pair.id)

    def _gain(self, models: Models) -> float:
        won, lost = (self._wins[models, model] for model in models)
        n = won + lost + 1
        p = (won + 1) / (n + 1)
        return math.sqrt(p * (1 - p)) * (1 / math.sqrt(n) - 1 / math.sqrt(n + 1))


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


STRATEGIES: dict[str, type[Strategy]] = {
    "ranking": Ranking,
    "random": Random,
    "exhaustive": Exhaustive,
}
