"""The share of wrong training rows: of asked and of inferred ones, and what is said of it."""

from types import SimpleNamespace

import pytest

from palate.core.errors import UsageError
from palate.core.rates import Rate
from palate.train.rows import wrong

ASKED, IMPLIED = SimpleNamespace(source="human"), SimpleNamespace(source="implied")


NONE = Rate(0, 0)


def people(flips, implied=NONE):
    return SimpleNamespace(flips=flips, implied=implied)


@pytest.mark.parametrize("e", [0.0, 0.05, 0.2])
def test_the_rate_of_wrong_labels_follows_from_repeats(e):
    n = 100_000
    flips = Rate(round(n * 2 * e * (1 - e)), n)
    assert wrong.wrong_rows([ASKED], people(flips)) == pytest.approx(e, abs=1e-4)


def test_asked_and_inferred_rows_count_by_their_number():
    e, i, n = 0.05, 0.2, 100_000
    flips, checks = Rate(round(n * 2 * e * (1 - e)), n), Rate(round(n * (e + i - 2 * e * i)), n)
    rows = [ASKED] * 3 + [IMPLIED]
    assert wrong.wrong_rows(rows, people(flips, checks)) == pytest.approx((3 * e + i) / 4, abs=1e-4)
    # too few checks: as wrong as in the benchmark
    few = wrong.wrong_rows([IMPLIED], people(Rate(0, 40), Rate(0, 19)))
    assert few == wrong.UNCHECKED
    assert wrong.wrong_rows([IMPLIED], people(Rate(0, 40), Rate(0, 20))) == 0


def test_labels_no_better_than_coins_stay_below_one_half():
    assert wrong.wrong_rows([ASKED], people(Rate(30, 40))) < 0.5
    assert wrong.wrong_rows([IMPLIED], people(Rate(0, 40), Rate(30, 40))) < 0.5


def test_too_few_repeats_say_nothing():
    with pytest.raises(UsageError, match="only 19 pairs were asked again"):
        wrong.wrong_rows([ASKED], people(Rate(1, 19)))


def test_what_share_is_inferred_and_wrong_is_said():
    rows = [ASKED] * 3 + [IMPLIED]
    checks = Rate.of([True] * 6 + [False] * 34, prompts=range(40))
    line = wrong.implied_line(rows, people(NONE, checks))
    assert line.startswith("1 of 4 training rows (25%) are inferred from other answers.")
    assert "they decided 6 of 40 (15%, 5.7–29.8%) the other way." in line
    assert line.endswith("To train without them: --no-implied")
    assert "None was checked by asking" in wrong.implied_line(rows, people(NONE))
    assert wrong.implied_line([ASKED], people(NONE)) is None
