"""How people label: agreement, self-consistency, bias, haste. Pure: no I/O.

Every rate is a `Rate`, which knows its prompts and people. A figure that does not exist is None.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, groupby, pairwise
from operator import attrgetter
from typing import NamedTuple, TypedDict

from palate.core.ledger import standing_judgements
from palate.core.rates import Rate, alpha, beyond_chance, cyclic_triads
from palate.core.schema import Candidate, Event, Kind
from palate.core.similar import spoken_length
from palate.label.ranking import Order, checks

PAUSE = 300.0  # seconds; a longer gap between two judgements does not count as labelling
# Silent reading of English runs at 238 words a minute (M. Brysbaert, "How many words do we read per
# minute?", J. Memory and Language 109, 2019); nobody skims at six times that.
FASTEST_WORDS_PER_SECOND = 25.0
SHORTEST_MILLISECONDS = 600.0  # to see and press, however short the texts
SUSPECT_SHARE = 0.2  # of a person's judgements that are too fast
SUSPECT_JUDGEMENTS = 20  # with fewer, nobody is suspected
Interval = tuple[float, float] | None
PROMPT = attrgetter("prompt_id")
JUDGED: tuple[Kind, ...] = ("label", "tie", "both_bad", "rewrite")


class Unit(NamedTuple):
    """A pair: its prompt, and the category that each person chose."""

    prompt_id: str
    said: dict[str, int]


class Hour(TypedDict):
    """One person's judgements in one hour."""

    hour: str  # 2026-01-31T09:00Z
    annotator: str
    judgements: int


class Remark(TypedDict):
    """A flag, or a judgement with a comment."""

    annotator: str
    kind: Kind
    pair_id: str
    comment: str | None
    time: str


@dataclass(frozen=True)
class Labeller:
    """One person's labelling."""

    annotator: str
    kinds: dict[str, int]
    seconds: float | None  # median for a judgement
    per_hour: float | None  # without pauses; None for less than a minute of labelling
    first: str
    last: str
    self_consistency: Rate
    left: Rate
    too_fast: Rate

    @property
    def is_suspect(self) -> bool:
        return self.too_fast.n >= SUSPECT_JUDGEMENTS and (self.too_fast.rate or 0) > SUSPECT_SHARE


@dataclass(frozen=True)
class Pairing:
    """Two people on the pairs that both judged."""

    one: str
    other: str
    agreement: Rate
    alpha: float | None
    alpha_interval: Interval


