"""The annotator is consistent, fair to both sides, and means what it says."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from palate.demo.person import SimulatedAnnotator
from palate.demo.titles import titles

MIRROR = {"left": "right", "right": "left", "tie": "tie"}
TEXTS = st.text(max_size=60) | st.sampled_from([title for _, title in titles()])


@given(TEXTS, TEXTS, st.integers(0, 9))
def test_answers_do_not_depend_on_time_or_side(a: str, b: str, seed: int):
    choice, strength = SimulatedAnnotator(seed).judge(a, b)
    assert SimulatedAnnotator(seed).judge(a, b) == (choice, strength)
    assert SimulatedAnnotator(seed).judge(b, a) == (MIRROR[choice], strength)
    assert strength in ((1,) if choice == "tie" else (1, 2, 3, 4))


@given(TEXTS)
def test_the_same_text_is_a_tie(text: str):
    assert SimulatedAnnotator().judge(text, text) == ("tie", 1)


def test_utility_weighs_what_the_taste_names():
    annotator = SimulatedAnnotator(question=1.0, number=2.0, colon=-4.0, word=-0.5)
    assert annotator.utility("Bread") == annotator.utility("Bread that is good for you") == 0.0
    assert annotator.utility("Is it bread?") == 1.0
    assert annotator.utility("Bread: 2 loaves") == 2.0 - 4.0
    assert annotator.utility("Bread that is good for you, too, every day") == -1.5


def test_wins_follow_the_difference_in_utility():
    better = [
        SimulatedAnnotator(seed).judge("Why bread?", "Bread: a guide")[0] for seed in range(400)
    ]
    assert 0.97 < better.count("left") / 400 <= 1  # difference 4.5: 98.9%
    short, long = "A good bread for every day", "A good bread for every day right now"
    slightly = [SimulatedAnnotator(seed).judge(short, long)[0] for seed in range(400)]
    assert 0.54 < slightly.count("left") / 400 < 0.70  # difference 0.5: 62%


def test_strength_grows_with_the_difference():
    def mean(worse: str) -> float:
        strengths = [
            SimulatedAnnotator(seed).judge("Why 2 breads?", worse)[1] for seed in range(200)
        ]
        return sum(strengths) / 200

    assert mean("Who bakes it?") < mean("A bread") < mean("Bread: a guide")


def test_near_equals_are_sometimes_ties():
    choices = Counter(
        SimulatedAnnotator(seed).judge("Old bread", "New bread")[0] for seed in range(400)
    )
    assert 0.4 < choices["tie"] / 400 < 0.6
    assert choices["left"] > 60
    assert choices["right"] > 60


def test_seeds_are_different_moods_of_one_taste():
    a, b = "Good bread here", "Good bread over here"
    assert len({SimulatedAnnotator(seed).judge(a, b)[0] for seed in range(50)}) > 1
    assert len({SimulatedAnnotator(seed).utility(a) for seed in range(50)}) == 1


def test_the_description_follows_the_weights():
    assert (
        SimulatedAnnotator().describe()
        == "likes questions and numbers and dislikes colons and long titles"
    )
    assert (
        SimulatedAnnotator(question=-1, number=0, colon=0, word=0).describe()
        == "dislikes questions"
    )
    assert (
        SimulatedAnnotator(question=0, number=0, colon=0, word=0).describe()
        == "likes everything equally"
    )
