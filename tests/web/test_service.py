"""What a ballot asks and takes, on a real project and a real Argilla."""

import json
import threading
import uuid
from contextlib import closing
from dataclasses import asdict

import pytest
from argilla_ui import change_response, respond_as_owner
from labelling import ADA, BO, label

from palate.argilla.server import EmbeddedArgilla
from palate.argilla.store import LabelStore
from palate.collect import importing
from palate.core import hub as calls
from palate.core.errors import Supervised
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Prompt
from palate.label.assignment import LEASE
from palate.report.export import export
from palate.web.argilla_sync import sync_edits
from palate.web.ballot import service
from palate.web.ballot.people import Access, Person
from palate.web.labelling.ballot import LabelBallot


def test_a_label_is_saved_then_published_once(ballot, project):
    item = ballot.next(ADA, 1, [])["items"][0]
    event = label(item)
    assert [r.state for r in ballot.submit(ADA, [event])] == ["saved"]
    assert ballot.next(ADA, 1, [])["done"] == 1
    assert ballot.close()
    assert [r.state for r in ballot.submit(ADA, [event])] == ["published"]
    (row,) = Project.load(project.id).labels
    assert row.event_id == event["event_id"]
    assert row.chosen == row.left


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"assignment_id": "nowhere"}, "not yours"),
        ({"strength": 9}, "strength: expected a whole number from 1 to 4"),
        ({"strength": True}, "strength"),
        ({"kind": "like"}, "kind: expected one of label"),
        ({"choice": "up"}, "choice: expected left or right"),
        ({"kind": "undo", "target": "nothing-here"}, "you have nothing to take back"),
        ({"milliseconds": -1}, "milliseconds"),
        ({"comment": "x" * 5000}, "comment"),
        ({"event_id": "x"}, "event_id"),
    ],
)
def test_impossible_events_are_refused_with_a_reason(ballot, changes, why):
    item = ballot.next(ADA, 1, [])["items"][0]
    (receipt,) = ballot.submit(ADA, [label(item, **changes)])
    assert receipt.state == "rejected"
    assert why in (receipt.reason or "")
    assert ballot.next(ADA, 1, [])["done"] == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_is_a_problem(ballot):
    def turn() -> bool:
        raise SystemExit

    thread = Supervised("follower", turn)
    ballot.threads.append(thread)
    assert ballot.problem() is None
    thread.start()
    thread.join(20)
    assert ballot.problem() == "The thread 'follower' ended. Restart the Space."


def test_a_clock_that_is_set_back_keeps_no_pair_from_others(ballot, monkeypatch):
    clock = {"time": 2e9, "monotonic": 50.0}
    for name in clock:
        monkeypatch.setattr(service.time, name, lambda name=name: clock[name])
    held = {item["id"]: item for item in ballot.next(ADA, 20, [])["items"]}
    assert held
    clock["time"] -= 24 * 3600
    before = len(ballot.next(BO, 20, [])["items"])
    clock["monotonic"] += LEASE + 1
    assert len(ballot.next(BO, 20, [])["items"]) > before


def test_an_answer_to_somebody_elses_pair_is_refused(ballot):
    item = ballot.next(ADA, 1, [])["items"][0]
    assert ballot.submit(BO, [label(item)])[0].state == "rejected"
    event = label(item)
    ballot.submit(ADA, [event])
    mine = ballot.next(BO, 1, [])["items"][0]
    taken = ballot.submit(BO, [label(mine, event_id=event["event_id"])])[0]
    assert (taken.state, taken.reason) == ("rejected", "this event id is taken")
    undo = label(mine, kind="undo", target=event["event_id"])
    assert ballot.submit(BO, [undo])[0].state == "rejected"


def test_a_label_and_its_undo_can_arrive_together(ballot):
    item = ballot.next(ADA, 1, [])["items"][0]
    event = label(item)
    undo = label(item, kind="undo", target=event["event_id"])
    assert [r.state for r in ballot.submit(ADA, [event, undo])] == ["saved", "saved"]
    assert ballot.next(ADA, 1, [])["done"] == 0


