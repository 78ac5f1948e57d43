"""Somebody changes a label in Argilla's own interface: the ledger hears of it, once."""

import uuid

import pytest
from samples import PAIRS, ROWS, event

from palate.argilla.edits import edit
from palate.argilla.store import LabelStore, Response, events_of
from palate.core import ledger


@pytest.fixture
def store(argilla, connect) -> LabelStore:
    store = connect(argilla.url, argilla.api_key)
    store.open(f"me/{uuid.uuid4().hex[:10]}", question="Which is better?")
    store.add_pairs(ROWS)
    return store


def only(store: LabelStore) -> Response:
    (response,) = store.responses()
    return response


def change(store: LabelStore, status: str, **answers) -> None:
    """Save the response as the interface does: with the person's own key."""
    response = only(store)
    values = {name: {"value": value} for name, value in (response.values | answers).items()}
    client = next(iter(store._clients.values()))
    body = {"values": values, "status": status}
    client.put(f"/api/v1/responses/{response.id}", json=body).raise_for_status()


@pytest.mark.parametrize(
    ("status", "answers", "expected"),
    [
        ("submitted", {"choice": "b", "strength": 1}, ("label", PAIRS[0].b, 1)),
        ("submitted", {"choice": "tie"}, ("tie", None, None)),
        ("submitted", {"choice": "both_bad"}, ("both_bad", None, None)),
        ("discarded", {}, ("skip", None, None)),
    ],
)
def test_an_edit_is_one_event_and_then_none(store, status, answers, expected):
    ann = store.annotator("p-1", "Ada")
    first = event(PAIRS[0])
    store.save(ann, [first])
    assert edit(only(store), PAIRS[0], [first], 1, "p-1") is None
    change(store, status, **answers)
    found = edit(only(store), PAIRS[0], [first], 1, "p-1")
    assert found is not None
    assert (found.kind, found.chosen, found.strength) == expected
    assert (found.via, found.annotator) == ("argilla", "p-1")
    assert edit(only(store), PAIRS[0], [], 1, "p-1") == found
    assert ledger.standing_judgements([first, found]) == [found]
    store.save(ann, [found])
    assert edit(only(store), PAIRS[0], [first, found], 1, "p-1") is None
    assert list(events_of(only(store))) == [first, found]


def test_a_better_one_written_there_is_a_rewrite(store):
    first = event(PAIRS[0])
    store.save(store.annotator("p-1", "Ada"), [first])
    change(store, "submitted", choice="rewrite", rewrite="A better text", comment="Hm")
    found = edit(only(store), PAIRS[0], [first], 1, "p-1")
    assert found is not None
    assert (found.kind, found.text, found.comment) == ("rewrite", "A better text", "Hm")
    assert found.written() is not None
    assert found.chosen == found.written().id


def test_whoever_answers_there_alone_is_an_annotator_too(store):
    client = store._owner()
    record = store._records[PAIRS[0].id]
    values = {"choice": {"value": "a"}, "comment": {"value": "By the owner"}}
    item = {"record_id": record, "values": values, "status": "submitted"}
    client.post("/api/v1/me/responses/bulk", json={"items": [item]}).raise_for_status()
    response = only(store)
    assert not response.annotator.startswith("p-")
    found = edit(response, PAIRS[0], [], 2, "p-owner")
    assert found is not None
    assert (found.kind, found.chosen, found.annotator) == ("label", PAIRS[0].a, "p-owner")
    assert (found.round, found.comment) == (2, "By the owner")