@dataclass(frozen=True)
class Report:
    """How people label a project. `agreement_text` puts it into words."""

    judgements: int
    kinds: dict[str, int]
    pairs: int
    people: list[Labeller]
    hours: list[Hour]
    agreement: Rate  # over every two people on a pair
    alpha: float | None
    alpha_interval: Interval  # 95%, for other prompts
    pairings: list[Pairing]
    self_consistency: Rate
    flips: Rate  # choices that were reversed when asked again
    implied: Rate  # pairs that earlier answers implied and that people decided the other way
    left: Rate
    longer: Rate
    cycles: Rate  # of triads of one person's strict choices; 25% by chance
    suspects: list[str]
    remarks: list[Remark]

    def to_json(self) -> dict[str, object]:
        """Return plain JSON types; rates as {hits, n, rate, interval[, p]}."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


def own_figures(events: Sequence[Event]) -> dict[str, object]:
    """Return what one person has done so far, for their eyes: counts and seconds an answer."""
    judgements = standing_judgements(events)
    repeats = _repeats(judgements, standing_judgements(events, "repeat"))
    seconds = [e.milliseconds / 1000 for e in judgements if e.milliseconds is not None]
    by_prompt = groupby(sorted(judgements, key=PROMPT), key=PROMPT)
    orders = [Order(list(own)) for _, own in by_prompt]
    return {
        "judged": len(judgements),
        "prompts": len(orders),
        "seconds": round(statistics.median(seconds), 1) if seconds else None,
        "implied": sum(len(list(order.implied())) for order in orders),
        "repeats": len(repeats),
        "same": sum(value_of(x) == value_of(y) for x, y in repeats),
    }


def report(events: Iterable[Event], candidates: Iterable[Candidate]) -> Report:
    """Return the report on all events of a project."""
    events = list({e.event_id: e for e in events}.values())
    texts = {c.id: c.text for c in candidates}
    standing = standing_judgements(events)
    judged = [e for e in standing if e.kind in JUDGED]
    skips = [e for e in standing if e.kind == "skip"]
    again = [e for e in standing_judgements(events, "repeat") if e.kind in JUDGED]
    labels = [e for e in judged if e.kind == "label"]
    by_person: dict[str, list[Event]] = {}
    for e in judged + skips:
        by_person.setdefault(e.annotator, []).append(e)
    people = [_labeller(who, own, again, texts) for who, own in sorted(by_person.items())]
    repeats = _repeats(judged, again)
    chosen = [(x, y) for x, y in repeats if x.kind == y.kind == "label"]
    asked = list(checks(judged))  # implied pairs that people were asked about
    remarked = [e for e in events if e.kind == "flag" or e.comment]
    agreed = _agreement(units := _units(judged))
    corrected, bounds = _alpha(units, agreed)
    return Report(
        judgements=len(judged),
        kinds=dict(Counter(e.kind for e in judged + skips)),
        pairs=len({e.pair_id for e in judged}),
        people=people,
        hours=_hours(judged),
        agreement=agreed,
        alpha=corrected,
        alpha_interval=bounds,
        pairings=_pairings(units),
        self_consistency=_same(repeats),
        flips=_rate([x.chosen != y.chosen for x, y in chosen], [x for x, _ in chosen]),
        implied=_rate([wrong for _, wrong in asked], [e for e, _ in asked]),
        left=_left(labels),
        longer=_longer(labels, texts),
        cycles=_cycles(labels),
        suspects=[p.annotator for p in people if p.is_suspect],
        remarks=list(map(_remark, sorted(remarked, key=attrgetter("time")))),
    )


def _remark(e: Event) -> Remark:
    return Remark(
        annotator=e.annotator, kind=e.kind, pair_id=e.pair_id, comment=e.comment, time=e.time
    )


def _labeller(
    annotator: str, events: Sequence[Event], again: Sequence[Event], texts: Mapping[str, str]
) -> Labeller:
    judged = [e for e in events if e.kind in JUDGED]
    timed = [e for e in judged if e.milliseconds is not None]
    seconds = [(e.milliseconds or 0) / 1000 for e in timed]
    readable = [e for e in timed if e.left in texts and e.right in texts]
    return Labeller(
        annotator=annotator,
        kinds=dict(Counter(e.kind for e in events)),
        seconds=round(statistics.median(seconds), 2) if seconds else None,
        per_hour=_per_hour(judged),
        first=min(e.time for e in events),
        last=max(e.time for e in events),
        self_consistency=_same(_repeats(judged, again)),
        left=_left([e for e in judged if e.kind == "label"]),
        too_fast=_rate([is_too_fast(e, texts) for e in readable], readable),
    )


def _repeats(judged: Sequence[Event], again: Sequence[Event]) -> list[tuple[Event, Event]]:
    """Return each first judgement with the same person's repeat of it."""
    first = {(e.annotator, e.pair_id): e for e in judged}
    keys = [(e.annotator, e.pair_id) for e in again]
    return [(first[key], e) for key, e in zip(keys, again, strict=True) if key in first]


def _same(repeats: Sequence[tuple[Event, Event]]) -> Rate:
    return _rate([value_of(x) == value_of(y) for x, y in repeats], [x for x, _ in repeats])


def _left(labels: Sequence[Event]) -> Rate:
    return _rate([e.chosen == e.left for e in labels], labels, chance=0.5)


