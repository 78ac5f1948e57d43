"""The report on labelling in words, as a table and as pictures (SVG text). Pure: no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import TYPE_CHECKING

from palate.core.drawing import BLUE, INK, TEXT, canvas, rates, svg
from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.rates import PEOPLE_NEEDED, Rate
from palate.core.schema import Event
from palate.label.agreement import Pairing, Report

if TYPE_CHECKING:
    from rich.table import Table

LOW_CONSISTENCY = 0.8  # of judgements that a person repeats
LOW_ALPHA = 0.4
LONGER_PREFERRED = 0.6  # of choices; below, a bias towards length is no concern
TESTS = 2  # of biases: side and length


def sentences(r: Report, names: Mapping[str, str] | None = None) -> list[str]:
    """Return the report in words; a worrying figure ends in what to do.

    `names` are shown instead of annotators' pseudonyms.
    """
    return list(_sentences(r, names or {}))


def across(by_aspect: Mapping[str, Sequence[Event]]) -> list[str]:
    """Return how often every two aspects prefer different answers, by one person on one pair."""
    choices = {
        aspect: {(e.annotator, e.pair_id): e for e in standing_judgements(events) if e.chosen}
        for aspect, events in by_aspect.items()
    }
    return [_between(one, other, choices) for one, other in combinations(choices, 2)]


def _between(one: str, other: str, choices: Mapping[str, Mapping[tuple[str, str], Event]]) -> str:
    keys = [key for key in choices[one] if key in choices[other]]
    if not keys:
        return f"Nobody has preferred an answer in both {one} and {other} on the same pair yet."
    first, second = ([choices[a][key] for key in keys] for a in (one, other))
    differ = [x.chosen != y.chosen for x, y in zip(first, second, strict=True)]
    rate = Rate.of(differ, [e.prompt_id for e in first], [e.annotator for e in first])
    most = 2 * rate.hits > rate.n
    advice = " They contradict each other on most of these pairs." if most else ""
    return f"{one} and {other} prefer different answers in {said(rate)}.{advice}"


def table(r: Report) -> "Table":
    """Return a row for each person."""
    from rich.table import Table

    people = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    heads = ("annotator", "judged", "per hour", "seconds", "consistent", "left", "too fast")
    for i, head in enumerate(heads):
        people.add_column(head, justify="right" if i else "left")
    for p in r.people:
        judged = sum(n for kind, n in p.kinds.items() if kind != "skip")
        rates = (counted(rate) for rate in (p.self_consistency, p.left, p.too_fast))
        hour = "–" if p.per_hour is None else f"{p.per_hour:.0f}"
        seconds = "–" if p.seconds is None else f"{p.seconds:.1f}"
        people.add_row(p.annotator, f"{judged:,}", hour, seconds, *rates)
    return people


def counted(rate: Rate) -> str:
    """Return "18 of 20", as what one person did is a count and no estimate."""
    return f"{rate.hits:,} of {rate.n:,}" if rate.n else "–"


def is_vague(rate: Rate) -> bool:
    """Tell whether the range takes up more than half of the scale: the rate says nothing yet."""
    return rate.interval is not None and rate.interval[1] - rate.interval[0] > 0.5


def said(rate: Rate) -> str:
    """Return the rate in words, without figures that mean nothing yet."""
    if is_vague(rate):
        return f"{rate.hits:,} of {rate.n:,} (too few to say more)"
    return rate.words()


def tested(rate: Rate) -> str:
    return "" if is_vague(rate) else rate.test(TESTS)


def alpha(r: Report | Pairing) -> str:
    """Return "0.43 (0.05 to 0.71)", Krippendorff's α with its interval."""
    if r.alpha is None:
        return "–"
    if r.alpha_interval and r.alpha_interval[1] - r.alpha_interval[0] > 1:
        return "too few to say"
    doubt = "{:.2f} to {:.2f}".format(*r.alpha_interval) if r.alpha_interval else "range unknown"
    return f"{r.alpha:.2f} ({doubt})"


def reading(r: Report) -> str:
    """Return what the ranges in brackets are, and whom they are about."""
    people, rates = "these people", (r.self_consistency, r.implied, r.left, r.longer, r.cycles)
    if min((rate.people for rate in rates if rate.n), default=0) >= PEOPLE_NEEDED:
        people = "people like these (agreement and α: by these people)"
    elif len(r.people) == 1:
        people = "this person"
    return (
        "Ranges in brackets are 95% intervals: what labels on other prompts of this kind, by"
        f" {people}, would show."
    )


def _sentences(r: Report, names: Mapping[str, str]) -> Iterator[str]:
    if not r.people:
        yield "Nobody has labelled a pair yet."
        return
    people = count(len(r.people), "person", "people")
    yield f"{count(r.judgements, 'judgement')} on {count(r.pairs, 'pair')} by {people}."
    yield from _agreement(r)
    yield from _biases(r)
    if r.cycles.n:
        yield (
            f"Circular answers (A over B over C over A): {said(r.cycles)}; 25% by chance where"
            " every pair is asked."
        )
    for p in r.people:
        if p.annotator in r.suspects:
            yield (
                f"{names.get(p.annotator, p.annotator)} answered too fast to have read the texts in"
                f" {counted(p.too_fast)} judgements. Look at these labels before you train on them."
            )


