"""Which pairs of a prompt are worth asking now. Pure: no I/O.

A strategy is one class of a few lines. It sees a prompt's pairs with everybody's answers and says
what is open; `assignment.Queue` decides who gets it.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Protocol

from palate.ranking import Order
from palate.schema import Event, Pair, digest

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
        self.skipped: dict[str, set[str]] = {}  # annotator → pair ids

    def update(self, standing: list[Event]) -> None:
        """Take the group's standing judgements as they are now."""
        self.standing = standing
        self.count = Counter(e.pair_id for e in standing if e.kind != "skip")
        self.skipped = {}
        for e in standing:
            if e.kind == "skip":
                self.skipped.setdefault(e.annotator, set()).add(e.pair_id)
        for cached in ("order", "bad"):
            self.__dict__.pop(cached, None)

    @cached_property
    def order(self) -> Order:
        return Order(self.standing)

    @cached_property
    def bad(self) -> set[str]:
        """Pairs of which both are bad: nothing follows from them for the order."""
        return {e.pair_id for e in self.standing if e.kind == "both_bad"}

    def full(self, id: str) -> bool:
        """Tell whether enough people judged the pair."""
        return self.wanted is not None and self.count[id] >= self.wanted


class Strategy(Protocol):
    """Which pairs of a prompt can be asked now, and in which order."""

    def open(self, group: Group, passed: Collection[str]) -> tuple[list[Pair], int]:
        """Return the pairs to ask now, and about how many questions are left, these included.

        `passed` are pairs (ids) that the person has skipped.
        """
        ...

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        """Return a sort key: the pair with the smallest is asked first."""
        ...


class Random:
    """Every pair, in an order that has nothing to do with the prompts."""

    def open(self, group: Group, passed: Collection[str]) -> tuple[list[Pair], int]:
        pairs = [p for id, p in group.pairs.items() if not group.full(id) and id not in passed]
        return pairs, len(pairs)

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        return (chance(pair.id),)


class Exhaustive(Random):
    """Every pair, one prompt after the other."""

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        return chance(group.prompt_id), chance(pair.id)


class Ranking:
    """Binary insertion: every answer halves the places where a candidate can stand.

    What the answers imply is not asked. Prompts with the fewest answers come first.
    """

    def open(self, group: Group, passed: Collection[str]) -> tuple[list[Pair], int]:
        steps: list[list[str]] = []  # best first; equal candidates share one
        for i, x in enumerate(group.candidates):
            low, high = 0, len(steps)
            while low < high:
                middle = (low + high) // 2
                sign = self._sign(group, x, steps[middle][0], passed)
                if isinstance(sign, Pair):
                    rest = range(len(steps) + 1, len(steps) + len(group.candidates) - i)
                    left = math.log2(high - low + 1) + sum(math.log2(n + 1) for n in rest)
                    return [sign], max(1, round(left))
                if sign is None:  # cannot be placed: the other candidates go on without it
                    break
                if sign == 0:
                    steps[middle].append(x)
                    break
                low, high = (low, middle) if sign > 0 else (middle + 1, high)
            else:
                steps.insert(low, [x])
        return [], 0

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        return group.count.total(), chance(group.prompt_id)

    def _sign(self, group: Group, x: str, y: str, passed: Collection[str]) -> int | Pair | None:
        pair = Pair.between(group.prompt_id, x, y)
        if pair.id in group.bad:
            return None
        known = group.order.compare(x, y)
        if known is not None and (group.full(pair.id) or not group.count[pair.id]):
            return known
        return None if pair.id in passed or group.full(pair.id) else pair


STRATEGIES: dict[str, type[Strategy]] = {
    "ranking": Ranking,
    "random": Random,
    "exhaustive": Exhaustive,
}
