"""The audit as an HTML page and as a terminal's table: figures and words for its findings."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from palate.audit.finding import Finding
from palate.audit.measure import Audit
from palate.core import drawing
from palate.core.paths import shipped

COLOURS = {"fatal": "bold red", "warning": "yellow", "note": "green"}
CHANCE = 50.0  # percent, of a choice between two
CHANCE_CYCLIC = 25.0  # percent of the triples of random answers that contradict themselves
MAX_BARS = 20


def render(audit: Audit, findings: Sequence[Finding]) -> str:
    """Return the HTML page: self-contained, light and dark, without scripts."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(shipped("cards"))
    page = Environment(loader=loader, undefined=StrictUndefined, autoescape=True)
    return page.get_template("audit.html.j2").render(
        audit=audit, findings=findings, pictures=pictures(audit), tiles=tiles(audit)
    )


def pictures(audit: Audit) -> dict[str, str]:
    """Return the SVGs by title, as far as there is something to show."""
    svgs = {}
    if audit.baseline:
        svgs["Baselines to beat"] = _baselines(audit)
    if audit.longer.n:
        svgs["What people chose"] = _choices(audit)
    if len(audit.candidates) > 1:
        svgs["Texts per prompt"] = _texts_per_prompt(audit)
    return svgs


def _baselines(audit: Audit) -> str:
    shares = [(f"lookup of wins, split {how}", a, CHANCE) for how, a in audit.lookup.items()]
    shares += [(f"bag of words, split {how}", a, CHANCE) for how, a in audit.baseline.items()]
    if audit.length_rule:
        shares.append(("length alone, split by prompt", audit.length_rule, CHANCE))
    return drawing.rates(shares)


def _choices(audit: Audit) -> str:
    shares = [("the longer text", audit.longer, CHANCE)]
    if audit.second is not None:
        shares.append(("the second text", audit.second, CHANCE))
    shares += [(f"the text with {name}", rate, CHANCE) for name, rate in audit.formats.items()]
    if audit.cycles.n:
        shares.append(("contradictory triples", audit.cycles, CHANCE_CYCLIC))
    return drawing.rates(shares)


def _texts_per_prompt(audit: Audit) -> str:
    counts = sorted(audit.candidates.items())[:MAX_BARS]
    figure, axes = drawing.canvas(4.8, 1.8)
    axes.set_position((0.02, 0.16, 0.96, 0.72))
    bars = axes.bar([str(k) for k, _ in counts], [n for _, n in counts], color=drawing.BLUE)
    axes.bar_label(
        bars, [f"{n:,}" for _, n in counts], padding=2, color=drawing.INK, fontsize=drawing.TEXT
    )
    axes.set_yticks(())
    axes.tick_params(length=0)
    bars_text = ", ".join(f"{k}: {n}" for k, n in counts)
    return drawing.svg(figure, f"Prompts by number of texts: {bars_text}")


def tiles(audit: Audit) -> list[tuple[str, str]]:
    """Return the figures that come first, each with what it counts."""
    texts = sorted(k for k, prompts in audit.candidates.items() for _ in range(prompts))
    return [
        (f"{audit.rows:,}", "rows"),
        (f"{audit.prompts:,}", "prompts"),
        (f"{texts[len(texts) // 2] if texts else 0:,}", "texts per prompt (median)"),
        (f"{audit.words.get('median', 0):g}", "words per text (median)"),
    ]


def table(audit: Audit, findings: Sequence[Finding]) -> Group:
    """Return the report for a terminal."""
    head = Text(f"{audit.source}: ", "bold")
    head.append(", ".join(f"{value} {name}" for value, name in tiles(audit)), "")
    body = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    body.add_column(no_wrap=True)
    body.add_column(ratio=1)
    for finding in findings:
        body.add_row(Text(finding.level, COLOURS[finding.level]), Text(finding.text))
        body.add_row("", Text(finding.advice, "dim"))
    return Group(head, Text(), body)