def _agreement(r: Report) -> Iterator[str]:
    if r.self_consistency.n:
        low = (r.self_consistency.interval or (1, 1))[1] < LOW_CONSISTENCY
        advice = " That is low. Make the question narrower, or allow ties." if low else ""
        yield f"Asked again, people gave the same answer in {said(r.self_consistency)}.{advice}"
    if r.implied.n:
        yield (
            "Asked about pairs that earlier answers implied, people decided the other way in"
            f" {said(r.implied)}."
        )
    if r.agreement.n:
        advice = ""
        if r.alpha_interval and r.alpha_interval[1] < LOW_ALPHA:
            advice = (
                f" That is below {LOW_ALPHA}: tastes differ, or the instructions are unclear. Train"
                " on one person's labels, or write guidelines.md."
            )
        yield f"Two people on the same pair agreed in {said(r.agreement)}."
        if r.alpha is not None and not alpha(r).startswith("too"):
            yield (
                f"Corrected for chance, that is {alpha(r)}, where 1 is full agreement and 0 is"
                f" guessing (Krippendorff's α).{advice}"
            )


def _biases(r: Report) -> Iterator[str]:
    if r.left.n:
        advice = " Where sides are random, somebody favours one." if r.left.differs(TESTS) else ""
        yield f"The left answer was chosen in {said(r.left)}{tested(r.left)}.{advice}"
    if r.longer.n:
        longer = r.longer.differs(TESTS) and (r.longer.rate or 0) > LONGER_PREFERRED
        advice = " A model will learn length, too: see palate train --help." if longer else ""
        yield f"The longer answer was chosen in {said(r.longer)}{tested(r.longer)}.{advice}"


def labelling_pictures(report: Report, names: Mapping[str, str]) -> dict[str, str]:
    """Return the SVGs of how people label: `rates`, `hours` and `seconds`, as far as they exist."""
    if not report.people:
        return {}
    pictures = {"rates": how_people_label(report), "hours": _hours(report)}
    timed = [(names.get(p.annotator, p.annotator), p.seconds) for p in report.people if p.seconds]
    if timed:
        pictures["seconds"] = _seconds(timed)
    return {name: svg for name, svg in pictures.items() if svg}


def how_people_label(report: Report) -> str:
    """Return the SVG of agreement, self-consistency and biases; empty if none was measured."""
    asked = [
        ("consistent when asked again", report.self_consistency, None),
        ("two people agreed", report.agreement, None),
        ("left answer chosen", report.left, 50),
        ("longer answer chosen", report.longer, 50),
        ("triples of answers in a circle", report.cycles, 25),
    ]
    shown = [(text, rate, at) for text, rate, at in asked if rate.interval and not is_vague(rate)]
    return rates(shown) if shown else ""


def strengths(counts: Mapping[int, int]) -> str:
    """Return the SVG of how many choices had which strength, 1 (barely) to 4 (much better)."""
    names = {1: "barely better", 2: "slightly better", 3: "better", 4: "much better"}
    figure, axes = canvas(4.6, 1.6)
    axes.set_position((0.34, 0.03, 0.62, 0.94))
    values = [counts.get(n, 0) for n in names]
    bars = axes.barh(list(names.values()), values, color=BLUE, height=0.62)
    axes.bar_label(bars, [f"{v:,}" for v in values], padding=4, color=INK, fontsize=TEXT)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xticks(())
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    described = ", ".join(f"{name} {counts.get(n, 0)}" for n, name in names.items())
    return svg(figure, f"How much better the chosen one was: {described}")


def _hours(report: Report) -> str:
    by_hour: dict[str, int] = {}
    for row in report.hours:
        by_hour[row["hour"]] = by_hour.get(row["hour"], 0) + row["judgements"]
    hours = sorted(by_hour)[-18:]
    figure, axes = canvas(4.8, 1.9)
    axes.set_position((0.02, 0.14, 0.96, 0.64))
    bars = axes.bar(range(len(hours)), [by_hour[h] for h in hours], color=BLUE, width=0.7)
    axes.bar_label(bars, [f"{by_hour[h]:,}" for h in hours], padding=2, color=INK, fontsize=TEXT)
    step = -(-len(hours) // 3)
    axes.set_xticks(range(0, len(hours), step), [_hour(h) for h in hours[::step]])
    axes.set(xlim=(-0.7, max(6, len(hours)) - 0.3), yticks=())
    axes.tick_params(length=0)
    axes.set_title("Judgements per hour (UTC)", loc="left", fontsize=TEXT, color=INK, pad=20)
    return svg(figure, "Judgements by hour: " + ", ".join(f"{h} {by_hour[h]}" for h in hours))


def _hour(hour: str) -> str:
    """Return an hour such as 2026-01-31T09:00Z as the label of a tick."""
    start = datetime.fromisoformat(hour)
    return f"{start:%b} {start.day}, {start:%H:%M}"


def _seconds(timed: Sequence[tuple[str, float]]) -> str:
    figure, axes = canvas(4.8, 0.5 + 0.34 * len(timed))
    axes.set_position((0.4, 0.03, 0.56, 0.97 - 0.3 / (0.5 + 0.34 * len(timed))))
    bars = axes.barh(
        [name[:18].replace("$", r"\$") for name, _ in timed],
        [s for _, s in timed],
        color=BLUE,
        height=0.6,
    )
    axes.bar_label(bars, [f"{s:.1f} s" for _, s in timed], padding=4, color=INK, fontsize=TEXT)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xticks(())
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_title("Median seconds per pair", loc="left", fontsize=TEXT, color=INK)
    return svg(figure, "Median seconds: " + ", ".join(f"{n} {s:.1f}" for n, s in timed))
