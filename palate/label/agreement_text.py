"""The report on labelling in words and as a table. Pure: no I/O."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from palate.core.markdown import count
from palate.core.rates import Rate
from palate.label.agreement import Report

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


def table(r: Report) -> "Table":
    """Return a row for each person."""
    from rich.table import Table

    people = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    heads = ("annotator", "judged", "per hour", "seconds", "consistent", "left", "too fast")
    for i, head in enumerate(heads):
        people.add_column(head, justify="right" if i else "left")
    for p in r.people:
        judged = sum(n for kind, n in p.kinds.items() if kind != "skip")
        rates = (_short(rate) for rate in (p.self_consistency, p.left, p.too_fast))
        hour = "–" if p.per_hour is None else f"{p.per_hour:.0f}"
        seconds = "–" if p.seconds is None else f"{p.seconds:.1f}"
        people.add_row(p.annotator, f"{judged:,}", hour, seconds, *rates)
    return people


def _short(rate: Rate) -> str:
    return "–" if rate.rate is None else f"{100 * rate.rate:.0f}% of {rate.n:,}"


def _sentences(r: Report, names: Mapping[str, str]) -> Iterator[str]:
    if not r.people:
        yield "Nobody has labelled a pair yet."
        return
    people = count(len(r.people), "person", "people")
    yield f"{count(r.judgements, 'judgement')} on {count(r.pairs, 'pair')} by {people}."
    yield from _agreement(r)
    yield from _biases(r)
    if r.cycles.n:
        yield f"Circular answers (A over B over C over A): {r.cycles.words()}; 25% by chance."
    for p in r.people:
        if p.annotator in r.suspects:
            yield (
                f"{names.get(p.annotator, p.annotator)} answered too fast to have read the texts in"
                f" {p.too_fast.words()}. Look at these labels before you train on them."
            )


def _agreement(r: Report) -> Iterator[str]:
    if r.self_consistency.n:
        low = (r.self_consistency.interval or (1, 1))[1] < LOW_CONSISTENCY
        advice = " That is low. Make the question narrower, or allow ties." if low else ""
        yield f"Asked again, people gave the same answer in {r.self_consistency.words()}.{advice}"
    if r.implied.n:
        yield (
            "Asked about pairs that earlier answers implied, people decided the other way in"
            f" {r.implied.words()}."
        )
    if r.agreement.n:
        alpha = "" if r.alpha is None else f", Krippendorff's α {r.alpha:.2f}"
        low = r.alpha is not None and r.alpha < LOW_ALPHA
        advice = (
            f" An α far below {LOW_ALPHA} means that tastes differ or that the instructions are"
            " unclear. Train on one person's labels, or write guidelines.md."
        )
        yield f"Two people agreed in {r.agreement.words()}{alpha}.{advice if low else ''}"


def _biases(r: Report) -> Iterator[str]:
    if r.left.n:
        advice = " Sides are random, so somebody favours one." if r.left.differs(TESTS) else ""
        yield f"The left answer was chosen in {r.left.words()}{r.left.test(TESTS)}.{advice}"
    if r.longer.n:
        longer = r.longer.differs(TESTS) and (r.longer.rate or 0) > LONGER_PREFERRED
        advice = " A model will learn length, too: see palate train --help." if longer else ""
        yield f"The longer answer was chosen in {r.longer.words()}{r.longer.test(TESTS)}.{advice}"
