"""What the values of a choice column mean, from all of them; what is uncertain is asked about."""

import pytest

from palate.collect.choices import Case, Given, decide, side_named
from palate.collect.onehot import one_hot
from palate.core.errors import UsageError

SIDES = ("response_a", "response_b")
TEXTS, MODELS = ("good", "bad"), ("tiefighter-13b", "tulu-7b")


def meant(values, column="choice", sides=SIDES, given=Given(), texts=TEXTS, models=None):  # noqa: B008, RUF100
    cases = [Case(v, texts, models) for v in values]
    codebook = decide(cases, column, sides, given, "pairs.csv")
    return [codebook.of(case) for case in cases]


@pytest.mark.parametrize(
    ("values", "means"),
    [
        (["a", "B", "tie"], ["left", "right", "tie"]),
        (["a"], ["left"]),
        (["left", "right", "Tie"], ["left", "right", "tie"]),
        (["model_a", "model_b", "tie (bothbad)"], ["left", "right", "neither"]),
        (["Response B", "response_a", "both bad"], ["right", "left", "neither"]),
        (["response_a", "response_b"], ["left", "right"]),
        (["A is better", "B is better", "no preference"], ["left", "right", "tie"]),
        (
            ["A much better", "b is slightly better", "Response A is strongly preferred"],
            ["left", "right", "left"],
        ),
        (["A is a bit better", "B a lot better", "About the same"], ["left", "right", "tie"]),
        ([1.0, 2, "1.5"], ["left", "right", "tie"]),
        (["1", "2"], ["left", "right"]),
        (["Response 1", "Response 2", "Equal"], ["left", "right", "tie"]),
        ([-3, 0, 2], ["left", "tie", "right"]),
        (["good", "bad", "tie"], ["left", "right", "tie"]),
        (["tie", "tie"], ["tie", "tie"]),
        (["a", "b", "", None, "?"], ["left", "right", None, None, None]),
    ],
)
def test_values_that_say_it(values, means):
    assert meant(values) == means


@pytest.mark.parametrize(
    "values",
    [[1, 1], [2], [0, 1], [True, False], ["yes", "no"], [1, 2, 0], [0, 1, 2], [-1, 1], [1, 2, 3],
     [1, 2, 3, 4, 5], ["neither", "both"], ["x", "y"], ["Response 1"], ["good", "a"],
     ["a little", "b a lot"], ["A is much worse", "B is much worse"]],
)  # fmt: skip
def test_values_that_could_mean_either_are_asked_about(values):
    with pytest.raises(UsageError, match="--first VALUE --second VALUE --tie VALUE"):
        meant(values)


def test_the_users_words_come_first():
    given = Given(first=("1",), second=("0",), tie=("2",))
    assert meant([1, 0, 2.0, 5], given=given) == ["left", "right", "tie", None]
    assert meant(["a", "b", "0"], given=Given(tie=("0",))) == ["left", "right", "tie"]
    assert meant(["good", "bad"], given=Given(("bad",), ("good",))) == ["right", "left"]
    with pytest.raises(UsageError, match="cannot be two"):
        meant(["1"], given=Given(("1",), ("1",)))


@pytest.mark.parametrize(
    ("column", "sides", "side"),
    [
        ("a_is_better", ("a", "b"), "left"), ("b_won", ("title_a", "title_b"), "right"),
        ("ft_title_preferred", ("base_title", "ft_title"), "right"), ("win", ("a", "b"), None),
        ("winner_model_a", SIDES, "left"), ("a_vs_b", ("a", "b"), None),
        ("annotator_a", SIDES, None), ("annotator1", ("response1", "response2"), None),
        ("response1_better", ("response1", "response2"), "left"), ("score_1", ("o_1", "o_2"), None),
        ("leftWins", ("x", "y"), "left"),
    ],
)  # fmt: skip
def test_a_columns_name_may_say_which_side_it_is_about(column, sides, side):
    assert side_named(column, sides) == side


def test_yes_and_no_follow_the_name_of_the_column():
    assert meant(["TRUE", "FALSE"], "a_is_better") == ["left", "right"]
    assert meant([1, 0, 0.5], "b_won") == ["right", "left", "tie"]
    for column in ("loser", "b_lost", "worse", "not_a"):
        with pytest.raises(UsageError, match="may name the one that lost"):
            meant(["a", "b"], column)


def test_a_text_comes_before_a_model_and_a_model_before_a_code():
    assert meant(["false", "true"], texts=("true", "false")) == ["right", "left"]
    assert meant(["tiefighter-13b", "TULU-7b", "tie"], models=MODELS) == ["left", "right", "tie"]
    cases = [Case("1", ("1", "0")), Case("a", ("b", "a")), Case("b", ("a", "b"))]
    codebook = decide(cases, "choice", ("a", "b"), Given(), "pairs.csv")
    assert [codebook.of(c) for c in cases] == ["left", "right", "right"]


def test_places_follow_the_names_of_the_texts():
    assert meant([0, 1], sides=("response_0", "response_1")) == ["left", "right"]
    assert meant(["1.2", "1.9", 1.5], "preference") == ["left", "right", "tie"]
    assert meant([-1, 1, 0], "overall_preference") == ["left", "right", "tie"]


def test_one_of_several_columns_says_yes():
    columns = ("prompt", "winner_model_a", "winner_model_b", "winner_tie")
    hot = one_hot("winner_model_b", columns)
    assert hot
    assert hot.columns == columns[1:]
    rows = [dict(zip(columns[1:], values, strict=True)) for values in
            ((1, 0, 0), ("0", "1.0", "0"), (False, False, True), (1, 1, 0), (0, 0, 0))]  # fmt: skip
    assert [hot.of(row) for row in rows] == ["a", "b", "tie", None, None]
    assert one_hot("winner_model_a", ("winner_model_a",)) is None
    assert one_hot("annotator_1", ("annotator_1", "annotator_2")) is None


def test_many_numbers_are_told_as_ranges():
    chances = [1, 1.25, 1.5, *(1.6 + n / 100 for n in range(9)), 2]  # alpaca_eval's weighted ones
    cases = [Case(v, TEXTS, None) for v in chances]
    words = decide(cases, "preference", ("output_1", "output_2"), Given(), "pairs.json").words
    assert words == "1 to 1.25 is the first, 1.5 is a tie, 1.6 to 2 is the second"
