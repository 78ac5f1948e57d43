"""The training curves of a model card, as SVG text. Pure: no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palate.core.drawing import BLUE, FAINT, INK, ORANGE, canvas, svg
from palate.train.records.points import DPOPoint, KTOPoint, RLPoint, SFTPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEXT = 10  # points: two curves share a line of a card
SPLITS, SIDES = ("train", "test"), ("chosen", "rejected")


@dataclass(frozen=True)
class Curve:
    """Lines of a history: their names and fields, and the value of an untrained model."""

    title: str
    lines: tuple[str, ...]
    fields: tuple[str, ...]
    untrained: float | None = None
    scale: float = 1.0


CURVES = {
    "loss": Curve("DPO loss", SPLITS, ("loss", "test_loss"), 0.6931),
    "margin": Curve("Reward margin", SPLITS, ("reward_margin", "test_reward_margin"), 0.0),
    "accuracy": Curve(
        "Reward accuracy, %", SPLITS, ("reward_accuracy", "test_reward_accuracy"), 50.0, 100
    ),
    "rewards": Curve("Rewards on test", SIDES, ("test_reward_chosen", "test_reward_rejected"), 0.0),
    "logps": Curve("Log-probability on test", SIDES, ("test_logp_chosen", "test_logp_rejected")),
}
FROM_LOG_2 = ("sigmoid", "robust", "sigmoid_norm")  # what these losses are before training


def curves_of(loss: str) -> dict[str, Curve]:
    """Return the curves of DPO with this loss."""
    if loss in FROM_LOG_2:
        return CURVES
    return CURVES | {"loss": Curve("Loss", SPLITS, ("loss", "test_loss"))}


SFT_CURVES = {  # step 0 is the base model
    "loss": Curve("Loss per token", SPLITS, ("loss", "test_loss")),
    "accuracy": Curve(
        "Token accuracy, %", SPLITS, ("token_accuracy", "test_token_accuracy"), scale=100
    ),
}

KTO_CURVES = {
    "loss": Curve("KTO loss", SPLITS, ("loss", "test_loss")),
    "rewards": Curve(
        "Rewards on test", ("good", "bad"), ("test_reward_good", "test_reward_bad"), 0.0
    ),
}


RL_CURVES = {
    "rewards": Curve(
        "Rewards at checks", ("reward", "held-out"), ("check_reward", "check_held_out")
    ),
    "kl": Curve("KL, nats an answer", ("train",), ("kl",)),
}


def training_curves(
    history: Sequence[DPOPoint | SFTPoint | KTOPoint | RLPoint],
    curves: Mapping[str, Curve] = CURVES,
) -> dict[str, str]:
    """Return the SVGs, by name, of a history's curves that have a point. None is a gap."""
    pictures = {}
    for name, curve in curves.items():
        lines: dict[str, list[tuple[float, float]]] = {
            line: [
                (p.step, curve.scale * y) for p in history if (y := getattr(p, field)) is not None
            ]
            for line, field in zip(curve.lines, curve.fields, strict=True)
        }
        if any(lines.values()):
            pictures[name] = _curve(curve.title, lines, curve.untrained)
    return pictures


def _curve(title: str, lines: dict[str, list[tuple[float, float]]], untrained: float | None) -> str:
    figure, axes = canvas(3.6, 2.6)
    axes.set_position((0.18, 0.18, 0.68 if "test" in lines else 0.6, 0.7))
    if untrained is not None:
        axes.axhline(untrained, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    ends = []
    for colour, (label, points) in zip((BLUE, ORANGE), lines.items(), strict=False):
        if points:
            steps, values = zip(*points, strict=True)
            # test points are few: markers show where the model was evaluated
            marker = "o" if label != "train" or len(points) == 1 else None
            axes.plot(steps, values, color=colour, linewidth=1.8, marker=marker, markersize=4)
            ends.append((steps[-1], values[-1], label, colour))
    axes.set_title(title, loc="left", x=-0.2, fontweight="bold", fontsize=11)
    dotted = " (dotted: untrained)" if untrained is not None else ""
    axes.set_xlabel(f"optimizer step{dotted}", fontsize=TEXT)
    axes.tick_params(labelsize=TEXT)
    steps = {step for points in lines.values() for step, _ in points}
    if len(steps) == 1:
        axes.set_xticks(list(steps))
    axes.margins(x=0.03, y=0.12)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    _label_ends(axes, ends)
    described = ", ".join(f"{label} {value:.3g} at step {step}" for step, value, label, _ in ends)
    return svg(figure, f"{title} during training: {described}")


def _label_ends(axes: "Axes", ends: list[tuple[float, float, str, str]]) -> None:
    """Write each line's name next to its last point, without overlap."""
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
            fontsize=TEXT,
        )
