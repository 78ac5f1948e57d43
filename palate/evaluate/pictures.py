"""Figures of a verdict, as SVG text. Pure: no I/O.

A page on a phone shows them about as wide as they are drawn, so no text is smaller than 12 px.
"""

from collections.abc import Callable

from palate.core.drawing import BLUE, FAINT, INK, ORANGE, canvas, svg
from palate.core.markdown import count
from palate.core.schema import Model
from palate.evaluate.ratings import Rating, RatingList, name
from palate.evaluate.verdict import Verdict

WIDTH = 4.55  # inches: 328 px, a phone's width less the margins of the page
TEXT = 12  # px there


def verdict_pictures(result: Verdict) -> dict[str, str]:
    """Return the SVGs `win_rate`, from the second vote on `moves`, from round 2 on `rounds`."""
    pictures = {"win_rate": win_rate(result)}
    pictures |= {"rounds": rounds(result)} if result.rounds else {}
    return pictures | ({"moves": moves(result)} if len(result.moves) > 1 else {})


def win_rate(verdict: Verdict) -> str:
    """Return the SVG of a verdict: the rate as a number, its interval on 0–100%."""
    rate = verdict.win_rate
    low, high = (100 * x for x in verdict.interval)
    colour = {"better": BLUE, "worse": ORANGE}.get(verdict.decision, INK)
    lines = [
        f"win rate against the base model in {count(verdict.votes, 'blind vote')}:",
        f"{verdict.wins} won · {verdict.losses} lost · {verdict.ties} tied",
    ]
    if verdict.known:
        lines += [
            f"95% interval {low:.1f}–{high:.1f}%, valid after every vote,",
            f"for prompts like these {verdict.prompts:,}",
            f"and {verdict.voters}",
        ]
    else:
        lines += ["what it is on other prompts is not known"]
    ends = ("base preferred", "tuned preferred")
    figure, axes = canvas(WIDTH, 2.9)
    axes.set_position((0.03, 0.17, 0.94, 0.1))
    axes.plot((0, 100), (0, 0), color=FAINT, linewidth=7, solid_capstyle="round")
    axes.plot((low, high), (0, 0), color=colour, linewidth=7, solid_capstyle="butt", alpha=0.6)
    axes.plot((50, 50), (-1, 1), color=INK, linewidth=1.4)
    axes.plot(100 * rate, 0, marker="o", markersize=11, color=colour)
    axes.set(xlim=(-2, 102), ylim=(-1, 1), xticks=(0, 25, 50, 75, 100), yticks=())
    labels = [f"0%\n{ends[0]}", "25%", "50%", "75%", f"100%\n{ends[1]}"]
    axes.set_xticklabels(labels, fontsize=TEXT)
    for tick, side in zip(axes.get_xticklabels()[::4], ("left", "right"), strict=True):
        tick.set_horizontalalignment(side)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    figure.text(0.03, 0.8, f"{100 * rate:.1f}%", fontsize=34, fontweight="bold", color=colour)
    figure.text(0.03, 0.34, "\n".join(lines), linespacing=1.35, color=INK, fontsize=TEXT)
    return svg(figure, f"{100 * rate:.1f}% {' '.join(lines)}")


def rounds(result: Verdict) -> str:
    """Return the SVG of all rounds' win rates against the base model, with their intervals."""
    rows, height = result.rounds, 0.45 + 0.56 * len(result.rounds)
    figure, axes = canvas(WIDTH, height)
    axes.set_position((0.03, 0.32 / height, 0.94, 1 - 0.4 / height))
    said = []
    for y, r in enumerate(rows):
        rate, low, high = (100 * x for x in (r.win_rate, *r.interval))
        colour = {"better": BLUE, "worse": ORANGE}.get(r.decision, INK)
        axes.plot((0, 100), (y, y), color=FAINT, linewidth=6, solid_capstyle="round")
        axes.plot((low, high), (y, y), color=colour, linewidth=6, alpha=0.6)
        axes.plot((50, 50), (y - 0.18, y + 0.18), color=INK, linewidth=1.4)
        axes.plot(rate, y, marker="o", markersize=9, color=colour)
        name, figures = f"round {r.round}", f"{rate:.1f}% of {count(r.votes, 'vote')}"
        axes.text(0, y - 0.34, name, color=INK, fontsize=TEXT)
        axes.text(100, y - 0.34, figures, color=INK, fontsize=TEXT, ha="right")
        said.append(f"{name}: {figures} ({low:.1f}–{high:.1f})")
    axes.set(xlim=(-2, 102), ylim=(len(rows) - 0.6, -0.8), yticks=())
    axes.set_xticks((0, 25, 50, 75, 100), ("0%", "25%", "50%", "75%", "100%"), fontsize=TEXT)
    for tick, side in zip(axes.get_xticklabels()[::4], ("left", "right"), strict=True):
        tick.set_horizontalalignment(side)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    return svg(figure, "; ".join(said))


