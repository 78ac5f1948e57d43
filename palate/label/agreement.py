"""How people label: agreement, self-consistency, bias, haste. Pure: no I/O.

Every rate comes with its count and its 95 % Wilson interval; a figure that does not exist is None.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any

from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.schema import Candidate, Event
from palate.core.stats import Rate, against_half

PAUSE = 300.0  # seconds without a judgement that are no labelling
# Silent reading of English runs at 238 words a minute (M. Brysbaert, "How many words do we read per
# minute?", J. Memory and Language 109, 2019); nobody skims at six times that.
FASTEST = 25.0  # words a second
LEAST = 600.0  # milliseconds to see and press, however short the texts
HASTE = 0.2  # the share of too fast judgements that makes a person a suspect
ENOUGH = 20  # judgements before anybody is suspected
JUDGED = ("label", "tie", "both_bad", "rewrite")


@dataclass(frozen=True)
class Labeller:
    """One person's labelling."""

    annotator: str
    kinds: dict[str, int]
    seconds: float | None  # median for a judgement
    per_hour: float | None  # pauses over five minutes left out; None under a minute of labelling
    first: str
    last: str
    self_consistency: Rate
    left: Rate
    too_fast: Rate


@dataclass(frozen=True)
class Pairing:
    """Two people on the pairs that both judged."""

    one: str
    other: str
    agreement: Rate
    alpha: float | None


@dataclass(frozen=True)
class Report:
    """What the owner wants to know; see `to_json` for all of it and `sentences` for the gist."""

    judgements: int
    kinds: dict[str, int]
    pairs: int
    people: list[Labeller]
    hours: list[dict[str, Any]]  # {annotator, hour, judgements}
    agreement: Rate  # over all two people on a pair
    alpha: float | None
    pairings: list[Pairing]
    self_consistency: Rate
    flips: Rate  # choices that were reversed when asked again
    left: Rate
    longer: Rate
    cycles: Rate  # of triads of a person's strict choices; random answers give 25 %
    suspects: list[str]
    remarks: list[dict[str, Any]]  # flags and comments

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; rates as {hits, n, rate, interval[, p]}."""
        return _plain(self)

    def sentences(self, names: Mapping[str, str] | None = None) -> list[str]:
        """Return the report in words; a worrying figure ends in what to do."""
        return list(_sentences(self, dict(names or {})))


def report(events: Iterable[Event], candidates: Iterable[Candidate]) -> Report:
    """Return the report on all events of a project."""
    events = list({e.event_id: e for e in events}.values())
    texts = {c.id: c.text for c in candidates}
    asked = [e for e in standing_judgements(events) if e.kind in JUDGED]
    skips = [e for e in standing_judgements(events) if e.kind == "skip"]
    again = [e for e in standing_judgements(events, "repeat") if e.kind in JUDGED]
    labels = [e for e in asked if e.kind == "label"]
    by_person: dict[str, list[Event]] = {}
    for e in asked + skips:
        by_person.setdefault(e.annotator, []).append(e)
    people = [_labeller(who, said, again, texts) for who, said in sorted(by_person.items())]
    pairings = _pairings(asked)
    first = {(e.annotator, e.pair_id): e for e in asked}
    repeats = [(first[k], e) for e in again if (k := (e.annotator, e.pair_id)) in first]
    both = [(x, y) for x, y in repeats if x.kind == y.kind == "label"]
    return Report(
        judgements=len(asked),
        kinds=dict(Counter(e.kind for e in asked + skips)),
        pairs=len({e.pair_id for e in asked}),
        people=people,
        hours=_hours(asked),
        agreement=Rate(
            sum(p.agreement.hits for p in pairings), sum(p.agreement.n for p in pairings)
        ),
        alpha=_alpha(asked),
        pairings=pairings,
        self_consistency=Rate(sum(_value(x) == _value(y) for x, y in repeats), len(repeats)),
        flips=Rate(sum(x.chosen != y.chosen for x, y in both), len(both)),
        left=against_half(sum(e.chosen == e.left for e in labels), len(labels)),
        longer=_longer(labels, texts),
        cycles=_cycles(labels),
        suspects=[
            p.annotator for p in people if p.too_fast.n >= ENOUGH and (p.too_fast.rate or 0) > HASTE
        ],
        remarks=[
            {f: getattr(e, f) for f in ("annotator", "kind", "pair_id", "comment", "time")}
            for e in sorted(events, key=lambda e: e.time)
            if e.kind == "flag" or e.comment
        ],
    )


def table(r: Report):
    """Return a row for each person, as a rich renderable."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for i, head in enumerate(("who", "judged", "an hour", "seconds", "same again", "left", "fast")):
        made.add_column(head, justify="right" if i else "left")
    for p in r.people:
        judged = sum(n for kind, n in p.kinds.items() if kind != "skip")
        rates = (_short(rate) for rate in (p.self_consistency, p.left, p.too_fast))
        hour = "–" if p.per_hour is None else f"{p.per_hour:.0f}"
        seconds = "–" if p.seconds is None else f"{p.seconds:.1f}"
        made.add_row(p.annotator, f"{judged:,}", hour, seconds, *rates)
    return made


