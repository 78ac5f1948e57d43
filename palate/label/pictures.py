"""Figures of how people label, as SVG text. Pure: no I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from palate.core.drawing import BLUE, INK, canvas, rates, svg
from palate.label.agreement import Report


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
    shown = [(text, rate, at) for text, rate, at in asked if rate.n]
    return rates(shown) if shown else ""


def strengths(counts: Mapping[int, int]) -> str:
    """Return the SVG of how many choices had which strength, 1 (barely) to 4 (much better)."""
    names = {1: "barely better", 2: "slightly better", 3: "better", 4: "much better"}
    figure, axes = canvas(4.6, 1.6)
    axes.set_position((0.27, 0.03, 0.71, 0.94))
    values = [counts.get(n, 0) for n in names]
    bars = axes.barh(list(names.values()), values, color=BLUE, height=0.62)
    axes.bar_label(bars, [f"{v:,}" for v in values], padding=4, color=INK)
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
    axes.bar_label(bars, [f"{by_hour[h]:,}" for h in hours], padding=2, color=INK)
    step = -(-len(hours) // 6)
    axes.set_xticks(range(0, len(hours), step), [_hour(h) for h in hours[::step]])
    axes.set(xlim=(-0.7, max(6, len(hours)) - 0.3), yticks=())
    axes.tick_params(length=0)
    axes.set_title("Judgements per hour (UTC)", loc="left", fontsize=10, color=INK, pad=18)
    return svg(figure, "Judgements by hour: " + ", ".join(f"{h} {by_hour[h]}" for h in hours))


def _hour(hour: str) -> str:
    """Return an hour such as 2026-01-31T09:00Z as the label of a tick."""
    start = datetime.fromisoformat(hour)
    return f"{start:%b} {start.day}, {start:%H:%M}"


def _seconds(timed: Sequence[tuple[str, float]]) -> str:
    figure, axes = canvas(4.8, 0.5 + 0.34 * len(timed))
    axes.set_position((0.3, 0.03, 0.66, 0.97 - 0.3 / (0.5 + 0.34 * len(timed))))
    bars = axes.barh(
        [name[:22].replace("$", r"\$") for name, _ in timed],
        [s for _, s in timed],
        color=BLUE,
        height=0.6,
    )
    axes.bar_label(bars, [f"{s:.1f} s" for _, s in timed], padding=4, color=INK)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xticks(())
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_title("Median seconds per pair", loc="left", fontsize=10, color=INK)
    return svg(figure, "Median seconds: " + ", ".join(f"{n} {s:.1f}" for n, s in timed))