def moves(result: Verdict) -> str:
    """Return the SVG of how the win rate moved with the votes, with the band that always holds."""
    figure, axes = canvas(WIDTH, 2.6)
    axes.set_position((0.15, 0.2, 0.79, 0.74))
    n = [point.votes for point in result.moves]
    colour = {"better": BLUE, "worse": ORANGE}.get(result.decision, INK)
    percent = [[100 * x for x in (p.win_rate, p.low, p.high)] for p in result.moves]
    rate, low, high = (list(values) for values in zip(*percent, strict=True))
    axes.fill_between(n, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(n, rate, color=colour, linewidth=1.8)
    axes.axhline(50, color=INK, linewidth=1.2)
    axes.set(ylim=(0, 100), xlim=(min(n), max(n)))
    axes.set_yticks((0, 25, 50, 75, 100), ("0%", "25%", "50%", "75%", "100%"))
    axes.locator_params("x", nbins=6, integer=True)
    axes.set_xlabel("votes", fontsize=TEXT)
    axes.tick_params(labelsize=TEXT)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    return svg(
        figure,
        f"The win rate as votes came in, from {rate[0]:.0f}% after {count(n[0], 'vote')} to"
        f" {rate[-1]:.1f}% after {n[-1]:,} votes, with its 95% band, at last"
        f" {low[-1]:.0f}–{high[-1]:.0f}%",
    )


def rated_models(rated: RatingList, called: Callable[[Model], str] = name) -> str:
    """Return the SVG of a list of models: points over the reference, with 95% intervals.

    An end that is open, or a model of which the points are not known, reaches the border.
    """
    rows = rated.ratings
    ends = [x for r in rows for x in _ends(r) if x is not None]
    reach = 1.1 * max([100.0, *map(abs, ends)])
    height = 0.55 + 0.5 * len(rows)
    figure, axes = canvas(WIDTH, height)
    foot = 0.5 / height
    axes.set_position((0.03, foot, 0.94, 0.99 - foot))
    for y, r in enumerate(rows):
        low, high = (x if x is not None else side * reach for x, side in _sided(_ends(r)))
        colour = BLUE if low > 0 else ORANGE if high < 0 else INK
        axes.plot((low, high), (y, y), color=colour, linewidth=6, alpha=0.5, solid_capstyle="butt")
        axes.plot((0, 0), (y - 0.18, y + 0.18), color=INK, linewidth=1.2)
        if r.over is None or r.over.points is not None:
            points = r.over.points if r.over and r.over.points is not None else 0.0
            axes.plot(points, y, marker="o", markersize=8, color=colour)
        axes.text(-reach, y - 0.28, f"{r.place}. {called(r.model)}", color=INK, fontsize=TEXT)
    axes.set(xlim=(-reach, reach), ylim=(len(rows) - 0.5, -0.75), yticks=())
    axes.set_xlabel(f"points over {called(rated.reference)}", fontsize=TEXT)
    axes.tick_params(labelsize=TEXT)
    said = "; ".join(
        f"{called(r.model)}: {r.over.words() if r.over else 'the reference'}" for r in rows
    )
    return svg(figure, said)


def _ends(r: Rating) -> tuple[float | None, float | None]:
    return r.over.interval if r.over else (0.0, 0.0)


def _sided(ends: tuple[float | None, float | None]) -> tuple[tuple[float | None, int], ...]:
    return (ends[0], -1), (ends[1], 1)