def _short(rate: Rate) -> str:
    return "–" if rate.rate is None else f"{100 * rate.rate:.0f} % of {rate.n:,}"


def _labeller(
    who: str, said: Sequence[Event], again: Sequence[Event], texts: Mapping[str, str]
) -> Labeller:
    judged = [e for e in said if e.kind in JUDGED]
    labels = [e for e in judged if e.kind == "label"]
    took = [e.milliseconds / 1000 for e in judged if e.milliseconds is not None]
    first = {e.pair_id: e for e in judged}
    repeats = [(first[e.pair_id], e) for e in again if e.annotator == who and e.pair_id in first]
    fast = [
        e for e in judged if e.milliseconds is not None and e.left in texts and e.right in texts
    ]
    return Labeller(
        annotator=who,
        kinds=dict(Counter(e.kind for e in said)),
        seconds=round(statistics.median(took), 2) if took else None,
        per_hour=_per_hour(judged),
        first=min(e.time for e in said),
        last=max(e.time for e in said),
        self_consistency=Rate(sum(_value(x) == _value(y) for x, y in repeats), len(repeats)),
        left=against_half(sum(e.chosen == e.left for e in labels), len(labels)),
        too_fast=Rate(sum(_too_fast(e, texts) for e in fast), len(fast)),
    )


def _too_fast(e: Event, texts: Mapping[str, str]) -> bool:
    words = len(texts[e.left].split()) + len(texts[e.right].split())
    return (e.milliseconds or 0) < max(LEAST, 1000 * words / FASTEST)


def _per_hour(judged: Sequence[Event]) -> float | None:
    times = sorted(datetime.fromisoformat(e.time) for e in judged)
    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    active = [g for g in gaps if g <= PAUSE]
    return round(3600 * len(active) / sum(active), 1) if sum(active) >= 60 else None


def _hours(judged: Sequence[Event]) -> list[dict[str, Any]]:
    judgements = Counter((e.time[:13] + ":00Z", e.annotator) for e in judged)
    return [
        {"hour": hour, "annotator": who, "judgements": n}
        for (hour, who), n in sorted(judgements.items())
    ]


def _value(e: Event) -> str:
    """Return what was said, whichever side a text was on: a candidate, or a kind of neither."""
    return e.chosen if e.kind == "label" and e.chosen else e.kind


def _pairings(judged: Sequence[Event]) -> list[Pairing]:
    said: dict[str, dict[str, str]] = {}
    for e in judged:
        said.setdefault(e.annotator, {})[e.pair_id] = _value(e)
    result = []
    for one, other in combinations(sorted(said), 2):
        shared = sorted(said[one].keys() & said[other].keys())
        if shared:
            same = sum(said[one][p] == said[other][p] for p in shared)
            ours = [e for e in judged if e.annotator in (one, other) and e.pair_id in set(shared)]
            result.append(Pairing(one, other, Rate(same, len(shared)), _alpha(ours)))
    return result