def test_eval_prompts_are_never_asked_for_labels(ballot, project):
    blind = {p.text for p in project.prompts if p.split == "eval"}
    shown: list[dict] = []
    while items := ballot.next(ADA, 20, [])["items"]:
        shown += items
        ballot.submit(ADA, [label(i, kind="skip") for i in items])
    assert len(shown) == ballot.next(ADA, 0, [])["total"] == 12 - len(blind)
    assert not [i for i in shown if any(f"<p>{t}</p>" in i["prompt"] for t in blind)]


def test_ids_and_sides_follow_from_the_key_alone(ballot, project, connect):
    again, other = (LabelBallot(project, connect, key, 1) for key in ("key", "new"))
    assert ballot.next(ADA, 20, [])["items"] == again.next(ADA, 20, [])["items"]
    ids = [{i["id"] for i in b.next(ADA, 20, [])["items"]} for b in (again, other)]
    assert ids[0].isdisjoint(ids[1])
    assert again.pseudonym(ADA) != other.pseudonym(ADA)
    assert "ada" not in again.pseudonym(ADA)
    again.close()
    other.close()


def test_events_that_only_argilla_has_are_published_at_start(project, connect):
    first = LabelBallot(project, connect, "key", pause=600)
    first.prepared()
    event = label(first.next(ADA, 1, [])["items"][0])
    assert first.submit(ADA, [event])[0].state == "saved"
    # the first process ends here, before it publishes
    second = LabelBallot(project, connect, "key", pause=0.1)
    second.prepared()
    assert second.close()
    rows = Project.load(project.id).labels
    assert [r.event_id for r in rows] == [event["event_id"]]
    first.close()


def test_a_persons_events_are_numbered_also_after_a_restart(project, connect):
    numbers = []
    for _ in range(2):
        with closing(LabelBallot(Project.load(project.id), connect, "key", pause=0.1)) as ballot:
            ballot.prepared()
            first, second = (label(i) for i in ballot.next(ADA, 2, [])["items"])
            undo = first | {"event_id": str(uuid.uuid4()), "kind": "undo"}
            undo["target"] = first["event_id"]
            ballot.submit(ADA, [first, undo])
            ballot.submit(ADA, [second | {"sequence": True}])
            assert ballot.next(ADA, 0, [])["sequence"] == 3 * (len(numbers) + 1)
            numbers.append([e.sequence for e in ballot.events()])
    assert [sorted(n) for n in numbers] == [[1, 2, 3], [1, 2, 3, 4, 5, 6]]


def test_a_page_that_numbers_its_events_is_believed_within_reason(ballot):
    items = ballot.next(ADA, 3, [])["items"]
    given = (7, 10**15, 2)
    for item, sequence in zip(items, given, strict=True):
        ballot.submit(ADA, [label(item, sequence=sequence)])
    assert [e.sequence for e in ballot.events()] == [7, 8, 2]


def test_an_empty_argilla_is_filled_again_from_the_ledger(project, ballot, tmp_path):
    for person in (ADA, BO):
        for item in ballot.next(person, 4, [])["items"]:
            assert ballot.submit(person, [label(item)])[0].state == "saved"
    assert ballot.close()
    with (
        EmbeddedArgilla(tmp_path / "argilla") as fresh,
        closing(LabelStore(fresh.url, fresh.api_key)) as store,
    ):
        again = LabelBallot(Project.load(project.id), lambda: store, "key", pause=0.1)
        again.prepared()
        assert sorted(e.event_id for e in store.events()) == sorted(
            e.event_id for e in Project.load(project.id).labels
        )
        assert again.names() == {again.pseudonym(p): again.pseudonym(p) for p in (ADA, BO)}
        item = again.next(ADA, 1, [])["items"][0]
        assert again.submit(ADA, [label(item)])[0].state == "saved"
        assert again.names()[again.pseudonym(ADA)] == "Ada"  # known again once she is back
        assert again.next(ADA, 0, [])["done"] == 5
        assert again.close()


def test_a_label_changed_in_argilla_reaches_ledger_and_preferences(project, ballot, argilla):
    item = ballot.next(ADA, 1, [])["items"][0]
    ballot.submit(ADA, [label(item)])
    change_response(argilla, ballot.store(), choice="tie")
    assert ballot.take_edits() == 1
    assert ballot.take_edits() == 0
    assert ballot.close()
    first, edit = sorted(Project.load(project.id).labels, key=lambda e: e.time)
    assert (edit.kind, edit.via, edit.annotator) == ("tie", "argilla", first.annotator)
    assert export(project.id)[1].all() == []


