"""The cards' pictures, as SVG text: the same bytes for the same numbers. Pure: no I/O.

They lie on light and dark pages alike, so the background is transparent and every colour has a
contrast of at least 3:1 (text 4.3:1) against both.
"""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from palate.core.markdown import count
from palate.evaluate.verdict import Verdict
from palate.label.agreement import Report

INK = "#737b87"
FAINT = "#8b93a060"  # grid lines and bars behind the data
BLUE, ORANGE = "#3a83e0", "#d1700f"  # told apart in every common colour blindness
SPLITS, SIDES = ("train", "test"), ("chosen", "rejected")
CURVES = {
    # file: (title, names of the two lines, their keys, what an untrained model has)
    "loss": ("DPO loss", SPLITS, ("loss", "test_loss"), 0.6931),
    "margin": ("Reward margin", SPLITS, ("reward_margin", "test_reward_margin"), 0.0),
    "accuracy": (
        "Reward accuracy, %", SPLITS, ("reward_accuracy", "test_reward_accuracy"), 50.0,
    ),
    "rewards": ("Rewards on test", SIDES, ("test_reward_chosen", "test_reward_rejected"), 0.0),
    "logps": ("Log-probability on test", SIDES, ("test_logp_chosen", "test_logp_rejected"), None),
}  # fmt: skip
ANSWER_CURVES = {  # of SFT; at step 0 stands the base model
    "loss": ("Loss a token", SPLITS, ("loss", "test_loss"), None),
    "accuracy": ("Tokens guessed, %", SPLITS, ("token_accuracy", "test_token_accuracy"), None),
}
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "palate",
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_FONTS = "system-ui, -apple-system, &quot;Segoe UI&quot;, &quot;DejaVu Sans&quot;, sans-serif"


def training_curves(
    history: Sequence[Mapping[str, Any]], curves: Mapping[str, Any] = CURVES
) -> dict[str, str]:
    """Return the SVGs of those curves of `run.json`'s history that have a point.

    Keys are those of `curves`. Null values are gaps; accuracies are fractions.
    """
    pictures = {}
    for name, (title, labels, keys, untrained) in curves.items():
        scale = 100 if name == "accuracy" else 1
        lines = {
            label: [(h["step"], scale * h[key]) for h in history if h.get(key) is not None]
            for label, key in zip(labels, keys, strict=True)
        }
        if any(lines.values()):
            pictures[name] = _curve(title, lines, untrained)
    return pictures


