"""What besides quality may have decided: counted, controlled for, put into words."""

import math
import random
from dataclasses import replace

from verdicts import votes

from palate.evaluate.confounds import Vote, confounds, controlled


def simulated(n: int, quality: float, length: float) -> list[Vote]:
    """Return votes in which better answers and longer ones win, by so many log odds."""
    draw = random.Random(0)
    made = []
    for i in range(n):
        base = "word " * draw.randint(4, 12)
        tuned = "word " * draw.randint(8, 24)
        odds = quality + length * math.log((len(tuned) + 1) / (len(base) + 1))
        won = draw.random() < 1 / (1 + math.exp(-odds))
        made.append(Vote(f"q{i % 60}", base + str(i), tuned + str(i), bool(i % 2), float(won)))
    return made


def test_a_model_that_is_only_longer_wins_nothing_between_texts_alike():
    found = controlled(simulated(1500, quality=0, length=1.5))
    assert found is not None
    low, high = found.interval
    assert low < 0.5 < high
    raw = sum(d.result for d in simulated(1500, 0, 1.5)) / 1500
    assert raw > 0.65
    better = controlled(simulated(1500, quality=1, length=1.5))
    assert better is not None
    assert better.interval[0] > 0.5


def test_nothing_is_claimed_of_answers_that_are_never_alike():
    longer = [replace(d, tuned=d.tuned + "and much more " * 9) for d in simulated(200, 1, 0)]
    assert controlled(longer) is None
    sided = controlled([replace(d, tuned_left=True) for d in simulated(200, 1, 0)])
    assert sided is not None
    assert sided.alike_in == "length and format"


def test_few_prompts_say_nothing_of_answers_alike_and_how_many_it_takes():
    few = [replace(v, prompt_id=f"q{i % 11}") for i, v in enumerate(simulated(220, 1, 1))]
    found = confounds(few)
    assert found.controlled is None
    assert found.controlled_needs == 20  # side and length
    assert found.sentences()[-1].endswith("differ in so many ways that it takes 20 prompts.")
    enough = confounds([replace(v, prompt_id=f"q{i % 20}") for i, v in enumerate(few)])
    assert enough.controlled is not None
    assert enough.controlled_needs is None


def test_a_habit_of_one_side_on_one_prompt_has_no_test():
    found = confounds([Vote("q", "one", "two", i % 3 > 0, 1.0, f"p{i}") for i in range(30)])
    assert found.left is not None
    assert found.left.p is None
    assert found.sentences()[0] == (
        "The left answer won 20 of 30 (67%; one prompt says nothing about others)."
    )


def test_features_are_counted_over_distinct_texts():
    some = [Vote("q", "Plain", 'A "quoted" one?', True, 1.0), Vote("r", "Plain", "B!", False, 0.0)]
    found = confounds([*some, *some], characters=(1, 5))
    assert found.of == (2, 2)
    assert found.texts["1 to 5 characters"] == (2, 1)
    assert found.texts["a quotation mark"] == (0, 1)
    assert "a digit" not in found.texts
    assert found.controlled is None


def test_confounds_are_put_into_words():
    found = votes(78, 30, 4).confounds
    assert found is not None
    lines = found.sentences()
    assert lines[0] == (
        "The left answer won 54 of 108 (50%, 40.2–59.8%), p = 1 adjusted for 2 tests."
    )
    assert lines[1].startswith("The longer answer won")


def test_ties_alone_say_nothing_of_sides():
    found = confounds([Vote("q", "one", "two", True, 0.5)])
    assert found.sentences() == []
