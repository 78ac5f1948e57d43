"""A ballot that asks about each pair in two aspects, on a real Argilla."""

import json
from dataclasses import replace

import pytest
from argilla_ui import change_response, respond_as_owner
from labelling import ADA, BO, label

from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import hub as client
from palate.core.project import SETTINGS_FILE, Project, Settings
from palate.core.rounds import in_aspect
from palate.core.schema import Candidate, Gold, Prompt
from palate.web.ballot.event_parsing import warm_up
from palate.web.labelling.ballot import LabelBallot
from palate.web.labelling.labels import Labels
from palate.web.labelling.owner import figures, page


@pytest.fixture
def project(hub, repo_id) -> Project:
    prompts = [Prompt.of(f"Prompt {i}") for i in range(12)]
    rows = [Candidate.of(p.id, f"{n} {p.text}") for p in prompts for n in "ab"]
    settings = Settings(repeats=0.0, eval=0.1, aspects=("helpful", "safe"))
    importing.start_project(repo_id, prompts, settings)
    importing.add(repo_id, Imported([], rows, []), "Add")
    return Project.load(repo_id)


def with_aspects(project: Project, aspects: tuple[str, ...]) -> Project:
    """Return the project as it is once the owner has changed its aspects."""
    settings = replace(project.settings, aspects=aspects)
    files = {SETTINGS_FILE: settings.dump()}
    client.commit(project.id, "dataset", files, "Other aspects")
    return Project.load(project.id)


def both(item: dict, helpful: str, safe: str) -> list[dict]:
    """Return a pair's answers as the page sends them: the first aspect's last."""
    return [
        label(item, aspect="safe", choice=safe),
        label(item, aspect="helpful", choice=helpful),
    ]


def test_the_first_aspect_alone_closes_no_pair(ballot):
    item = ballot.next(ADA, 1, [])["items"][0]
    safe, helpful = both(item, "left", "right")
    assert [r.state for r in ballot.submit(ADA, [helpful])] == ["waiting"]
    assert ballot.next(ADA, 1, [])["done"] == 0
    assert ballot.events() == []
    assert [r.state for r in ballot.submit(ADA, [safe, helpful])] == ["saved", "saved"]
    assert ballot.next(ADA, 1, [])["done"] == 1
    alone = label(item, kind="undo", aspect="safe", target=safe["event_id"])
    assert [r.state for r in ballot.submit(ADA, [alone])] == ["waiting"]
    assert {e.aspect for e in ballot.standing()} == {"helpful", "safe"}


def test_a_pair_is_done_once_the_first_aspect_has_come_which_is_the_last(ballot, project):
    item = ballot.next(ADA, 1, [])["items"][0]
    safe, helpful = both(item, "left", "right")
    assert ballot.submit(ADA, [safe])[0].state == "saved"
    assert ballot.next(ADA, 1, [])["done"] == 0
    assert item["id"] in [i["id"] for i in ballot.next(ADA, 20, [])["items"]]
    assert ballot.submit(ADA, [helpful])[0].state == "saved"
    assert ballot.next(ADA, 1, [])["done"] == 1
    assert ballot.figures(ADA)["judged"] == 1
    assert ballot.close()
    read = Project.load(project.id)
    (first,), (second,) = (in_aspect(read, a).labels for a in ("helpful", "safe"))
    assert (first.chosen, second.chosen) == (first.left, second.right)


def test_an_answer_in_no_aspect_or_another_is_refused(ballot):
    item = ballot.next(ADA, 1, [])["items"][0]
    for wrong in ({}, {"aspect": "kind"}, {"aspect": ["safe"]}, {"aspect": 1}):
        (receipt,) = ballot.submit(ADA, [label(item, **wrong)])
        assert receipt.state == "rejected"
        assert receipt.reason == "aspect: expected helpful or safe; load the page again"
    flag = label(item, kind="flag", comment="odd")
    assert ballot.submit(ADA, [flag])[0].state == "saved"
    assert ballot.events()[0].aspect is None


def test_a_project_without_aspects_takes_no_answer_in_one(hub, repo_id, connect):
    prompts = [Prompt.of(f"Prompt {i}") for i in range(6)]
    rows = [Candidate.of(p.id, f"{n} {p.text}") for p in prompts for n in "ab"]
    importing.start_project(repo_id, prompts, Settings(repeats=0.0, eval=0.1))
    importing.add(repo_id, Imported([], rows, []), "Add")
    ballot = LabelBallot(Project.load(repo_id), connect, "key", pause=0.1)
    ballot.prepared()
    item = ballot.next(ADA, 1, [])["items"][0]
    (receipt,) = ballot.submit(ADA, [label(item, aspect="safe")])
    assert receipt.reason == "aspect: expected none; load the page again"
    ballot.close()


