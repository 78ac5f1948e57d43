"""Which pair a person sees next. Pure: no I/O; the clock is passed in.

Deterministic from the ledger and a seed: the same events give the same order.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from palate.ledger import live
from palate.schema import Event, Pair, digest

LEASE = 900.0  # seconds that a pair handed out counts as being answered


class Balanced:
    """Pairs with the fewest judgements first, in an order that differs from person to person.

    Pairs on their way to somebody count as half judged, so people do not all get the same one.
    """

    def __init__(self, pairs: Sequence[Pair], seed: int = 0):
        self.pairs = {p.id: p for p in pairs}
        self._seed = seed
        self._events: dict[tuple[str, str], list[Event]] = {}
        self._judged: dict[str, set[str]] = {}
        self._count: Counter[str] = Counter()
        self._leases: dict[str, dict[str, float]] = {}
        self._order: dict[str, list[str]] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Take note of what was said; an undo makes a pair open again."""
        for e in events:
            if e.pair_id not in self.pairs:
                continue
            said = self._events.setdefault((e.annotator, e.pair_id), [])
            said.append(e)
            judged = self._judged.setdefault(e.annotator, set())
            was, stands = e.pair_id in judged, bool(live(said))
            (judged.add if stands else judged.discard)(e.pair_id)
            self._count[e.pair_id] += stands - was
            self._leases.get(e.pair_id, {}).pop(e.annotator, None)

    def done(self, annotator: str) -> int:
        """Return how many pairs the person has judged."""
        return len(self._judged.get(annotator, ()))

    def next(self, annotator: str, n: int, have: Collection[str], now: float) -> list[Pair]:
        """Return up to `n` pairs that the person has neither judged nor in hand (`have`, ids)."""
        judged = self._judged.get(annotator, set())
        open_ = (
            (self._load(id, annotator, now), rank, id)
            for rank, id in enumerate(self._order_of(annotator))
            if id not in judged and id not in have
        )
        chosen = [id for _, _, id in heapq.nsmallest(n, open_)]
        for id in chosen:
            self._leases.setdefault(id, {})[annotator] = now + LEASE
        return [self.pairs[id] for id in chosen]

    def _load(self, id: str, annotator: str, now: float) -> float:
        leases = self._leases.get(id, {})
        others = sum(until > now for who, until in leases.items() if who != annotator)
        return self._count[id] + others / 2

    def _order_of(self, annotator: str) -> list[str]:
        if annotator not in self._order:
            key = {id: digest(self._seed, annotator, id) for id in self.pairs}
            self._order[annotator] = sorted(self.pairs, key=key.__getitem__)
        return self._order[annotator]