def _alpha(judged: Sequence[Event]) -> float | None:
    """Return Krippendorff's nominal α of the pairs that several people judged.

    None where nobody shares a pair, or where all said the same. K. Krippendorff, "Computing
    Krippendorff's Alpha-Reliability" (2011).
    """
    import krippendorff

    units: dict[str, dict[str, int]] = {}
    for e in judged:
        ends = sorted((e.left, e.right))
        value = ends.index(e.chosen) if _value(e) in ends and e.chosen else JUDGED.index(e.kind) + 2
        units.setdefault(e.pair_id, {})[e.annotator] = value
    shared = [unit for unit in units.values() if len(unit) > 1]
    if len({value for unit in shared for value in unit.values()}) < 2:
        return None
    people = sorted({who for unit in shared for who in unit})
    table = [[unit.get(who, float("nan")) for unit in shared] for who in people]
    return float(krippendorff.alpha(table, level_of_measurement="nominal"))


def _longer(labels: Sequence[Event], texts: Mapping[str, str]) -> Rate:
    known = [e for e in labels if e.left in texts and e.right in texts]
    unequal = [e for e in known if len(texts[e.left]) != len(texts[e.right])]
    longer = [max((e.left, e.right), key=lambda id: len(texts[id])) == e.chosen for e in unequal]
    return against_half(sum(longer), len(longer))


def _cycles(labels: Sequence[Event]) -> Rate:
    """Return the cyclic ones of all triads of candidates that one person compared throughout."""
    beats: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for e in labels:
        key = min(e.left, e.right), max(e.left, e.right)
        beats.setdefault((e.annotator, e.prompt_id), {})[key] = e.chosen or ""
    cyclic = triads = 0
    for said in beats.values():
        for x, y, z in combinations(sorted({id for pair in said for id in pair}), 3):
            if (x, y) in said and (y, z) in said and (x, z) in said:
                triads += 1
                # each of the three wins once in a cycle
                cyclic += len({said[x, y], said[y, z], said[x, z]}) == 3
    return Rate(cyclic, triads)


def _plain(value: Any) -> Any:
    if isinstance(value, Rate):
        return value.to_json()
    if isinstance(value, (Report, Labeller, Pairing)):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _sentences(r: Report, names: dict[str, str]):
    if not r.people:
        yield "Nobody has labelled a pair yet."
        return
    people = "one person" if len(r.people) == 1 else f"{len(r.people)} people"
    yield f"{count(r.judgements, 'judgement')} on {count(r.pairs, 'pair')} by {people}."
    if r.self_consistency.n:
        text = f"Asked again, people said the same on {r.self_consistency.words()}."
        low = (r.self_consistency.interval or (1, 1))[1] < 0.8
        yield text + (" That is little: narrow the question, or allow ties." if low else "")
    if r.agreement.n:
        alpha = "" if r.alpha is None else f", Krippendorff's α {r.alpha:.2f}"
        text = f"Two people on the same pair agree on {r.agreement.words()}{alpha}."
        yield text + (
            " Much below 0.4 is a matter of taste or of unclear instructions: train on one person,"
            " or write guidelines.md."
            if r.alpha is not None and r.alpha < 0.4
            else ""
        )
    if r.left.n:
        text = f"The left one was chosen on {r.left.words()}, p = {r.left.p:.2g}."
        yield text + (" Sides are random, so somebody favours one." if _sure(r.left) else "")
    if r.longer.n:
        text = f"The longer one was chosen on {r.longer.words()}, p = {r.longer.p:.2g}."
        yield text + (
            " A model will learn the length, too: see --help of train on length."
            if _sure(r.longer) and (r.longer.rate or 0) > 0.6
            else ""
        )
    if r.cycles.n:
        yield f"Three answers run in a circle on {r.cycles.words()}; at random it were 25 %."
    for p in r.people:
        if p.annotator in r.suspects:
            yield (
                f"{names.get(p.annotator, p.annotator)} was too fast to have read on"
                f" {p.too_fast.words()}: look at these labels before you train on them."
            )


def _sure(rate: Rate) -> bool:
    return rate.p is not None and rate.p < 0.01
