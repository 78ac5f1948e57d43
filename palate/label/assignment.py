"""Which pair a person sees next. Pure: no I/O; the clock is passed in.

The same ledger, seed and assignments always give the same questions.
"""

import heapq
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from palate.core.ledger import standing_judgements
from palate.core.schema import PURPOSES, Event, Pair, Purpose
from palate.label.strategies import Group, Strategy, share

BY_PERSON = 24  # questions that a person may hold on several devices, beyond their share
LEASE = 600.0  # seconds for which a pair that was handed out counts as being answered
REPEAT_GAP = 15  # judgements between a pair and its repeat, so that it is not remembered
Holder = tuple[str, str]  # annotator and device: one person may use two


@dataclass(frozen=True)
class Question:
    """A pair to ask about, and why."""

    pair: Pair
    purpose: Purpose = "ask"

    @property
    def id(self) -> str:
        return f"{self.purpose}:{self.pair.id}"


class Queue:
    """Hands out questions: no pair to two people at once, none twice to one person by accident.

    `wanted` people judge each pair. With None everybody does, and pairs with the fewest judgements
    come first. A share `repeats` of the pairs that a person judged is asked again, and a ranking
    asks twice that share of the pairs that the answers imply. `gold` pairs are asked first.
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
    ) -> None:
        self.pairs = {p.id: p for p in pairs}
        self._warmup = {p.id: p for p in gold}
        self.gold = [Question(p, "gold") for p in gold]
        self._strategy, self._seed, self._repeats, self._wanted = strategy, seed, repeats, wanted
        by_prompt: dict[str, list[Pair]] = {}
        for p in pairs:
            by_prompt.setdefault(p.prompt_id, []).append(p)
        self._groups = {
            prompt_id: Group(prompt_id, group_pairs, seed, wanted, repeats)
            for prompt_id, group_pairs in by_prompt.items()
        }
        self._events: dict[str, list[Event]] = {}  # prompt → events
        self._judgements: dict[str, dict[str, Event]] = {}  # annotator → question id → judgement
        self._leases: dict[str, dict[Holder, float]] = {}  # question id → holder → until
        # prompt → annotator → pairs that the strategy asks now, and about how many are left
        self._open: dict[str, dict[str, tuple[list[Pair], int]]] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Take note of events; an undo opens its pair again."""
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
        return len(self._judgements.get(annotator, ()))

    def progress(self) -> tuple[int, int]:
        """Return the number of judgements so far, and about how many there will be in the end.

        If everybody judges every pair, the end is one judgement of each.
        """
        judged = sum(group.count.total() for group in self._groups.values())
        left = sum(self._open_pairs(group, "")[1] for group in self._groups.values())
        total = judged + left * self._wanted if self._wanted else len(self.pairs)
        return judged, max(judged, total)

    def left(self, annotator: str, device: str, now: float) -> tuple[int, int]:
        """Return about how many questions the person can be asked now, and how many may follow.

        The second number depends on what others answer.
        """
        mine = self._judgements.get(annotator, {})
        soon = sum(q.id not in mine for q in self.gold) + sum(1 for _ in self._due(annotator))
        later = 0
        for group in self._groups.values():
            pairs, left = self._open_pairs(group, annotator)
            questions = [q for q in map(Question, pairs) if q.id not in mine]
            free = sum(self._load(q, (annotator, device), now) is not None for q in questions)
            unasked = left - len(pairs)  # questions that depend on the answers to these
            soon += free + (unasked if free else 0)
            later += len(questions) - free + (0 if free else unasked)
        return soon, later

    def next(
        self, annotator: str, n: int, have: Collection[str], now: float, device: str = ""
    ) -> list[Question]:
        """Return up to `n` questions that the person has neither answered nor been given.

        `have`: ids of the questions that this device still holds. Their leases are renewed, and
        other questions that it held become free.
        """
        holder = (annotator, device)
        mine = self._judgements.get(annotator, {})
        held = [question_id for question_id in have if question_id not in mine]
        for leases in self._leases.values():
            leases.pop(holder, None)
        self._lease(held, holder, now)
        taken = {*have, *mine}
        chosen = [q for q in self.gold if q.id not in taken][:n]
        due = (q for q in self._due(annotator) if q.id not in taken)
        if len(chosen) < n:
            chosen += [q for q in due if self._load(q, holder, now) is not None][:1]
        elsewhere = sum(
            who == annotator and device != holder[1] and until > now
            for leases in self._leases.values()
            for (who, device), until in leases.items()
        )
        share = self._share(annotator, now)
        room = min(
            n - len(chosen), share - len(held), max(share, BY_PERSON) - elsewhere - len(held)
        )
        if room > 0:
            asks = self._asks(holder, taken, now)
            chosen += [q for _, _, _, q in heapq.nsmallest(room, asks, key=lambda ask: ask[:3])]
        self._lease((q.id for q in chosen), holder, now)
        return chosen

    def pair(self, pair_id: str, purpose: str) -> Pair | None:
        """Return the pair if it can be asked for the purpose."""
        return (self._warmup if purpose == "gold" else self.pairs).get(pair_id)

    def all(self) -> list[Pair]:
        """Return every pair that may be asked, including warm-ups."""
        return [*({**self._warmup, **self.pairs}).values()]

    def holds(self, pair_id: str) -> bool:
        return pair_id in self.pairs or pair_id in self._warmup

    def held(self, now: float) -> list[tuple[str, str, str, float]]:
        """Return the leases: question id, annotator, device, until when."""
        return [
            (question_id, *holder, until)
            for question_id, leases in self._leases.items()
            for holder, until in leases.items()
            if until > now
        ]

    def hold(self, held: Iterable[tuple[str, str, str, float]]) -> None:
        """Restore the leases that `held` returned before a restart."""
        for question_id, annotator, device, until in held:
            self._leases.setdefault(question_id, {})[annotator, device] = until

    def _asks(
        self, holder: Holder, taken: set[str], now: float
    ) -> Iterator[tuple[float, tuple[float, ...], str, Question]]:
        """Yield load, rank, id and question of what is free for the holder."""

        def chance(name: str) -> float:
            return self._chance(holder[0], name)

        for group in self._groups.values():
            for pair in self._open_pairs(group, holder[0])[0]:
                q = Question(pair)
                if q.id not in taken and (load := self._load(q, holder, now)) is not None:
                    yield load, self._strategy.rank(group, pair, chance), q.id, q

    def _recount(self, prompt_id: str) -> None:
        events = self._events[prompt_id]
        if group := self._groups.get(prompt_id):
            group.update(standing_judgements(events))
            self._strategy.learn(group)
            self._open.pop(prompt_id, None)
        standing = {
            (e.annotator, f"{purpose}:{e.pair_id}"): e
            for purpose in PURPOSES
            for e in standing_judgements(events, purpose)
        }
        for e in events:
            mine = self._judgements.setdefault(e.annotator, {})
            question_id = f"{e.purpose}:{e.pair_id}"
            if judgement := standing.get((e.annotator, question_id)):
                mine[question_id] = judgement
            else:
                mine.pop(question_id, None)

    def _due(self, annotator: str) -> Iterator[Question]:
        """Yield the repeats that are due, the oldest first."""
        mine = self._judgements.get(annotator, {})
        for e in list(mine.values())[: -REPEAT_GAP or None] if self._repeats else ():
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
        """Return how many judge the pair or are about to, or None if it is taken."""
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

    def _lease(self, question_ids: Iterable[str], holder: Holder, now: float) -> None:
        for question_id in question_ids:
            self._leases.setdefault(question_id, {})[holder] = now + LEASE

    def _share(self, annotator: str, now: float) -> int:
        """Return how many questions the person may hold, so that some are left for the next one."""
        if self._wanted is None:
            return len(self.pairs)
        self._leases = {
            question_id: held
            for question_id, leases in self._leases.items()
            if (held := {who: until for who, until in leases.items() if until > now})
        }
        people = {who for held in self._leases.values() for who, _ in held} | {annotator}
        open_ = sum(len(self._open_pairs(g, annotator)[0]) for g in self._groups.values())
        return max(1, math.ceil(open_ * self._wanted / (len(people) + 1)))

    def _chance(self, annotator: str, name: str) -> float:
        """Return a number in [0, 1) that is always the same for a person and a name."""
        return share(f"{self._seed}\0{annotator}\0{name}")
