"""Which pair a person sees next. Pure: no I/O; the clock is passed in.

The same ledger, seed and assignments always give the same questions.
"""

import heapq
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice

from palate.core.ledger import standing_judgements
from palate.core.schema import Event, Pair, Purpose
from palate.label.ranking import Group, share
from palate.label.strategies import Agenda, Ask, Question, Strategy

MOST_ASKS = 2_000_000  # that are remembered, over all people: about 300 MB
BY_PERSON = 24  # questions that a person may hold on several devices, beyond their share
LEASE = 600.0  # seconds for which a pair that was handed out counts as being answered
REPEAT_GAP = 15  # judgements between a pair and its repeat, so that it is not remembered
Holder = tuple[str, str]  # annotator and device: one person may use two
Key = tuple[str, Purpose, str]  # annotator, purpose, pair


class Queue:
    """Hands out questions: no pair to two people at once, none twice to one person by accident.

    `wanted` people judge each pair. With None everybody does, and pairs with the fewest judgements
    come first. A share `repeats` of the pairs that a person judged is asked again, and a ranking
    asks twice that share of the pairs that the answers imply. `gold` pairs are asked first.
    `doubted` names people and pairs: these people are asked about these pairs once more.
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
        doubted: Collection[tuple[str, str]] = (),
    ) -> None:
        self.pairs = {p.id: p for p in pairs}
        self._warmup = {p.id: p for p in gold}
        self.gold = [Question(p, "gold") for p in gold]
        self._strategy, self._seed, self._repeats, self._wanted = strategy, seed, repeats, wanted
        self._doubted = set(doubted)
        by_prompt: dict[str, list[Pair]] = {}
        for p in pairs:
            by_prompt.setdefault(p.prompt_id, []).append(p)
        self._groups = {
            prompt_id: Group(prompt_id, group_pairs, seed, wanted, repeats)
            for prompt_id, group_pairs in by_prompt.items()
        }
        self._said: dict[Key, list[Event]] = {}  # everything on one question by one person
        self._standing: dict[str, dict[Key, Event]] = {}  # prompt → what stands of that
        self._judgements: dict[str, dict[str, Event]] = {}  # annotator → question id → judgement
        # annotator → question id → its repeat, in the order of the judgements
        self._again: dict[str, dict[str, Question]] = {}
        self._leases: dict[str, dict[Holder, float]] = {}  # question id → holder → until
        # prompt → annotator → pairs that the strategy asks now, and about how many are left
        self._open: dict[str, dict[str, tuple[list[Pair], int]]] = {}
        self._agendas: dict[str, Agenda] = {}  # annotator → theirs; who came last is the last

    def add(self, events: Iterable[Event]) -> None:
        """Take note of events; an undo opens its pair again."""
        touched: dict[str, dict[Key, None]] = {}
        for e in events:
            key = (e.annotator, e.purpose, e.pair_id)
            self._said.setdefault(key, []).append(e)
            touched.setdefault(e.prompt_id, {})[key] = None
            leases = self._leases.get(f"{e.purpose}:{e.pair_id}", {})
            for holder in [h for h in leases if h[0] == e.annotator]:
                leases.pop(holder)
        for prompt_id, keys in touched.items():
            self._recount(prompt_id, keys)

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
        agenda = self._agenda(annotator)
        soon = sum(q.id not in mine for q in self.gold) + sum(1 for _ in self._due(annotator))
        soon, later = soon + agenda.soon, agenda.later
        ids = {question_id.removeprefix("ask:") for question_id in self._leases}
        for prompt_id in {self.pairs[pair_id].prompt_id for pair_id in ids & self.pairs.keys()}:
            asks, left = agenda.asks[prompt_id], agenda.left[prompt_id]
            questions = [Question(pair) for *_, pair in asks]
            free = sum(self._load(q, (annotator, device), now) is not None for q in questions)
            unasked = left - len(asks)  # questions that depend on the answers to these
            soon += free + (unasked if free else 0) - (left if asks else 0)
            later += len(asks) - free + (0 if free else unasked) - (0 if asks else left)
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
        for question_id, leases in list(self._leases.items()):
            leases.pop(holder, None)
            if not any(until > now for until in leases.values()):
                del self._leases[question_id]
        self._lease(held, holder, now)
        taken = {*have, *mine}
        chosen = [q for q in self.gold if q.id not in taken][:n]
        due = (q for q in self._due(annotator) if q.id not in taken)
        if len(chosen) < n:
            chosen += islice((q for q in due if self._load(q, holder, now) is not None), 1)
        elsewhere = sum(
            who == annotator and device != holder[1] and until > now
            for leases in self._leases.values()
            for (who, device), until in leases.items()
        )
        share, own = self._share(annotator, now), len(held)
        room = min(n - len(chosen), share - own, max(share, BY_PERSON) - elsewhere - own)
        if room > 0:
            chosen += map(Question, self._best(room, holder, taken, now))
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

    def held(self, now: float, wall: float) -> list[tuple[str, str, str, float]]:
        """Return the leases: question id, annotator, device, until when by the clock on the `wall`.

        `now` is a clock that nobody sets, but that begins with each start of the machine.
        """
        return [
            (question_id, *holder, until - now + wall)
            for question_id, leases in self._leases.items()
            for holder, until in leases.items()
            if until > now
        ]

    def hold(self, held: Iterable[tuple[str, str, str, float]], now: float, wall: float) -> None:
        """Restore the leases that `held` returned before a restart."""
        for question_id, annotator, device, until in held:
            left = min(until - wall, LEASE)  # the clock may have been set
            self._leases.setdefault(question_id, {})[annotator, device] = now + left

    def _best(self, room: int, holder: Holder, taken: set[str], now: float) -> list[Pair]:
        """Return up to `room` pairs that are free for the holder, the best one first."""

        def free(ask: Ask) -> bool:
            _, question_id, pair = ask
            if question_id in taken:
                return False
            held = question_id in self._leases
            return not held or self._load(Question(pair), holder, now) is not None

        prompts: Iterable[list[Ask]] = self._agenda(holder[0]).asks.values()
        if self._wanted is None:  # pairs with the fewest judgements first

            def load(ask: Ask) -> tuple[float, Ask]:
                _, question_id, pair = ask
                if question_id in self._leases:
                    return self._load(Question(pair), holder, now) or 0.0, ask
                return float(self._groups[pair.prompt_id].count[pair.id]), ask

            best = heapq.nsmallest(room, filter(free, chain.from_iterable(prompts)), key=load)
        else:  # no pair is among the best unless the first of its prompt is
            firsts = ((ask, asks) for asks in prompts for ask in islice(filter(free, asks), 1))
            prompts = [asks for _, asks in heapq.nsmallest(room, firsts)]
            best = heapq.nsmallest(room, filter(free, chain.from_iterable(prompts)))
        return [pair for *_, pair in best]

    def _agenda(self, annotator: str) -> Agenda:
        """Return the person's agenda, up to date."""
        agenda = self._agendas.pop(annotator, None)
        if agenda is None or not self._strategy.local:
            agenda = Agenda(stale=set(self._groups))
        while len(self._agendas) * len(self.pairs) > MOST_ASKS:
            del self._agendas[next(iter(self._agendas))]
        self._agendas[annotator] = agenda
        chance = partial(self._chance, annotator)
        for prompt_id in agenda.stale:
            group = self._groups[prompt_id]
            pairs, left = self._open_pairs(group, annotator)
            asks = [(self._strategy.rank(group, p, chance), Question(p).id, p) for p in pairs]
            agenda.put(prompt_id, sorted(asks), left)
        agenda.stale.clear()
        return agenda

    def _recount(self, prompt_id: str, keys: Iterable[Key]) -> None:
        standing = self._standing.setdefault(prompt_id, {})
        for key in keys:
            annotator, purpose, pair_id = key
            mine = self._judgements.setdefault(annotator, {})
            question_id = f"{purpose}:{pair_id}"
            if judgements := standing_judgements(self._said[key], purpose):
                standing[key] = mine[question_id] = judgements[0]
            else:
                standing.pop(key, None)
                mine.pop(question_id, None)
            self._note_repeat(annotator, question_id, standing.get(key))
        if group := self._groups.get(prompt_id):
            asked = [e for e in standing.values() if e.purpose == "ask"]
            group.update(sorted(asked, key=lambda e: (e.time, e.event_id)))
            self._strategy.learn(group)
            self._open.pop(prompt_id, None)
            for agenda in self._agendas.values():
                agenda.stale.add(prompt_id)

    def _due(self, annotator: str) -> Iterator[Question]:
        """Yield the repeats that are due, the oldest first."""
        mine = self._judgements.get(annotator, {})
        recent = set(islice(reversed(mine), REPEAT_GAP))
        for question_id, again in self._again.get(annotator, {}).items():
            if question_id not in recent and again.id not in mine:
                yield again

    def _note_repeat(self, annotator: str, question_id: str, e: Event | None) -> None:
        """Note whether the pair will be asked again, of which `e` is the judgement."""
        mine = self._again.setdefault(annotator, {})
        if e and e.purpose == "ask" and e.kind in ("label", "tie") and e.pair_id in self.pairs:
            again = Question(self.pairs[e.pair_id], "repeat")
            if self._chance(annotator, again.id) < self._repeats:
                mine[question_id] = again
            elif (annotator, e.pair_id) in self._doubted:
                mine[question_id] = Question(again.pair, "second")
        else:
            mine.pop(question_id, None)

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
        leases = self._leases.values()
        people = {who for held in leases for (who, _), until in held.items() if until > now}
        people |= {annotator}
        open_ = self._agenda(annotator).open
        return max(1, math.ceil(open_ * self._wanted / (len(people) + 1)))

    def _chance(self, annotator: str, name: str) -> float:
        """Return a number in [0, 1) that is always the same for a person and a name."""
        return share(f"{self._seed}\0{annotator}\0{name}")
