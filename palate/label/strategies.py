"""Which pairs of a prompt are worth asking now. Pure: no I/O.

A strategy is one class of a few lines. It sees a prompt's pairs with everybody's answers and says
what is open; `assignment.Queue` decides who gets it.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from palate.core.schema import Event, Pair, digest
from palate.label.ranking import Order

Match = frozenset[Hashable]  # two models
Chance = Callable[[str], float]  # a number in [0, 1) for an id, always the same for a person


class Group:
    """The pairs of one prompt, and everybody's standing answers on them."""

    def __init__(self, prompt_id: str, pairs: Sequence[Pair], seed: int, wanted: int | None):
        self.prompt_id, self.wanted = prompt_id, wanted
        self.pairs = {p.id: p for p in sorted(pairs, key=lambda p: digest(seed, p.id))}
        ids = {x for p in pairs for x in (p.a, p.b)}
        self.candidates = sorted(ids, key=lambda id: digest(seed, id))
        self.standing: list[Event] = []
        self.count: Counter[str] = Counter()  # judgements of each pair; a skip is none
        self.answered: dict[str, set[str]] = {}  # annotator → pair ids, skipped ones among them

    def update(self, standing: list[Event]) -> None:
        """Take the group's standing judgements as they are now."""
        self.standing = standing
        self.count = Counter(e.pair_id for e in standing if e.kind != "skip")
        self.answered = {}
        for e in standing:
            self.answered.setdefault(e.annotator, set()).add(e.pair_id)
        self.__dict__.pop("order", None)

    @cached_property
    def order(self) -> Order:
        """What the answers say of the order; two that are both bad stand on one step."""
        return Order(replace(e, kind="tie") if e.kind == "both_bad" else e for e in self.standing)

    def full(self, id: str) -> bool:
        """Tell whether enough people judged the pair."""
        return self.wanted is not None and self.count[id] >= self.wanted


class Strategy(Protocol):
    """Which pairs of a prompt can be asked now, and in which order."""

    def open(self, group: Group, mine: Collection[str]) -> tuple[list[Pair], int]:
        """Return the pairs to ask now, and about how many questions are left, these included.

        `mine` are pairs (ids) that the person has answered or skipped.
        """
        ...

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        """Return a sort key: the pair with the smallest is asked first."""
        ...

    def learn(self, group: Group) -> None:
        """Take note of a prompt whose standing judgements have changed."""


class Random(Strategy):
    """Every pair, in an order that has nothing to do with the prompts."""

    def open(self, group: Group, mine: Collection[str]) -> tuple[list[Pair], int]:
        pairs = [p for id, p in group.pairs.items() if not group.full(id) and id not in mine]
        return pairs, len(pairs)

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        return (chance(pair.id),)


class Informative(Random):
    """Every pair, those of two models first on which one more vote teaches most.

    That is where it shrinks the error of their win rate most: W.-L. Chiang et al., "Chatbot Arena"
    (2024), section 5.2. `model` names each candidate's model.
    """

    def __init__(self, pairs: Iterable[Pair], model: Mapping[str, Hashable]):
        self._model = model
        self._match = {p.id: frozenset((model[p.a], model[p.b])) for p in pairs}
        self._wins: Counter[tuple[Match, Hashable]] = Counter()  # of a model in a match
        self._known: dict[str, Counter[tuple[Match, Hashable]]] = {}  # prompt → its share of them

    def learn(self, group: Group) -> None:
        wins = Counter(
            (self._match[e.pair_id], self._model[e.chosen])
            for e in group.standing
            if e.kind == "label" and e.chosen and e.pair_id in self._match
        )
        self._wins.subtract(self._known.get(group.prompt_id, {}))
        self._wins.update(wins)
        self._known[group.prompt_id] = wins

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        # a new prompt says more than another vote on one that was judged
        return -self._gain(self._match[pair.id]), group.count.total(), chance(pair.id)

    def _gain(self, match: Match) -> float:
        won, lost = (self._wins[match, model] for model in match)
        n = won + lost + 1
        p = (won + 1) / (n + 1)
        return math.sqrt(p * (1 - p)) * (1 / math.sqrt(n) - 1 / math.sqrt(n + 1))


class Exhaustive(Random):
    """Every pair, one prompt after the other."""

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        return chance(group.prompt_id), chance(pair.id)


class Ranking(Strategy):
    """Asks what is least foreseeable and nothing that the answers imply, as merge insertion does.

    L. R. Ford and S. M. Johnson, "A Tournament Problem", Amer. Math. Monthly 66 (1959): 6.93
    questions order five candidates. Prompts with the fewest answers come first.
    """

    def open(self, group: Group, mine: Collection[str]) -> tuple[list[Pair], int]:
        begun, fresh = [], []
        for pair in group.pairs.values():
            if pair.id in mine or group.full(pair.id):
                continue
            if group.count[pair.id]:  # others are asked what somebody was, until enough have said
                begun.append(pair)
            elif group.order.compare(pair.a, pair.b) is None:
                fresh.append(pair)
        if not begun and not fresh:
            return [], 0
        size = len(group.candidates)
        all_questions = math.lgamma(size + 1) / math.log(2)  # log2 of how many orders there are
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