def test_export_includes_edits_from_argilla(project, ballot, argilla, monkeypatch):
    ballot.submit(ADA, [label(ballot.next(ADA, 1, [])["items"][0])])
    assert ballot.close()
    respond_as_owner(argilla, project.id, choice="a")
    monkeypatch.setenv("PALATE_SECRET", "key")
    assert sync_edits(project.id, argilla.url, argilla.api_key) == 1
    assert sync_edits(project.id, argilla.url, argilla.api_key) == 0
    assert {e.via for e in Project.load(project.id).labels} == {"ballot", "argilla"}


def test_a_better_answer_must_differ_from_both(ballot):
    item = ballot.next(ADA, 1, [])["items"][0]
    left = item["left"].strip().removeprefix("<p>").removesuffix("</p>")
    for text, why in (
        (left, "one of the two"),
        ("", "expected the better"),
        (5, "text"),
    ):
        raw = label(item, kind="rewrite", text=text)
        (receipt,) = ballot.submit(ADA, [raw])
        assert receipt.state == "rejected"
        assert why in (receipt.reason or "")
    odd = "better \ud800 \0"
    assert ballot.submit(ADA, [label(item, kind="rewrite", text=odd)])[0].state == "saved"
    assert ballot.close()
    assert Project.load(ballot.project_id).labels[0].text == "better ?"


def test_what_waits_for_argilla_may_be_sent_as_often_as_it_takes(project, connect):
    up = threading.Event()

    def slow():
        up.wait()
        return connect()

    with closing(LabelBallot(project, slow, "key", pause=0.1)) as ballot:
        items = ballot.next(ADA, 8, [])["items"]
        events = [label(item, comment="x" * 1900) for item in items]
        for _ in range(100):
            assert {r.state for r in ballot.submit(ADA, events)} == {"waiting"}
        up.set()
        ballot.prepared()
        assert {r.state for r in ballot.submit(ADA, events)} <= {"saved", "published"}


def test_candidates_that_no_database_can_store_can_be_labelled(hub, repo_id, connect):
    prompt = Prompt.of("A prompt with \0 in it")
    odd = ["\ud800 and \0", "w" * 100_000, "<script>x</script>", "\u202egnihton"]
    importing.start_project(repo_id, [prompt], Settings(test=0.1, eval=0.1))
    rows = [Candidate.of(prompt.id, text) for text in odd]
    lines = "".join(json.dumps(asdict(c)) + "\n" for c in rows)  # escapes what UTF-8 cannot hold
    calls.commit(repo_id, "dataset", {"candidates/odd.jsonl": lines}, "Add")
    ballot = LabelBallot(Project.load(repo_id), connect, "key", pause=0.1)
    ballot.prepared()
    while items := ballot.next(ADA, 1, [])["items"]:
        assert ballot.submit(ADA, [label(items[0])])[0].state == "saved"
        assert len(json.dumps(items)) < 160_000
    assert ballot.next(ADA, 1, [])["done"] >= 4
    assert ballot.close()
    assert export(repo_id)[1].all()


@pytest.mark.parametrize(
    ("annotators", "name", "roles", "may", "owns"),
    [
        ("anyone", "bo", {}, True, False),
        (("Ada", "cy"), "ada", {}, True, False),
        (("Ada", "cy"), "bo", {}, False, False),
        (("Ada", "cy"), "me", {}, True, True),
        ("team", "bo", {"Team": "read"}, True, False),
        ("team", "bo", {"other": "admin"}, False, False),
        ("team", "bo", {"me": "write"}, True, True),
        ("team", "bo", {"me": "read"}, False, False),
    ],
)
def test_who_may_label_and_who_owns(annotators, name, roles, may, owns):
    access = Access("me", annotators)
    person = Person("hf:1", name, verified=True, organisations=lambda: roles)
    assert (access.may_label(person), access.owns(person)) == (may, owns)
    typed = Person("local:me", "me")
    assert (access.may_label(typed), access.owns(typed)) == (True, False)
