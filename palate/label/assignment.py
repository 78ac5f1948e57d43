"""Which pair a person sees next. Pure: no I/O; the clock is passed in.

Deterministic from the ledger, a seed and what is in people's hands.
"""

import heapq
import math
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from palate.core.ledger import standing_judgements
from palate.core.schema import PURPOSES, Event, Pair, Purpose
from palate.label.strategies import Group, Strategy

LEASE = 600.0  # seconds that a pair handed out counts as being answered
GAP = 15  # judgements between a pair and its repeat, so that it comes as a new one
Holder = tuple[str, str]  # annotator and device: the same person may sit at two


@dataclass(frozen=True)
class Question:
    """A pair to be asked, and why."""

    pair: Pair
    purpose: Purpose = "ask"

    @property
    def id(self) -> str:
        return f"{self.purpose}:{self.pair.id}"


class Queue:
    """Hands out questions, so that no pair is in two hands and nobody is asked twice by accident.

    `wanted` people judge each pair (None: everybody does, those with the fewest judgements first).
    A share `repeats` of what a person judged comes again to that person. `gold` pairs come first.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        strategy: Strategy,
        *,
        seed: int = 0,
        wanted: int | None = 1,
        repeats: float = 0.0,
        gold: Sequence[Pair] = (),
    ):
        self.pairs = {p.id: p for p in pairs}
        self._warmup = {p.id: p for p in gold}
        self.gold = [Question(p, "gold") for p in gold]
        self._strategy, self._seed, self._repeats, self._wanted = strategy, seed, repeats, wanted
        by_prompt: dict[str, list[Pair]] = {}
        for p in pairs:
            by_prompt.setdefault(p.prompt_id, []).append(p)
        self._groups = {id: Group(id, some, seed, wanted) for id, some in by_prompt.items()}
        self._events: dict[str, list[Event]] = {}  # prompt → events
        self._said: dict[str, dict[str, Event]] = {}  # annotator → question id → judgement
        self._leases: dict[str, dict[Holder, float]] = {}  # question id → holder → until
        # prompt → annotator → what its strategy says
        self._open: dict[str, dict[str, tuple[list[Pair], int]]] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Take note of what was said; an undo makes a pair open again."""
        touched: dict[str, None] = {}
        for e in events:
            self._events.setdefault(e.prompt_id, []).append(e)
            touched[e.prompt_id] = None
            leases = self._leases.get(f"{e.purpose}:{e.pair_id}", {})
            for holder in [h for h in leases if h[0] == e.annotator]:
                leases.pop(holder)
        for prompt_id in touched:
            self._recount(prompt_id)

    def done(self, annotator: str) -> int:
        """Return how many questions the person has answered or skipped."""
        return len(self._said.get(annotator, ()))

    def progress(self) -> tuple[int, int]:
        """Return how many answers there are on pairs of the queue, and about how many in the end.

        Where everybody judges everything, the end is one judgement of every pair.
        """
        said = sum(group.count.total() for group in self._groups.values())
        left = sum(self._open_pairs(group, "")[1] for group in self._groups.values())
        return said, max(said, said + left * self._wanted if self._wanted else len(self.pairs))

    def left(self, annotator: str, device: str, now: float) -> tuple[int, int]:
        """Return about how many questions can be asked of the person, and how many may be later.

        The second number counts those that hang on what others answer.
        """
        mine = self._said.get(annotator, {})
        soon = sum(q.id not in mine for q in self.gold) + sum(1 for _ in self._due(annotator))
        later = 0
        for group in self._groups.values():
            pairs, left = self._open_pairs(group, annotator)
            questions = [q for q in map(Question, pairs) if q.id not in mine]
            free = sum(self._load(q, (annotator, device), now) is not None for q in questions)
            unasked = left - len(pairs)  # questions that follow from the answers to these
            soon += free + (unasked if free else 0)
            later += len(questions) - free + (0 if free else unasked)
        return soon, later

    def next(
        self, annotator: str, n: int, have: Collection[str], now: float, device: str = ""
    ) -> list[Question]:
        """Return up to `n` questions that the person has neither answered nor in hand.

        `have` are the question ids in hand on this device: their leases are renewed, and whatever
        else it held is free again.
        """
        holder = (annotator, device)
        mine = self._said.get(annotator, {})
        held = [id for id in have if id not in mine]
        for leases in self._leases.values():
            leases.pop(holder, None)
        self._lease(held, holder, now)
        taken = {*have, *mine}
        chosen = [q for q in self.gold if q.id not in taken][:n]
        due = (q for q in self._due(annotator) if q.id not in taken)
        if len(chosen) < n:
            chosen += [q for q in due if self._load(q, holder, now) is not None][:1]
        room = min(n - len(chosen), self._share(annotator, now) - len(held))
        if room > 0:
            asks = self._asks(holder, taken, now)
            chosen += [q for _, _, _, q in heapq.nsmallest(room, asks, key=lambda ask: ask[:3])]
        self._lease((q.id for q in chosen), holder, now)
        return chosen

    def pair(self, id: str, purpose: str) -> Pair | None:
        """Return the pair of that id if it can be asked for the purpose."""
        return (self._warmup if purpose == "gold" else self.pairs).get(id)

    def all(self) -> list[Pair]:
        """Return every pair that may be asked, warm-ups among them."""
        return [*({**self._warmup, **self.pairs}).values()]

    def holds(self, id: str) -> bool:
        return id in self.pairs or id in self._warmup

    def held(self, now: float) -> list[tuple[str, str, str, float]]:
        """Return what is in people's hands: question id, annotator, device, until when."""
        return [
            (id, *holder, until)
            for id, leases in self._leases.items()
            for holder, until in leases.items()
            if until > now
        ]

    def hold(self, held: Iterable[Sequence]) -> None:
        """Take over what was in people's hands before a restart, as `held` returned it."""
        for id, annotator, device, until in held:
            self._leases.setdefault(id, {})[annotator, device] = until

    def _asks(
        self, holder: Holder, taken: set[str], now: float
    ) -> Iterator[tuple[float, tuple[float, ...], str, Question]]:
        """Yield the questions that are free for the holder, with what they are sorted by."""

        def chance(id: str) -> float:
            return self._chance(holder[0], id)

        for group in self._groups.values():
            for pair in self._open_pairs(group, holder[0])[0]:
                q = Question(pair)
                if q.id not in taken and (load := self._load(q, holder, now)) is not None:
                    yield load, self._strategy.rank(group, pair, chance), q.id, q

    def _recount(self, prompt_id: str) -> None:
        said = self._events[prompt_id]
        if group := self._groups.get(prompt_id):
            group.update(standing_judgements(said))
            self._strategy.learn(group)
            self._open.pop(prompt_id, None)
        stands = {
            (e.annotator, f"{purpose}:{e.pair_id}"): e
            for purpose in PURPOSES
            for e in standing_judgements(said, purpose)
        }
        for e in said:
            mine, id = self._said.setdefault(e.annotator, {}), f"{e.purpose}:{e.pair_id}"
            if standing := stands.get((e.annotator, id)):
                mine[id] = standing
            else:
                mine.pop(id, None)

    def _due(self, annotator: str) -> Iterator[Question]:
        """Yield the repeats whose time has come, the oldest first."""
        mine = self._said.get(annotator, {})
        for e in list(mine.values())[: -GAP or None] if self._repeats else ():
            if e.purpose != "ask" or e.kind not in ("label", "tie") or e.pair_id not in self.pairs:
                continue
            again = Question(self.pairs[e.pair_id], "repeat")
            if again.id not in mine and self._chance(annotator, again.id) < self._repeats:
                yield again

    def _open_pairs(self, group: Group, annotator: str) -> tuple[list[Pair], int]:
        mine = group.answered.get(annotator, set())
        known = self._open.setdefault(group.prompt_id, {})
        key = annotator if mine else ""  # the same for everybody who has not answered yet
        if key not in known:
            known[key] = self._strategy.open(group, mine)
        return known[key]

    def _load(self, q: Question, holder: Holder, now: float) -> float | None:
        """Return how much the pair is judged or about to be, or None where it is taken."""
        held = [who for who, until in self._leases.get(q.id, {}).items() if until > now]
        if any(who == holder[0] and device != holder[1] for who, device in held):
            return None
        if q.purpose != "ask":
            return 0.0
        count = self._groups[q.pair.prompt_id].count[q.pair.id]
        others = len({who for who, _ in held} - {holder[0]})
        if self._wanted is None:
            return count + others / 2
        return 0.0 if count + others < self._wanted else None

    def _lease(self, ids: Iterable[str], holder: Holder, now: float) -> None:
        for id in ids:
            self._leases.setdefault(id, {})[holder] = now + LEASE

    def _share(self, annotator: str, now: float) -> int:
        """Return how many questions the person may hold, so that whoever comes next gets some."""
        if self._wanted is None:
            return len(self.pairs)
        self._leases = {
            id: held
            for id, leases in self._leases.items()
            if (held := {who: until for who, until in leases.items() if until > now})
        }
        people = {who for held in self._leases.values() for who, _ in held} | {annotator}
        open_ = sum(len(self._open_pairs(g, annotator)[0]) for g in self._groups.values())
        return max(1, math.ceil(open_ * self._wanted / (len(people) + 1)))

    def _chance(self, annotator: str, id: str) -> float:
        return zlib.crc32(f"{self._seed}\0{annotator}\0{id}".encode()) / 2**32