def test_an_undo_takes_back_its_own_aspect(ballot):
    item = ballot.next(ADA, 1, [])["items"][0]
    safe, helpful = both(item, "left", "right")
    ballot.submit(ADA, [safe, helpful])
    crossed = label(item, kind="undo", aspect="helpful", target=safe["event_id"])
    assert ballot.submit(ADA, [crossed])[0].state == "rejected"
    undone = [
        label(item, kind="undo", aspect=e["aspect"], target=e["event_id"]) for e in (safe, helpful)
    ]
    assert [r.state for r in ballot.submit(ADA, undone)] == ["saved", "saved"]
    assert ballot.next(ADA, 1, [])["done"] == 0
    assert ballot.standing() == []


def test_argillas_pages_change_the_first_aspect(ballot, argilla, project):
    item = ballot.next(ADA, 1, [])["items"][0]
    ballot.submit(ADA, both(item, "left", "right"))
    assert ballot.take_edits() == 0
    change_response(argilla, ballot.store(), choice="tie")
    assert ballot.take_edits() == 1
    said = {e.aspect: e.kind for e in ballot.standing()}
    assert said == {"helpful": "tie", "safe": "label"}


CHANGES = {
    "added": ((), ("helpful", "safe")),
    "reordered": (("helpful", "safe"), ("safe", "helpful")),
    "renamed": (("helpful", "safe"), ("useful", "safe")),
    "removed": (("helpful", "safe"), ()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_new_aspects_turn_no_old_answer_into_a_new_one(project, connect, argilla, change):
    before, after = CHANGES[change]
    first = LabelBallot(with_aspects(project, before), connect, "key", pause=0.1)
    first.prepared()
    item = first.next(ADA, 1, [])["items"][0]
    first.submit(ADA, both(item, "left", "right") if before else [label(item)])
    respond_as_owner(argilla, project.id, choice="tie")  # which no event of ours goes with
    assert first.take_edits() == 1
    assert first.close()
    second = LabelBallot(with_aspects(project, after), connect, "key", pause=0.1)
    second.prepared()
    assert second.next(ADA, 1, [])["done"] == (change == "reordered")
    second.take_edits()
    assert second.next(ADA, 1, [])["done"] == (change == "reordered")
    assert len(second.events()) == len(first.events()) == (3 if before else 2)
    assert second.close()  # which takes in the last edits
    assert {e.event_id for e in second.events()} == {e.event_id for e in first.events()}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_an_edit_of_an_old_answer_is_in_its_old_aspect(project, connect, argilla, before, after):
    first = LabelBallot(with_aspects(project, before), connect, "key", pause=0.1)
    first.prepared()
    item = first.next(ADA, 1, [])["items"][0]
    first.submit(ADA, both(item, "left", "right") if before else [label(item)])
    assert first.close()
    second = LabelBallot(with_aspects(project, after), connect, "key", pause=0.1)
    second.prepared()
    change_response(argilla, second.store(), choice="tie")
    second.take_edits()
    assert second.take_edits() == 0
    assert second.close()
    (edited,) = [e for e in second.events() if e.via == "argilla"]
    assert (edited.kind, edited.aspect) == ("tie", before[0] if before else None)


def test_the_owner_sees_and_corrects_one_aspect(ballot):
    item = ballot.next(ADA, 1, [])["items"][0]
    ballot.submit(ADA, both(item, "left", "right"))
    labels = Labels(ballot)
    rows = labels.find({})["rows"]
    assert sorted((row["aspect"], row["side"]) for row in rows) == [
        ("helpful", "left"), ("safe", "right"),
    ]  # fmt: skip
    assert not any(row["differs"] for row in rows)
    wrong = next(row for row in rows if row["aspect"] == "safe")
    labels.correct({"id": wrong["id"], "kind": "tie"})
    assert {e.aspect: e.kind for e in ballot.standing()} == {"helpful": "label", "safe": "tie"}
    ballot.submit(BO, both(ballot.next(BO, 1, [])["items"][0], "left", "left"))
    assert labels.find({})["total"] == 4


def test_a_warm_up_has_its_answer_in_the_first_aspect(ballot):
    from samples import PAIRS, event

    gold = {PAIRS[0].a: Gold("A prompt", "text 0", "text 1")}
    asked = [event(PAIRS[0], purpose="gold", aspect=a) for a in ("helpful", "safe")]
    told = [warm_up(e, gold, "helpful") for e in asked]
    assert told[0] is not None
    assert told[1] is None


def test_the_owners_page_reports_each_aspect_alone(ballot):
    for item in ballot.next(ADA, 4, [])["items"]:
        ballot.submit(ADA, both(item, "left", "right"))
    report = json.loads(figures(ballot).body)
    assert report["judgements"] == report["aspects"]["safe"]["judgements"] == 4
    assert report["left"]["hits"] == 4
    assert report["aspects"]["safe"]["left"]["hits"] == 0
    html = page(ballot, "").body.decode()
    assert "All else on this page is about the aspect helpful." in html
    assert "safe: 4 judgements on 4 pairs by 1 person." in html
    assert "helpful and safe prefer different answers in" in html
