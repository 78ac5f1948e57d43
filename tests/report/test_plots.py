"""Pictures: small, the same bytes each time, readable on any page."""

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib
import pytest
from verdicts import votes as verdict

from palate.core import drawing
from palate.evaluate.pictures import verdict_pictures, win_rate
from palate.label.agreement_text import strengths
from palate.report import plots
from palate.train.records.points import DPOPoint


def history(steps: int, evaluate_every: int = 10) -> list[DPOPoint]:
    rows = []
    for step in range(1, steps + 1):
        gain = 1 - math.exp(-step / 25)
        row = {
            "step": step,
            "epoch": step / 20,
            "loss": 0.6931 - 0.16 * gain,
            "reward_margin": 0.9 * gain,
            "reward_accuracy": 0.5 + 0.28 * gain,
        }
        if step % evaluate_every == 0:
            row |= {"test_loss": 0.66, "test_reward_accuracy": 0.6, "test_reward_margin": 0.2}
            row |= {"test_reward_chosen": -0.1 * gain, "test_reward_rejected": -0.5 * gain}
            row |= {"test_logp_chosen": -40 - gain, "test_logp_rejected": -40 - 5 * gain}
        rows.append(DPOPoint(**row))
    return rows


def pictures() -> dict[str, str]:
    return plots.training_curves(history(60)) | {
        "one point": plots.training_curves(history(1))["loss"],
        "won": win_rate(verdict(78, 30, 4)),
        "even": win_rate(verdict(10, 10)),
        "lost": win_rate(verdict(0, 40)),
        "all": win_rate(verdict(40, 0)),
        "ties": win_rate(verdict(0, 0, 5)),
        "moves": verdict_pictures(verdict(78, 30, 4))["moves"],
        "strengths": strengths({1: 120, 4: 9}),
    }


def test_every_picture_is_small_transparent_reproducible_svg():
    first, second = pictures(), pictures()
    assert first == second
    for name, svg in first.items():
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg"), name
        assert root[0].tag.endswith("title"), name
        assert root[0].text, name
        assert len(svg.encode()) < 60_000, name
        assert "<script" not in svg, name
        assert "fill: #ffffff" not in svg, name
        assert not re.search(r"\d{4}-\d\d-\d\dT", svg), f"{name} carries a date"


def test_settings_of_matplotlib_are_left_alone():
    before = dict(matplotlib.rcParams)
    plots.training_curves(history(3))
    assert dict(matplotlib.rcParams) == before


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("page", ["#ffffff", "#0b0f19"])
def test_colours_stand_out_on_light_and_dark_pages(page):
    for colour, least in ((drawing.INK, 4.2), (drawing.BLUE, 3), (drawing.ORANGE, 3)):
        low, high = sorted((luminance(colour), luminance(page)))
        assert (high + 0.05) / (low + 0.05) >= least, colour


def test_curves_without_a_point_are_not_drawn():
    assert set(plots.training_curves([DPOPoint(step=1, epoch=0.1, loss=0.7)])) == {"loss"}
    assert plots.training_curves([]) == {}


LOOKED = ("loss", "margin", "accuracy")


def test_only_measured_lines_are_named():
    with_test = plots.training_curves(history(60))
    assert all(">train<" in with_test[n] and ">test<" in with_test[n] for n in LOOKED)
    for name in ("rewards", "logps"):
        assert ">chosen<" in with_test[name]
        assert ">rejected<" in with_test[name]
    without = plots.training_curves(history(60, evaluate_every=100))
    assert all(">train<" in without[n] and ">test<" not in without[n] for n in LOOKED)


def test_names_of_lines_that_end_together_do_not_overlap():
    rows = [replace(p, test_loss=p.loss) for p in history(30)]
    svg = plots.training_curves(rows)["loss"]
    heights = re.findall(r'y="([\d.]+)"[^>]*>(?:train|test)<', svg)
    assert len(heights) == 2
    assert abs(float(heights[0]) - float(heights[1])) > 8


@pytest.mark.parametrize(
    ("votes", "colour"),
    [((78, 30, 4), drawing.BLUE), ((20, 18, 1), drawing.INK), ((5, 60, 0), drawing.ORANGE)],
)
def test_the_win_rate_carries_its_doubt_and_its_colour(votes, colour):
    v = verdict(*votes)
    svg = win_rate(v)
    low, high = (100 * x for x in v.interval)
    assert f"95% interval {low:.1f}–{high:.1f}%" in svg
    assert f"{votes[0]} won · {votes[1]} lost · {votes[2]} tied" in svg
    assert re.search(rf"fill: {colour}[^>]*>{100 * v.win_rate:.1f}%<", svg)