def _curve(title: str, lines: dict[str, list[tuple[float, float]]], untrained: float | None) -> str:
    figure, axes = canvas(3.6, 2.6)
    axes.set_position((0.18, 0.18, 0.68 if "test" in lines else 0.6, 0.7))
    if untrained is not None:
        axes.axhline(untrained, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    ends = []
    for colour, (label, points) in zip((BLUE, ORANGE), lines.items(), strict=True):
        if points:
            steps, values = zip(*points, strict=True)
            # test points are few: markers show where the model was really evaluated
            marker = "o" if label != "train" or len(points) == 1 else None
            axes.plot(steps, values, color=colour, linewidth=1.8, marker=marker, markersize=4)
            ends.append((steps[-1], values[-1], label, colour))
    axes.set_title(title, loc="left", x=-0.2, fontweight="bold", fontsize=11)
    axes.set_xlabel("optimizer step" + (" (dotted: untrained)" if untrained is not None else ""))
    steps = {step for points in lines.values() for step, _ in points}
    if len(steps) == 1:
        axes.set_xticks(list(steps))
    axes.margins(x=0.03, y=0.12)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    _label_ends(axes, ends)
    described = ", ".join(f"{label} {value:.3g} at step {step}" for step, value, label, _ in ends)
    return svg(figure, f"{title} over the training: {described}")


def _label_ends(axes: Any, ends: list[tuple[float, float, str, str]]) -> None:
    """Write each line's name beside its last point, apart from the other's."""
    low, high = axes.get_ylim()
    gap = 0.09 * (high - low)
    heights = [value for _, value, _, _ in ends]
    if len(ends) == 2 and abs(heights[0] - heights[1]) < gap:
        middle, sign = sum(heights) / 2, 1 if heights[0] >= heights[1] else -1
        heights = [middle + sign * gap / 2, middle - sign * gap / 2]
    for (_, _, label, colour), height in zip(ends, heights, strict=True):
        axes.text(
            1.02,
            height,
            label,
            transform=axes.get_yaxis_transform(),
            color=colour,
            va="center",
            fontweight="bold",
        )


def win_rate(verdict: Verdict) -> str:
    """Return the SVG of a verdict: the rate as a number, both its intervals on 0–100 %."""
    rate = verdict.win_rate
    (low, high), (least, most) = (
        tuple(100 * x for x in bounds) for bounds in (verdict.interval, verdict.sequence)
    )
    colour = {"better": BLUE, "worse": ORANGE}.get(verdict.decision, INK)
    counts = f"{verdict.wins} won · {verdict.losses} lost · {verdict.ties} tied"
    lines = [
        f"preferred over the base model, blind; {count(verdict.votes, 'vote')}: {counts}",
        f"95 % interval {least:.1f}–{most:.1f} %, looked at after every vote (thin)",
        f"95 % interval {low:.1f}–{high:.1f} %, had their number been fixed (thick)",
    ]
    ends = ("base preferred", "tuned preferred")
    figure, axes = canvas(7.2, 1.9)
    axes.set_position((0.02, 0.25, 0.96, 0.2))
    axes.plot((0, 100), (0, 0), color=FAINT, linewidth=7, solid_capstyle="round")
    axes.plot((least, most), (0, 0), color=colour, linewidth=2)
    axes.plot((low, high), (0, 0), color=colour, linewidth=7, solid_capstyle="butt", alpha=0.6)
    axes.plot((50, 50), (-1, 1), color=INK, linewidth=1.4)
    axes.plot(100 * rate, 0, marker="o", markersize=12, color=colour)
    axes.set(xlim=(-2, 102), ylim=(-1, 1), xticks=(0, 25, 50, 75, 100), yticks=())
    axes.set_xticklabels([f"0 %\n{ends[0]}", "25 %", "50 %", "75 %", f"100 %\n{ends[1]}"])
    for tick, side in zip(axes.get_xticklabels()[::4], ("left", "right"), strict=True):
        tick.set_horizontalalignment(side)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    figure.text(0.03, 0.62, f"{100 * rate:.1f} %", fontsize=34, fontweight="bold", color=colour)
    first, *rest = lines[0].split("; ") + lines[1:]
    figure.text(0.35, 0.58, "\n".join([first, *rest]), linespacing=1.5, color=INK, fontsize=9)
    return svg(figure, f"{100 * rate:.1f} % {'; '.join(lines)}")


def verdict(result: Verdict) -> dict[str, str]:
    """Return the SVGs `win_rate` and, from the second vote on, `moves`."""
    pictures = {"win_rate": win_rate(result)}
    return pictures | ({"moves": moves(result)} if len(result.moves) > 1 else {})


def moves(result: Verdict) -> str:
    """Return the SVG of how the win rate moved with the votes, with the band that always holds."""
    figure, axes = canvas(6.4, 2.8)
    axes.set_position((0.09, 0.17, 0.88, 0.78))
    n, rate, low, high = zip(*result.moves, strict=True)
    colour = {"better": BLUE, "worse": ORANGE}.get(result.decision, INK)
    percent = [[100 * x for x in values] for values in (rate, low, high)]
    axes.fill_between(n, percent[1], percent[2], color=colour, alpha=0.18, linewidth=0)
    axes.plot(n, percent[0], color=colour, linewidth=1.8)
    axes.axhline(50, color=INK, linewidth=1.2)
    axes.set(ylim=(0, 100), xlim=(min(n), max(n)))
    axes.set_yticks((0, 25, 50, 75, 100), ("0 %", "25 %", "50 %", "75 %", "100 %"))
    axes.set_xlabel("votes")
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    return svg(
        figure,
        f"The win rate after each vote, from {percent[0][0]:.0f} % at the first to"
        f" {percent[0][-1]:.1f} % after {n[-1]:,} votes, with the band"
        f" {percent[1][-1]:.0f}–{percent[2][-1]:.0f} %",
    )


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


def labelling(report: Report, names: Mapping[str, str]) -> dict[str, str]:
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
        ("said the same when asked again", report.self_consistency, None),
        ("two people agreed on a pair", report.agreement, None),
        ("the left one was chosen", report.left, 50),
        ("the longer one was chosen", report.longer, 50),
        ("three answers in a circle", report.cycles, 25),
    ]
    shown = [(text, rate, at) for text, rate, at in asked if rate.n]
    return rates(shown) if shown else ""


