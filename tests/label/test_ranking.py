from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import PROMPT, event

from palate.core.schema import Candidate, Pair
from palate.label.ranking import Order, checks

TEXTS = [Candidate.of(PROMPT.id, f"text {i}") for i in range(5)]
A, B, C, D, E = (c.id for c in TEXTS)


def said(better: str, worse: str, **changes):
    pair = Pair.between(PROMPT.id, better, worse)
    return event(pair, **({"chosen": better} | changes))


def tie(x: str, y: str):
    return event(Pair.between(PROMPT.id, x, y), "tie")


def test_better_than_better_is_better():
    order = Order([said(A, B), said(B, C), said(C, D)])
    assert order.compare(A, D) == 1
    assert order.compare(D, A) == -1
    assert set(order.implied()) == {(A, C), (A, D), (B, D)}


def test_a_tie_puts_two_on_one_step():
    order = Order([said(A, B), tie(B, C), said(C, D)])
    assert set(order.implied()) == {(A, C), (A, D), (B, D)}
    assert order.compare(B, C) == 0
    assert Order([tie(A, B), tie(B, C)]).compare(A, C) == 0


def test_nothing_follows_from_what_is_not_said():
    order = Order([said(A, B), said(C, D)])
    assert list(order.implied()) == []
    assert order.compare(A, C) is None
    assert order.compare(A, E) is None


def test_a_circle_implies_nothing_and_what_was_said_stands():
    order = Order([said(A, B), said(B, C), said(C, A), said(C, D)])
    assert (order.compare(A, B), order.compare(A, C)) == (1, -1)
    assert set(order.implied()) == {(A, D), (B, D)}  # all of the circle is above
    assert Order([tie(A, B), said(B, C), tie(C, D), said(D, A)]).compare(A, C) is None


def test_the_majority_decides_and_a_draw_is_a_tie():
    two = [said(A, B, annotator="p-2"), said(A, B), said(B, A, annotator="p-3")]
    assert Order(two).compare(A, B) == 1
    assert Order(two[1:]).compare(A, B) == 0


def test_what_somebody_wrote_is_above_both_and_above_what_is_below_them():
    new = Candidate.of(PROMPT.id, "better")
    pair = Pair.between(PROMPT.id, A, B)
    order = Order([event(pair, "rewrite", chosen=new.id, text="better"), said(A, C)])
    assert set(order.implied()) == {(new.id, C)}
    assert order.compare(A, B) is None


@pytest.mark.parametrize("kind", ["skip", "both_bad"])
def test_no_preference_says_nothing_of_the_order(kind):
    assert Order([event(Pair.between(PROMPT.id, A, B), kind)]).compare(A, B) is None


@given(st.permutations([A, B, C, D, E]), st.sets(st.sampled_from(range(10)), min_size=1))
def test_what_is_implied_agrees_with_any_order_that_the_answers_come_from(order, asked):
    rank = {id: i for i, id in enumerate(order)}
    pairs = [sorted(pair, key=rank.__getitem__) for pair in combinations(rank, 2)]
    made = Order([said(*pairs[i]) for i in asked])
    for better, worse in made.implied():
        assert rank[better] < rank[worse]
        assert made.compare(worse, better) == -1


def test_a_choice_that_earlier_answers_implied_is_a_check_of_them():
    right, wrong, again = said(A, C), said(D, A), said(A, D, annotator="p-2")
    events = [said(A, B), said(B, C), right, said(C, D), wrong, again]
    assert list(checks(events)) == [(right, False), (wrong, True)]
    assert list(checks([said(A, C), said(A, B), said(B, C)])) == []  # nothing was implied yet
    assert list(checks([tie(A, B), tie(B, C), said(A, C)])) == []


@given(st.lists(st.tuples(st.permutations([A, B, C, D]), st.booleans())))
def test_an_order_that_grows_is_the_order_of_all_its_answers(answers):
    events = [(tie if tied else said)(*order[:2]) for order, tied in answers]
    grown = Order([])
    for n, answer in enumerate(events, 1):
        grown.add(answer)
        whole = Order(events[:n])
        assert grown.candidates == whole.candidates
        assert list(grown.implied()) == list(whole.implied())
