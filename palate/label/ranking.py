"""What answers on some pairs of a prompt imply for its other pairs. Pure: no I/O.

"a is better than b" and "b is better than c" imply "a is better than c". Tied candidates rank
equally. Circular answers imply nothing.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import combinations

from palate.core.schema import Candidate, Event, Pair, digest

CHECKS_PER_REPEAT = 2  # so that about as many questions are checks as are repeats


class Order:
    """The partial order of one prompt's candidates that the standing judgements imply.

    The majority of the judgements on a pair decides; a draw is a tie.
    Law: `compare(y, x)` is `-compare(x, y)` wherever it is not None.
    """

    def __init__(self, standing: Iterable[Event]) -> None:
        self.lead: dict[tuple[str, str], int] = {}  # (x, y) → judgements for x minus those for y
        for event in standing:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take another standing judgement in."""
        for better, worse, strictly in event.statements():
            lead = self.lead.get((better, worse), 0) + strictly
            self.lead[better, worse], self.lead[worse, better] = lead, -lead
        for name in ("candidates", "_closure"):
            self.__dict__.pop(name, None)

    @cached_property
    def candidates(self) -> list[str]:
        """The candidates that were compared, sorted."""
        return sorted({x for x, _ in self.lead})

    def compare(self, x: str, y: str) -> int | None:
        """Return 1 if x is better, −1 if y is, 0 for a tie, None if nothing follows."""
        lead = self.lead.get((x, y))
        if lead is not None:
            return (lead > 0) - (lead < 0)
        up, down = y in self._atleast.get(x, ()), x in self._atleast.get(y, ())
        if up and down:
            circular = y in self._above[x] or x in self._above[y]
            return None if circular else 0
        if up:
            return 1 if y in self._above[x] else 0
        if down:
            return -1 if x in self._above[y] else 0
        return None

    def implied(self) -> Iterator[tuple[str, str]]:
        """Yield (better, worse) of every pair that was not asked but follows from the answers."""
        for x, y in combinations(self.candidates, 2):
            if (x, y) not in self.lead and (sign := self.compare(x, y)):
                yield (x, y) if sign > 0 else (y, x)

    def place(self, x: str, size: int) -> float:
        """Return the expected place of x among `size` candidates, 1 for the best.

        R. Brüggemann et al., "Estimation of averaged ranks by a local partial order model",
        J. Chem. Inf. Comput. Sci. 44 (2004).
        """
        below = len(self._above.get(x, ()))
        above = sum(x in others for others in self._above.values())
        return (above + 1) * (size + 1) / (above + below + 2)

    @property
    def _atleast(self) -> dict[str, set[str]]:
        return self._closure[0]

    @property
    def _above(self) -> dict[str, set[str]]:
        return self._closure[1]

    @cached_property
    def _closure(self) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """Return for each candidate those it is at least as good as, and those it beats."""
        everyone = self.candidates
        atleast: dict[str, set[str]] = {x: set() for x in everyone}
        above: dict[str, set[str]] = {x: set() for x in everyone}
        for (x, y), lead in self.lead.items():
            if lead >= 0:
                atleast[x].add(y)
            if lead > 0:
                above[x].add(y)
        for via in everyone:  # S. Warshall, "A theorem on Boolean matrices", JACM 9 (1962)
            for x in everyone:
                if via in atleast[x]:
                    above[x] |= atleast[via] if via in above[x] else above[via]
                    atleast[x] |= atleast[via]
        return atleast, above


def contenders(
    candidates: Sequence[Candidate], standing: Iterable[Event], number: int
) -> list[Candidate]:
    """Return what a round compares: its own candidates and, of each prompt, the best before them.

    So old and new meet. In the first round these are all.
    """
    if number == 1:
        return list(candidates)
    judged: dict[str, list[Event]] = {}
    for event in standing:
        judged.setdefault(event.prompt_id, []).append(event)
    new = [c for c in candidates if c.round == number]
    earlier: dict[str, list[Candidate]] = {c.prompt_id: [] for c in new}
    for c in candidates:
        if c.round < number and c.prompt_id in earlier:
            earlier[c.prompt_id].append(c)
    for prompt_id, group in earlier.items():
        order = Order(judged.get(prompt_id, ()))
        compared = [c for c in group if c.id in order.candidates]
        if compared:
            new.append(min(compared, key=lambda c: (order.place(c.id, len(compared)), c.id)))
    return new


def checks(standing: Iterable[Event]) -> Iterator[tuple[Event, bool]]:
    """Yield each choice on a pair that earlier answers implied, and whether it contradicts them.

    `standing` are judgements in time order, of any number of prompts.
    """
    earlier: dict[str, Order] = {}
    judged: dict[str, set[str]] = {}
    asked: set[str] = set()
    for event in standing:
        before = earlier.setdefault(event.prompt_id, Order(()))
        known = judged.setdefault(event.prompt_id, set())
        both = event.left in known and event.right in known
        if event.kind == "label" and both and event.pair_id not in asked:
            loser = event.left if event.chosen == event.right else event.right
            if sign := before.compare(event.chosen or "", loser):
                yield event, sign < 0
        before.add(event)
        asked.add(event.pair_id)
        known |= {x for better, worse, _ in event.statements() for x in (better, worse)}


def share(name: str) -> float:
    """Return a number in [0, 1) that is always the same for a name."""
    return zlib.crc32(name.encode()) / 2**32


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