def _rate(hits: Sequence[bool], events: Sequence[Event], chance: float | None = None) -> Rate:
    prompts, people = [e.prompt_id for e in events], [e.annotator for e in events]
    return Rate.of(hits, prompts, people, chance)


def is_too_fast(e: Event, texts: Mapping[str, str]) -> bool:
    """Tell whether nobody could have read both texts in the time that the judgement took."""
    words = spoken_length(texts[e.left]) + spoken_length(texts[e.right])
    shortest = max(SHORTEST_MILLISECONDS, 1000 * words / FASTEST_WORDS_PER_SECOND)
    return (e.milliseconds or 0) < shortest


def _per_hour(judged: Sequence[Event]) -> float | None:
    times = sorted(datetime.fromisoformat(e.time) for e in judged)
    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    active = [g for g in gaps if g <= PAUSE]
    return round(3600 * len(active) / sum(active), 1) if sum(active) >= 60 else None


def _hours(judged: Sequence[Event]) -> list[Hour]:
    judgements = Counter((e.time[:13] + ":00Z", e.annotator) for e in judged)
    return [
        Hour(hour=hour, annotator=annotator, judgements=n)
        for (hour, annotator), n in sorted(judgements.items())
    ]


def value_of(e: Event) -> str:
    """Return the chosen candidate, whichever side it was on, or the kind that chooses neither."""
    return e.chosen if e.kind == "label" and e.chosen else e.kind


def _category(e: Event) -> int:
    """Return a number for `value_of`, the same one for the same judgement of a pair."""
    return int(e.chosen != min(e.left, e.right)) if e.kind == "label" else JUDGED.index(e.kind) + 2


def _pairings(units: Iterable[Unit]) -> list[Pairing]:
    both: dict[tuple[str, str], list[Unit]] = {}
    for prompt_id, said in units:
        for one, other in combinations(sorted(said), 2):
            unit = Unit(prompt_id, {one: said[one], other: said[other]})
            both.setdefault((one, other), []).append(unit)
    rates = [(*two, _agreement(own), own) for two, own in sorted(both.items())]
    return [Pairing(one, other, rate, *_alpha(own, rate)) for one, other, rate, own in rates]


def _units(judged: Sequence[Event]) -> list[Unit]:
    """Return the pairs that were judged more than once."""
    by_pair: dict[str, Unit] = {}
    for e in judged:
        by_pair.setdefault(e.pair_id, Unit(e.prompt_id, {})).said[e.annotator] = _category(e)
    return [unit for unit in by_pair.values() if len(unit.said) > 1]


def _agreement(units: Sequence[Unit]) -> Rate:
    """Return how often two people agree on a pair: over other prompts, between these people."""
    twos = [(p, x == y) for p, said in units for x, y in combinations(said.values(), 2)]
    return Rate.of_pairings([same for _, same in twos], [prompt for prompt, _ in twos])


def _alpha(units: Sequence[Unit], agreed: Rate) -> tuple[float | None, Interval]:
    """Return Krippendorff's α and its interval, which follows from the raw agreement."""
    result = alpha([unit.said for unit in units])
    return (result[0], beyond_chance(agreed, result[1])) if result else (None, None)


def _longer(labels: Sequence[Event], texts: Mapping[str, str]) -> Rate:
    known = [e for e in labels if e.left in texts and e.right in texts]
    unequal = [e for e in known if len(texts[e.left]) != len(texts[e.right])]
    longer = [max((e.left, e.right), key=lambda x: len(texts[x])) == e.chosen for e in unequal]
    return _rate(longer, unequal, chance=0.5)


def _cycles(labels: Sequence[Event]) -> Rate:
    winners: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for e in labels:
        pair = min(e.left, e.right), max(e.left, e.right)
        winners.setdefault((e.annotator, e.prompt_id), {})[pair] = e.chosen or ""
    return cyclic_triads(winners)


def _plain(value: object) -> object:
    if isinstance(value, Rate):
        return value.to_json()
    if isinstance(value, Labeller | Pairing):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return [_plain(v) for v in value] if isinstance(value, list) else value
