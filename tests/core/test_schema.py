import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.errors import BadInput
from palate.core.schema import (
    MARGINS,
    ROWS,
    Candidate,
    Event,
    Pair,
    Prompt,
    digest,
    features,
    from_json,
    pairs_of,
    to_json,
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


@given(events)
def test_a_row_survives_json(e):
    assert from_json("labels", json.loads(to_json(e)), "file", 1) == e


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


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"strength": 9}, "strength", "expected one of 1, 2, 3, 4, found 9"),
        ({"strength": "3"}, "strength", 'expected int, found "3"'),
        ({"kind": "like"}, "kind", "expected one of label"),
        ({"chosen": "z"}, "chosen", "must be the left or the right one"),
        ({"annotator": None}, "annotator", "is missing"),
        ({"round": True}, "round", "expected int"),
    ],
)
def test_a_wrong_row_is_named(changes, field, says):
    row = asdict(event()) | changes
    with pytest.raises(BadInput, match=says) as error:
        from_json("labels", row, "labels/x.jsonl", 7)
    assert f"labels/x.jsonl, row 7, field '{field}'" in str(error.value)


def test_a_row_that_is_no_object_is_named():
    with pytest.raises(BadInput, match="expected an object, found list"):
        from_json("prompts", [], "f", 1)


@pytest.mark.parametrize("config", ROWS)
def test_features_have_a_column_for_every_field(config):
    assert list(features(config)) == list(ROWS[config].__dataclass_fields__)


def test_margins_are_normalised():
    assert list(MARGINS) == [1, 2, 3, 4]
    assert min(MARGINS.values()) == 0
    assert max(MARGINS.values()) == 1
