"""The store against a real Argilla."""

import logging
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from argilla_ui import client, records
from samples import PAIRS, PROMPT, ROWS, event

from palate.argilla.store import LabelStore
from palate.core import ledger
from palate.core.errors import Unreachable
from palate.core.schema import Candidate, Pair, pairs_of


@pytest.fixture
def project() -> str:
    return f"me/{uuid.uuid4().hex[:10]}"


@pytest.fixture
def store(server, project, connect) -> LabelStore:
    store = connect(server.url, server.api_key)
    store.open(project, question="Which is better?")
    store.add_pairs(ROWS)
    return store


@pytest.fixture
def response_of(server, project) -> Callable[[Pair], dict]:
    """Returns the only response to a pair as Argilla's pages get it."""

    def response_of(pair: Pair) -> dict:
        record = next(r for r in records(server, project) if r["external_id"] == pair.id)
        (response,) = record["responses"]
        return response

    return response_of


def test_pairs_are_added_once(store, server, project, connect):
    assert store.add_pairs(ROWS) == 0
    again = connect(server.url, server.api_key)
    again.open(project, question="Which is better?")
    assert again.add_pairs(ROWS) == 0
    assert len(records(server, project)) == len(ROWS)


@pytest.mark.parametrize("made", [0, 1, 2])
def test_a_dataset_that_a_killed_process_left_half_made_is_completed(
    server, project, connect, made
):
    fields = [{"name": name, "title": name, "settings": {"type": "text"}} for name in "ab"]
    with client(server) as owner:
        connect(server.url, server.api_key).open(f"{project}-other", question="?")
        workspaces = owner.get("/api/v1/me/workspaces").json()["items"]
        palate_id = next(w["id"] for w in workspaces if w["name"] == "palate")
        new = {"name": project.replace("/", "__"), "workspace_id": palate_id}
        draft = owner.post("/api/v1/datasets", json=new).raise_for_status().json()["id"]
        for field in fields[:made]:
            owner.post(f"/api/v1/datasets/{draft}/fields", json=field).raise_for_status()
        stores = [connect(server.url, server.api_key) for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:  # they find the draft at the same time
            list(pool.map(lambda store: store.open(project, question="Which?"), stores))
        assert owner.get(f"/api/v1/datasets/{draft}").json()["status"] == "ready"
        made_fields = owner.get(f"/api/v1/datasets/{draft}/fields").json()["items"]
    assert sorted(field["name"] for field in made_fields) == ["a", "b", "prompt"]
    assert stores[0].add_pairs(ROWS) == len(ROWS)
    stores[1].open(project, question="Which?")
    stores[1].save(stores[1].annotator("p-1", "Ada"), [event(PAIRS[0])])
    assert len(stores[2].events()) == 1


def test_processes_that_start_together_share_what_they_create(server, connect):
    for _ in range(3):  # Argilla on PostgreSQL answers one of two with 500
        name, person = f"me/{uuid.uuid4().hex[:10]}", f"p-{uuid.uuid4().hex[:6]}"
        stores = [connect(server.url, server.api_key) for _ in range(4)]
        with ThreadPoolExecutor(len(stores)) as pool:
            list(pool.map(lambda store, name=name: store.open(name, question="Which?"), stores))
            list(pool.map(lambda store, person=person: store.annotator(person, "Ada"), stores))
        assert stores[0].add_pairs(ROWS) == len(ROWS)
        stores[1].open(name, question="Which?")
        assert stores[1].add_pairs(ROWS) == 0
        assert stores[2].names()[person] == "Ada"


def test_events_show_as_answers_to_argillas_questions(store, response_of):
    ann = store.annotator("p-1", "Ada")
    one, two, three, four = PAIRS[:4]
    first = event(one)
    undone = event(two)
    events = [first, event(three, "tie"), event(four, "skip", comment="Both dull"), undone]
    store.save(ann, [*events, event(two, "undo", target=undone.event_id)])
    values = response_of(one)["values"]
    assert response_of(one)["status"] == "submitted"
    assert values["choice"]["value"] == "a"
    assert values["strength"]["value"] == 3
    assert response_of(two)["status"] == "draft"
    assert response_of(three)["values"]["choice"]["value"] == "tie"
    assert response_of(four)["status"] == "discarded"
    assert response_of(four)["values"]["comment"]["value"] == "Both dull"
    standing = ledger.standing_judgements(store.events())
    assert {e.pair_id: e.kind for e in standing} == {
        one.id: "label", three.id: "tie", four.id: "skip"
    }  # fmt: skip


def test_an_event_counts_once_however_often_it_comes(store):
    ann = store.annotator("p-1", "Ada")
    label = event(PAIRS[0])
    store.save(ann, [label, label])
    store.save(ann, [label])
    assert store.events() == [label]


def test_a_restart_forgets_nothing(store, server, project, connect):
    label, tie = event(PAIRS[0]), event(PAIRS[0], "tie")
    store.save(store.annotator("p-1", "Ada"), [label])
    later = connect(server.url, server.api_key)
    later.open(project, question="Which is better?")
    later.save(later.annotator("p-1", "Ada"), [tie])
    assert later.events() == [label, tie]


def test_each_person_is_a_user(store):
    ada, bo = store.annotator("p-1", "Ada"), store.annotator("p-2", "Bo")
    assert ada.id != bo.id
    assert store.annotator("p-1", "Ada") == ada
    store.save(ada, [event(PAIRS[0])])
    store.save(bo, [event(PAIRS[0], chosen=PAIRS[0].b, annotator="p-2")])
    assert {e.annotator for e in store.events()} == {"p-1", "p-2"}


def test_more_events_than_argilla_takes_at_once(store):
    many = [Candidate.of(PROMPT.id, f"more {i}") for i in range(16)]
    by_id = {c.id: c for c in many}
    pairs = pairs_of(many)
    store.add_pairs([(p, PROMPT, by_id[p.a], by_id[p.b]) for p in pairs])
    store.save(store.annotator("p-1", "Ada"), [event(p) for p in pairs])
    assert len(pairs) == 120
    assert len(store.events()) == 120


def test_wrong_addresses_and_keys_say_what_to_do(server, connect):
    nobody = connect("http://127.0.0.1:9", "key")
    with pytest.raises(Unreachable, match="palate argilla serve"):
        nobody.open("me/x", question="?")
    stranger = connect(server.url, "wrong")
    with pytest.raises(Unreachable, match="does not accept the key"):
        stranger.open("me/x", question="?")


def test_keys_stay_inside(store, server, caplog):
    with caplog.at_level(logging.DEBUG):
        ann = store.annotator("p-1", "Ada")
        store.save(ann, [event(PAIRS[0])])
    shown = f"{store!r} {ann!r} {caplog.text}"
    assert server.api_key not in shown
    with client(server) as owner:
        users = owner.get("/api/v1/users").json()["items"]
    assert all(u["api_key"] not in shown for u in users)


def test_a_remark_with_other_line_breaks_is_one_line(store):
    label = event(PAIRS[0], comment="one\u2028two\u0085three")
    store.save(store.annotator("p-1", "Ada"), [label])
    assert store.events() == [label]


def test_one_unreadable_response_is_set_aside(store, server):
    ada, bo = store.annotator("p-1", "Ada"), store.annotator("p-2", "Bo")
    store.save(ada, [event(PAIRS[0])])
    store.save(bo, [event(PAIRS[0], annotator="p-2")])
    (spoilt,) = [r for r in store.responses() if r.annotator == "p-1"]
    values = {name: {"value": value} for name, value in spoilt.values.items()}
    body = {"status": "submitted", "values": values | {"events": {"value": "{not JSON"}}}
    store._argilla.send("PUT", f"/api/v1/responses/{spoilt.id}", body)
    assert [e.annotator for e in store.events()] == ["p-2"]
    (problem,) = store.unreadable.values()
    assert f"Argilla's response {spoilt.id}, row 1: not JSON" in problem
