"""Pictures of a verdict can be read on a phone."""

import re

import pytest
from verdicts import votes

from palate.evaluate.pictures import verdict_pictures

PHONE = 328  # px of a phone that is 390 px wide, less the margins of the page


@pytest.mark.parametrize("name", ["win_rate", "moves"])
def test_no_text_is_smaller_than_twelve_pixels_on_a_phone(name):
    svg = verdict_pictures(votes(34, 16))[name]
    (width,) = re.findall(r'viewBox="0 0 ([\d.]+) ', svg)
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert sizes
    assert min(sizes) * PHONE / float(width) >= 12
