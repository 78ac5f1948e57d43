from hypothesis import given
from hypothesis import strategies as st

from palate.core.schema import (
    MARGINS,
    Candidate,
    Event,
    Pair,
    Prompt,
    digest,
    pairs_of,
)

text = st.text(min_size=1, max_size=30)


def event(**changes) -> Event:
    values = {
        "event_id": "e1", "kind": "label", "pair_id": "p", "prompt_id": "q", "left": "x",
        "right": "y", "chosen": "x", "strength": 3, "annotator": "ann", "milliseconds": 900,
        "time": "2026-01-01T00:00:00.000Z", "round": 1, "via": "ballot",
    }  # fmt: skip
    return Event(**(values | changes))


events = st.builds(
    event, event_id=text, strength=st.sampled_from([None, 1, 2, 3, 4]), comment=st.none() | text
)


@given(events)
def test_swapping_twice_changes_nothing_and_keeps_the_choice(e):
    assert e.swap().swap() == e
    assert e.swap().chosen == e.chosen
    assert (e.swap().left, e.swap().right) == (e.right, e.left)


@given(st.lists(text, min_size=2, max_size=6, unique=True))
def test_pairs_are_all_pairs_whatever_the_order(texts):
    candidates = [Candidate.of("q", t) for t in texts]
    forward, backward = pairs_of(candidates), pairs_of(reversed(candidates))
    assert len(forward) == len(texts) * (len(texts) - 1) // 2
    assert {p.id for p in forward} == {p.id for p in backward}


def test_equal_texts_make_no_pair():
    same = [Candidate.of("q", "t", model="m", revision=r) for r in "12"]
    assert pairs_of(same) == []


def test_ids_depend_on_content_alone():
    assert Prompt.of("a").id == Prompt.of([{"role": "user", "content": "a"}], "eval").id
    assert Prompt.of("a").id != Prompt.of("b").id
    x, y = Candidate.of("q", "1"), Candidate.of("q", "2")
    assert Pair.of(x, y) == Pair.of(y, x)
    assert digest("ab", "c") != digest("a", "bc")


def test_margins_are_normalised():
    assert list(MARGINS) == [1, 2, 3, 4]
    assert min(MARGINS.values()) == 0
    assert max(MARGINS.values()) == 1
