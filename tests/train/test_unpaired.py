"""What people called good or bad: thumbs, both bad, and pairs taken apart."""

import pytest
from one_pair import PROMPT, X, Y, event

from palate.core.errors import UsageError
from palate.core.schema import Message, Preference, Unpaired
from palate.train.rows.unpaired import (
    DISPUTED,
    EVEN,
    Weights,
    both_bad,
    check_both,
    judged,
)


def said(text: str) -> list[Message]:
    return [Message(role="assistant", content=text)]


def thumb(text: str, label: bool, who: str = "p-1") -> Unpaired:
    return Unpaired(PROMPT.prompt, said(text), label, who, PROMPT.id)


def preference(better: str, worse: str, who: str = "p-1") -> Preference:
    return Preference(
        PROMPT.prompt, said(better), said(worse), None, 0.0, "human", who, "pair", PROMPT.id, 1
    )


def labels(found) -> dict[tuple[str, str], bool]:
    return {(r.completion[0]["content"], r.annotator): r.label for r in found.rows}


def test_a_pair_taken_apart_is_a_good_and_a_bad_answer():
    found = judged([], [preference("a", "b"), preference("a", "c"), preference("b", "c")])
    assert labels(found) == {("a", "p-1"): True, ("c", "p-1"): False}
    assert found.left_out == {EVEN: 1}  # b won once and lost once
    assert list(found.sources) == ["pairs", "pairs"]


def test_two_people_are_two_rows_and_need_not_agree():
    found = judged([], [preference("a", "b"), preference("b", "a", "p-2")])
    assert labels(found) == {
        ("a", "p-1"): True, ("b", "p-1"): False, ("b", "p-2"): True, ("a", "p-2"): False,
    }  # fmt: skip


def test_what_a_person_called_an_answer_counts_more_than_what_they_preferred_it_to():
    found = judged([(thumb("a", False), "both bad")], [preference("a", "b"), preference("a", "c")])
    assert labels(found)["a", "p-1"] is False
    assert found.sources[0] == "both bad"


def test_called_both_good_and_bad_by_one_person_an_answer_is_left_out():
    called = [(thumb("a", True), "thumbs"), (thumb("a", False), "both bad")]
    found = judged([*called, (thumb("b", True), "thumbs")], [])
    assert labels(found) == {("b", "p-1"): True}
    assert found.left_out == {DISPUTED: 1}


def test_both_bad_is_two_bad_answers():
    found = list(both_bad([event(1, "both_bad"), event(2, "tie"), event(3)], [X, Y]))
    assert sorted(text[0]["content"] for _, text in found) == ["x", "y"]
    assert {e.kind for e, _ in found} == {"both_bad"}


@pytest.mark.parametrize(("good", "bad"), [(10, 10), (30, 10), (10, 30), (7, 1000), (1, 3)])
def test_both_kinds_weigh_alike_and_trl_has_nothing_to_say(good, bad):
    weights = Weights.balanced(good, bad)
    assert min(weights.good, weights.bad) == 1
    assert weights.good * good / (weights.bad * bad) == pytest.approx(1, rel=0.01)
    # TRL's own bounds of one weight, given the other one, rounded as TRL rounds them
    lower, upper = (round(bad * weights.bad / good * f, 2) for f in (1, 1.33))
    mirrored = [round(good * weights.good / bad / f, 2) for f in (1.33, 1)]
    assert lower <= weights.good <= upper or mirrored[0] <= weights.bad <= mirrored[1]


def test_only_good_or_only_bad_answers_teach_nothing():
    with pytest.raises(UsageError, match=r"All 2 answers .* are good. It needs bad ones as well"):
        check_both("me/titles", [thumb("a", True), thumb("b", True)])
    with pytest.raises(UsageError, match=r"are bad. It needs good ones as well\. Import thumbs"):
        check_both("me/titles", [thumb("a", False)])
    with pytest.raises(UsageError, match="Nobody has called an answer"):
        check_both("me/titles", [])
