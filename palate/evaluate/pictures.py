"""Figures of a verdict, as SVG text. Pure: no I/O."""

from palate.core.drawing import BLUE, FAINT, INK, ORANGE, canvas, svg
from palate.core.markdown import count
from palate.evaluate.verdict import Verdict


def verdict_pictures(result: Verdict) -> dict[str, str]:
    """Return the SVGs `win_rate` and, from the second vote on, `moves`."""
    pictures = {"win_rate": win_rate(result)}
    return pictures | ({"moves": moves(result)} if len(result.moves) > 1 else {})


def win_rate(verdict: Verdict) -> str:
    """Return the SVG of a verdict: the rate as a number, its interval on 0–100%."""
    rate = verdict.win_rate
    low, high = (100 * x for x in verdict.interval)
    colour = {"better": BLUE, "worse": ORANGE}.get(verdict.decision, INK)
    counts = f"{verdict.wins} won · {verdict.losses} lost · {verdict.ties} tied"
    lines = [
        f"preferred over the base model, blind; {count(verdict.votes, 'vote')}: {counts}",
        f"95% interval {low:.1f}–{high:.1f}%, valid after every vote",
        f"for prompts like these {verdict.prompts:,} and {verdict.voters}",
    ]
    ends = ("base preferred", "tuned preferred")
    figure, axes = canvas(7.2, 1.9)
    axes.set_position((0.02, 0.25, 0.96, 0.2))
    axes.plot((0, 100), (0, 0), color=FAINT, linewidth=7, solid_capstyle="round")
    axes.plot((low, high), (0, 0), color=colour, linewidth=7, solid_capstyle="butt", alpha=0.6)
    axes.plot((50, 50), (-1, 1), color=INK, linewidth=1.4)
    axes.plot(100 * rate, 0, marker="o", markersize=12, color=colour)
    axes.set(xlim=(-2, 102), ylim=(-1, 1), xticks=(0, 25, 50, 75, 100), yticks=())
    axes.set_xticklabels([f"0%\n{ends[0]}", "25%", "50%", "75%", f"100%\n{ends[1]}"])
    for tick, side in zip(axes.get_xticklabels()[::4], ("left", "right"), strict=True):
        tick.set_horizontalalignment(side)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    figure.text(0.03, 0.62, f"{100 * rate:.1f}%", fontsize=34, fontweight="bold", color=colour)
    first, *rest = lines[0].split("; ") + lines[1:]
    figure.text(0.35, 0.58, "\n".join([first, *rest]), linespacing=1.5, color=INK, fontsize=9)
    return svg(figure, f"{100 * rate:.1f}% {'; '.join(lines)}")


def moves(result: Verdict) -> str:
    """Return the SVG of how the win rate moved with the votes, with the band that always holds."""
    figure, axes = canvas(6.4, 2.8)
    axes.set_position((0.09, 0.17, 0.88, 0.78))
    n = [point.votes for point in result.moves]
    colour = {"better": BLUE, "worse": ORANGE}.get(result.decision, INK)
    percent = [[100 * x for x in (p.win_rate, p.low, p.high)] for p in result.moves]
    rate, low, high = (list(values) for values in zip(*percent, strict=True))
    axes.fill_between(n, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(n, rate, color=colour, linewidth=1.8)
    axes.axhline(50, color=INK, linewidth=1.2)
    axes.set(ylim=(0, 100), xlim=(min(n), max(n)))
    axes.set_yticks((0, 25, 50, 75, 100), ("0%", "25%", "50%", "75%", "100%"))
    axes.set_xlabel("votes")
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    return svg(
        figure,
        f"The win rate after each vote, from {rate[0]:.0f}% after the first to {rate[-1]:.1f}%"
        f" after {n[-1]:,} votes, with its 95% band, at last {low[-1]:.0f}–{high[-1]:.0f}%",
    )
