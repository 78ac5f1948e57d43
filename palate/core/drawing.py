"""Figures as SVG text: the same bytes for the same numbers. Pure: no I/O.

Pages are light or dark, so the background is transparent and every colour has a contrast of at
least 3:1 (text 4.2:1) against both.
"""

import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

INK = "#737b87"
FAINT = "#8b93a060"  # grid lines and bars behind the data
TEXT = 12.5  # points: 12 px where a phone shows a figure of 4.8 inches
BLUE, ORANGE = "#3a83e0", "#d1700f"  # told apart in every common colour blindness
_STYLE: "dict[RcKeyType, str | float]" = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "svg.fonttype": "none",
    "svg.hashsalt": "palate",
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_FONTS = "system-ui, -apple-system, &quot;Segoe UI&quot;, &quot;DejaVu Sans&quot;, sans-serif"


class Share(Protocol):
    """A share of `n` with its interval, both from 0 to 1."""

    @property
    def n(self) -> int: ...
    @property
    def rate(self) -> float | None: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...
    def words(self) -> str: ...


def canvas(width: float, height: float) -> tuple["Figure", "Axes"]:
    """Return a new figure, kept out of pyplot's global state, and its axes; sizes in inches."""
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


def svg(figure: "Figure", description: str) -> str:
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


def rates(shown: Sequence[tuple[str, Share, float | None]]) -> str:
    """Return the SVG of shares with their intervals: a text, the share, and the chance level (%).

    A share that differs from a chance level of 50% is drawn in orange.
    """
    figure, axes = canvas(4.8, 0.5 + 0.62 * len(shown))
    foot = 0.3 / (0.5 + 0.62 * len(shown))
    axes.set_position((0.02, foot, 0.96, 0.98 - foot))
    for y, (text, rate, at) in enumerate(shown):
        low, high = (100 * x for x in rate.interval or (0, 1))
        colour = ORANGE if at == 50 and not low <= at <= high else BLUE
        axes.plot((0, 100), (y, y), color=FAINT, linewidth=6, solid_capstyle="round")
        axes.plot((low, high), (y, y), color=colour, linewidth=6, alpha=0.6)
        axes.plot(100 * (rate.rate or 0), y, marker="o", markersize=10, color=colour)
        if at is not None:
            axes.plot((at, at), (y - 0.16, y + 0.16), color=INK, linewidth=1.4)
        figures = f"{100 * (rate.rate or 0):.0f}% of {rate.n:,}"
        axes.text(0, y - 0.3, text, color=INK, fontsize=TEXT)
        bold: dict = {"ha": "right", "fontweight": "bold", "fontsize": TEXT}
        axes.text(100, y - 0.3, figures, color=INK, **bold)
    axes.set(xlim=(-2, 102), ylim=(len(shown) - 0.5, -0.75), yticks=())
    axes.set_xticks((0, 25, 50, 75, 100), ("0%", "25%", "50%", "75%", "100%"))
    for tick, side in zip(axes.get_xticklabels()[::4], ("left", "right"), strict=True):
        tick.set_horizontalalignment(side)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    return svg(figure, "; ".join(f"{text}: {rate.words()}" for text, rate, _ in shown))
