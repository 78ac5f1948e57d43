"""Pictures of a verdict can be read on a phone."""

import re

import pytest
from verdicts import of_rounds, votes

from palate.evaluate.pictures import verdict_pictures

PHONE = 328  # px of a phone that is 390 px wide, less the margins of the page


@pytest.mark.parametrize("name", ["win_rate", "moves", "rounds"])
def test_no_text_is_smaller_than_twelve_pixels_on_a_phone(name):
    svg = verdict_pictures(of_rounds("wl" * 20, "w" * 12))[name]
    (width,) = re.findall(r'viewBox="0 0 ([\d.]+) ', svg)
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert sizes
    assert min(sizes) * PHONE / float(width) >= 12


def test_from_the_second_round_on_one_picture_has_all():
    assert "rounds" not in verdict_pictures(votes(34, 16))
    svg = verdict_pictures(of_rounds("wl" * 20, "w" * 12, "t"))["rounds"]
    (said,) = re.findall("<title>(.*)</title>", svg)
    assert said == (
        "round 1: 50.0% of 40 votes (27.8–72.2); round 2: 100.0% of 12 votes (55.1–100.0);"
        " round 3: 50.0% of 1 vote (0.0–100.0)"
    )