def rates(shown: Sequence[tuple[str, Any, float | None]]) -> str:
    """Return the SVG of shares with their intervals: a text, a `Rate`, and what chance gives (%).

    One that is surely beside chance stands out where chance is one half.
    """
    figure, axes = canvas(4.8, 0.5 + 0.62 * len(shown))
    foot = 0.3 / (0.5 + 0.62 * len(shown))
    axes.set_position((0.02, foot, 0.96, 0.98 - foot))
    for y, (text, rate, at) in enumerate(shown):
        low, high = (100 * x for x in rate.interval or (0, 1))
        beside = at is not None and not low <= at <= high
        colour = ORANGE if beside and at == 50 else BLUE
        axes.plot((0, 100), (y, y), color=FAINT, linewidth=6, solid_capstyle="round")
        axes.plot((low, high), (y, y), color=colour, linewidth=6, alpha=0.6)
        axes.plot(100 * (rate.rate or 0), y, marker="o", markersize=10, color=colour)
        if at is not None:
            axes.plot((at, at), (y - 0.16, y + 0.16), color=INK, linewidth=1.4)
        figures = f"{100 * (rate.rate or 0):.0f} % of {rate.n:,}"
        axes.text(0, y - 0.3, text, color=INK)
        axes.text(100, y - 0.3, figures, color=INK, ha="right", fontweight="bold")
    axes.set(xlim=(-2, 102), ylim=(len(shown) - 0.5, -0.75), yticks=())
    axes.set_xticks((0, 25, 50, 75, 100), ("0 %", "25 %", "50 %", "75 %", "100 %"))
    for tick, side in zip(axes.get_xticklabels()[::4], ("left", "right"), strict=True):
        tick.set_horizontalalignment(side)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    return svg(figure, "; ".join(f"{text}: {rate.words()}" for text, rate, _ in shown))


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
    axes.set_xticks(range(0, len(hours), step), [f"{h[8:10]}. {h[11:13]} h" for h in hours[::step]])
    axes.set(xlim=(-0.7, max(6, len(hours)) - 0.3), yticks=())
    axes.tick_params(length=0)
    axes.set_title(
        "Judgements in each hour of labelling, UTC", loc="left", fontsize=10, color=INK, pad=18
    )
    return svg(figure, "Judgements by hour: " + ", ".join(f"{h} {by_hour[h]}" for h in hours))


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
    axes.set_title("Seconds for a pair, median", loc="left", fontsize=10, color=INK)
    return svg(figure, "Median seconds: " + ", ".join(f"{n} {s:.1f}" for n, s in timed))


def canvas(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure of its own, outside of pyplot's global state, and its axes (inches)."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.tick_params(left=False)
    return figure, axes


def svg(figure: Any, description: str) -> str:
    """Return the figure as SVG text whose title is the description."""
    from matplotlib import rc_context

    raw = io.StringIO()
    with rc_context(_STYLE):
        figure.savefig(
            raw,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = raw.getvalue().replace("'DejaVu Sans'", _FONTS)
    title = f"<title>{escape(description)}</title>"
    return re.sub(r"(<svg [^>]*)>", rf'\1 role="img">\n {title}', text, count=1)
