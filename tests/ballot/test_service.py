"""What a ballot asks and takes, on a real project and a real Argilla."""

import uuid

import pytest

from palate import hub as calls
from palate import importing, ledger
from palate.argilla.store import LabelStore
from palate.assignment import Queue
from palate.ballot.access import Person
from palate.ballot.labelling import LabelBallot
from palate.ballot.service import Ballot, EvaluateBallot
from palate.importing import Imported
from palate.project import Project, Settings
from palate.schema import Candidate, Prompt
from palate.strategies import Ranking

ADA, BO = Person("local:ada", "Ada"), Person("local:bo", "Bo")


@pytest.fixture
def project(hub, repo_id) -> Project:
    prompts = [Prompt.of(f"Prompt {i}") for i in range(12)]
    rows = [Candidate.of(p.id, f"{n} {p.text}") for p in prompts for n in "ab"]
    importing.start_project(repo_id, prompts, Settings())
    importing.add(repo_id, Imported([], rows, []), "Add")
    return Project.load(repo_id)


@pytest.fixture
def ballot(project, argilla):
    stores = []

    def connect() -> LabelStore:
        stores.append(LabelStore(argilla.url, argilla.api_key))
        return stores[-1]

    ballot = LabelBallot(project, connect, "key", pause=0.1)
    assert ballot._ready.wait(30)
    yield ballot
    ballot.close()
    for store in stores:
        store.close()


def said(item: dict, **changes) -> dict:
    event = {
        "event_id": str(uuid.uuid4()), "assignment_id": item["id"], "kind": "label",
        "choice": "left", "strength": 3, "milliseconds": 900,
    }  # fmt: skip
    return event | changes


def test_a_label_is_saved_then_published_and_said_once(ballot, project):
    item = ballot.next(ADA, 1, [])["items"][0]
    event = said(item)
    assert [r.state for r in ballot.submit(ADA, [event])] == ["saved"]
    assert ballot.next(ADA, 1, [])["done"] == 1
    assert ballot.close()
    assert [r.state for r in ballot.submit(ADA, [event])] == ["published"]
    (row,) = Project.load(project.id).rows("labels")
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
        ({"kind": "undo", "target": "nothing-here"}, "nothing of yours to take back"),
        ({"milliseconds": -1}, "milliseconds"),
        ({"comment": "x" * 5000}, "comment"),
        ({"event_id": "x"}, "event_id"),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_reason(ballot, changes, why):
    item = ballot.next(ADA, 1, [])["items"][0]
    (receipt,) = ballot.submit(ADA, [said(item, **changes)])
    assert receipt.state == "rejected"
    assert why in (receipt.reason or "")
    assert ballot.next(ADA, 1, [])["done"] == 0


def test_an_answer_to_somebody_elses_pair_is_refused(ballot):
    item = ballot.next(ADA, 1, [])["items"][0]
    assert ballot.submit(BO, [said(item)])[0].state == "rejected"
    event = said(item)
    ballot.submit(ADA, [event])
    mine = ballot.next(BO, 1, [])["items"][0]
    taken = ballot.submit(BO, [said(mine, event_id=event["event_id"])])[0]
    assert (taken.state, taken.reason) == ("rejected", "this event id is taken")
    undo = said(mine, kind="undo", target=event["event_id"])
    assert ballot.submit(BO, [undo])[0].state == "rejected"


def test_a_label_and_its_undo_may_come_together(ballot):
    item = ballot.next(ADA, 1, [])["items"][0]
    event = said(item)
    undo = said(item, kind="undo", target=event["event_id"])
    assert [r.state for r in ballot.submit(ADA, [event, undo])] == ["saved", "saved"]
    assert ballot.next(ADA, 1, [])["done"] == 0


def test_eval_prompts_are_never_asked_for_labels(ballot, project):
    blind = {p.text for p in project.rows("prompts") if p.split == "eval"}
    page = ballot.next(ADA, 20, [])
    assert page["total"] == len(page["items"]) == 12 - len(blind)
    assert not [i for i in page["items"] if any(f"<p>{t}</p>" in i["prompt"] for t in blind)]


def test_ids_and_sides_follow_from_the_key_alone(ballot, project, argilla):
    pairs = ballot._queue.all()
    again, other = (
        Ballot(project, "labels", Queue(pairs, Ranking()), key, 1) for key in ("key", "new")
    )
    assert ballot.next(ADA, 20, [])["items"] == again.next(ADA, 20, [])["items"]
    ids = [{i["id"] for i in b.next(ADA, 20, [])["items"]} for b in (again, other)]
    assert ids[0].isdisjoint(ids[1])
    assert again.pseudonym(ADA) != other.pseudonym(ADA)
    assert "ada" not in again.pseudonym(ADA)
    again.close()
    other.close()


def test_what_argilla_holds_and_the_hub_lacks_is_published_at_start(project, argilla):
    def connect() -> LabelStore:
        stores.append(LabelStore(argilla.url, argilla.api_key))
        return stores[-1]

    stores: list[LabelStore] = []
    first = LabelBallot(project, connect, "key", pause=600)
    assert first._ready.wait(30)
    event = said(first.next(ADA, 1, [])["items"][0])
    assert first.submit(ADA, [event])[0].state == "saved"
    # the first process ends here, before it publishes
    second = LabelBallot(project, connect, "key", pause=0.1)
    assert second._ready.wait(30)
    assert second.close()
    rows = Project.load(project.id).rows("labels")
    assert [r.event_id for r in rows] == [event["event_id"]]
    first.close()
    for store in stores:
        store.close()


def test_blind_pairs_name_no_model_and_count_identical_texts(project):
    blind = [p for p in project.rows("prompts") if p.split == "eval"]
    rows = [
        Candidate.of(p.id, text, model=model, revision=sha)
        for p in blind
        for texts in (("same", "same"), ("plain", "fine"))
        for text, model, sha in zip(
            texts, ("me/base", project.model_repo), ("b" * 40, "t" * 40), strict=True
        )
    ]
    calls.commit(project.id, "dataset", {"candidates/z.jsonl": ledger.jsonl(rows)}, "Add")
    ballot = EvaluateBallot(Project.load(project.id), "key", pause=0.1)
    page = ballot.next(ADA, 20, [])
    assert ballot.identical == len(blind)
    assert page["total"] == len(blind)
    assert not any(w in str(page) for w in ("me/base", "-dpo", "b" * 40, "t" * 40))
    assert ballot.submit(ADA, [said(page["items"][0])])[0].state == "waiting"
    assert ballot.close()
    assert len(Project.load(project.id).rows("evaluations")) == 1
