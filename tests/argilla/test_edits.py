"""A label that is changed in Argilla's own pages becomes one event of the ledger."""

import uuid

import pytest
from argilla_ui import change_response, respond_as_owner
from samples import PAIRS, ROWS, event

from palate.argilla.responses import Response, edit
from palate.argilla.store import LabelStore
from palate.core import ledger


@pytest.fixture
def project() -> str:
    return f"me/{uuid.uuid4().hex[:10]}"


@pytest.fixture
def store(argilla, project, connect) -> LabelStore:
    store = connect(argilla.url, argilla.api_key)
    store.open(project, question="Which is better?")
    store.add_pairs(ROWS)
    return store


def only(store: LabelStore) -> Response:
    (response,) = store.responses()
    return response


@pytest.mark.parametrize(
    ("status", "answers", "expected"),
    [
        ("submitted", {"choice": "b", "strength": 1}, ("label", PAIRS[0].b, 1)),
        ("submitted", {"choice": "tie"}, ("tie", None, None)),
        ("submitted", {"choice": "both_bad"}, ("both_bad", None, None)),
        ("discarded", {}, ("skip", None, None)),
    ],
)
def test_an_edit_is_one_event_and_then_none(argilla, store, status, answers, expected):
    ann = store.annotator("p-1", "Ada")
    first = event(PAIRS[0])
    store.save(ann, [first])
    assert edit(only(store), PAIRS[0], [first], 1, "p-1") is None
    change_response(argilla, store, status, **answers)
    change = edit(only(store), PAIRS[0], [first], 1, "p-1")
    assert change is not None
    assert (change.kind, change.chosen, change.strength) == expected
    assert (change.via, change.annotator) == ("argilla", "p-1")
    assert edit(only(store), PAIRS[0], [], 1, "p-1") == change
    assert ledger.standing_judgements([first, change]) == [change]
    store.save(ann, [change])
    assert edit(only(store), PAIRS[0], [first, change], 1, "p-1") is None
    assert only(store).events() == [first, change]


def test_a_better_answer_written_there_is_a_rewrite(argilla, store):
    first = event(PAIRS[0])
    store.save(store.annotator("p-1", "Ada"), [first])
    change_response(
        argilla, store, "submitted", choice="rewrite", rewrite="A better text", comment="Hm"
    )
    change = edit(only(store), PAIRS[0], [first], 1, "p-1")
    assert change is not None
    assert (change.kind, change.text, change.comment) == ("rewrite", "A better text", "Hm")
    assert change.written() is not None
    assert change.chosen == change.written().id


def test_an_answer_given_only_there_counts_too(argilla, project, store):
    respond_as_owner(argilla, project, PAIRS[0].id, choice="a", comment="By the owner")
    response = only(store)
    assert not response.annotator.startswith("p-")
    change = edit(response, PAIRS[0], [], 2, "p-owner")
    assert change is not None
    assert (change.kind, change.chosen, change.annotator) == ("label", PAIRS[0].a, "p-owner")
    assert (change.round, change.comment) == (2, "By the owner")


def test_a_change_of_the_comment_alone_keeps_the_choice(argilla, store):
    first = event(PAIRS[0])
    store.save(store.annotator("p-1", "Ada"), [first])
    change_response(argilla, store, "submitted", comment="Clearer")
    change = edit(only(store), PAIRS[0], [first], 1, "p-1")
    assert change is not None
    assert (change.kind, change.chosen, change.strength) == ("label", first.chosen, first.strength)
    assert change.comment == "Clearer"


def test_a_draft_without_a_judgement_changes_nothing(argilla, store):
    skip = event(PAIRS[0], "skip")
    store.save(store.annotator("p-1", "Ada"), [skip])
    change_response(argilla, store, "draft")
    undo = edit(only(store), PAIRS[0], [skip], 1, "p-1")
    assert undo is not None
    assert (undo.kind, undo.target) == ("undo", skip.event_id)
    store.save(store.annotator("p-1"), [undo])
    assert edit(only(store), PAIRS[0], [skip, undo], 1, "p-1") is None
