"""The audit as a page of its own and as text: pictures and words for what `findings` found."""

from typing import Any

from palate.audit.findings import Finding
from palate.audit.measure import Audit
from palate.core import drawing
from palate.core.paths import shipped

COLOURS = {"fatal": "bold red", "warning": "yellow", "note": "green"}


def render(audit: Audit, found: list[Finding]) -> str:
    """Return the HTML page: self-contained, light and dark, no script."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(shipped("cards"))
    page = Environment(loader=loader, undefined=StrictUndefined, autoescape=True)
    return page.get_template("audit.html.j2").render(
        audit=audit, findings=found, pictures=pictures(audit), tiles=tiles(audit)
    )


def pictures(audit: Audit) -> dict[str, str]:
    """Return SVGs by what they show, as far as there is something to show."""
    made = {}
    if audit.baseline:
        made["What a model has to beat"] = drawing.rates(
            [
                *((f"lookup of wins, split {how}", a, 50.0) for how, a in audit.lookup.items()),
                *((f"bag of words, split {how}", a, 50.0) for how, a in audit.baseline.items()),
                *([("length alone, split by prompt", audit.length_rule, 50.0)]
                  if audit.length_rule else []),
            ]
        )  # fmt: skip
    if audit.longer.n:
        sides = [] if audit.second is None else [("the second side", audit.second, 50.0)]
        marks = [(f"the one with {name}", r, 50.0) for name, r in audit.formats.items()]
        cycles = [("triads that run in a circle", audit.cycles, 25.0)] if audit.cycles.n else []
        made["What was chosen"] = drawing.rates(
            [("the longer text", audit.longer, 50.0), *sides, *marks, *cycles]
        )
    if audit.curve:
        made["What more labels would bring"] = _curve(audit)
    if len(audit.candidates) > 1:
        made["Texts per prompt"] = _candidates(audit)
    return made


def _curve(audit: Audit) -> str:
    figure, axes = drawing.canvas(4.8, 2.4)
    axes.set_position((0.1, 0.2, 0.86, 0.74))
    labels = [p["labels"] for p in audit.curve]
    rates = [100 * p["rate"] for p in audit.curve]
    low, high = ([100 * p["interval"][side] for p in audit.curve] for side in (0, 1))
    axes.fill_between(labels, low, high, color=drawing.BLUE, alpha=0.18, linewidth=0)
    axes.plot(labels, rates, color=drawing.BLUE, marker="o", markersize=5, linewidth=1.8)
    axes.axhline(50, color=drawing.INK, linewidth=1, linestyle=(0, (2, 2)))
    axes.set_xscale("log", base=2)
    axes.set_xticks(labels, [f"{n:,}" for n in labels])
    axes.minorticks_off()
    axes.set_xlabel("labels to learn from (dotted: chance)")
    axes.set_yticks(axes.get_yticks()[1:-1], [f"{y:.0f} %" for y in axes.get_yticks()[1:-1]])
    axes.grid(axis="y", color=drawing.FAINT, linewidth=0.6)
    points = ", ".join(f"{r:.1f} % from {n:,}" for n, r in zip(labels, rates, strict=True))
    return drawing.svg(figure, f"Accuracy of a bag of words by labels: {points}")


def _candidates(audit: Audit) -> str:
    counts = sorted(audit.candidates.items())[:20]
    figure, axes = drawing.canvas(4.8, 1.8)
    axes.set_position((0.02, 0.16, 0.96, 0.72))
    bars = axes.bar([str(k) for k, _ in counts], [n for _, n in counts], color=drawing.BLUE)
    axes.bar_label(bars, [f"{n:,}" for _, n in counts], padding=2, color=drawing.INK)
    axes.set_yticks(())
    axes.tick_params(length=0)
    return drawing.svg(figure, "Prompts by texts: " + ", ".join(f"{k}: {n}" for k, n in counts))


def tiles(audit: Audit) -> list[tuple[str, str]]:
    """Return the figures that come first, each with what it counts."""
    middle = sorted(k for k, n in audit.candidates.items() for _ in range(n))
    return [
        (f"{audit.rows:,}", "rows"),
        (f"{audit.prompts:,}", "prompts"),
        (f"{middle[len(middle) // 2] if middle else 0:,}", "texts per prompt (median)"),
        (f"{audit.words.get('median', 0):g}", "words per text (median)"),
    ]


def table(audit: Audit, found: list[Finding]) -> Any:
    """Return the report for a terminal, as a rich renderable."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Text(f"{audit.source}: ", "bold")
    head.append(", ".join(f"{value} {name}" for value, name in tiles(audit)), "")
    body = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    body.add_column(no_wrap=True)
    body.add_column(ratio=1)
    for f in found:
        body.add_row(Text(f.level, COLOURS[f.level]), Text(f.text))
        body.add_row("", Text(f.advice, "dim"))
    return Group(head, Text(), body)
