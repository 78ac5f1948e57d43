"""All rounds of a model in one evaluation: the verdict stays that of base and tuned alone."""

import json
import uuid

import pytest
from rounds import rounds

from palate.commands import results
from palate.core.project import Project
from palate.core.schema import Model
from palate.evaluate.loading import project_verdict
from palate.web.ballot.people import Person
from palate.web.voting.ballot import EvaluateBallot
from palate.web.voting.result import examples, figures

ADA = Person("local:ada", "Ada")


@pytest.fixture
def met(hub, repo_id) -> tuple[Project, list[Model]]:
    return rounds(repo_id)


@pytest.fixture
def ballot(met, tmp_path):
    ballot = EvaluateBallot(met[0], "key", pause=0.1, memory=tmp_path / "hands.json")
    yield ballot
    ballot.close()


def vote(ballot: EvaluateBallot) -> None:
    """Have Ada choose the earlier of two rounds in every pair."""
    events = [
        {
            "event_id": str(uuid.uuid4()), "assignment_id": item["id"], "kind": "label",
            "choice": "left" if item["left"] < item["right"] else "right",
            "strength": 3, "milliseconds": 900,
        }
        for item in ballot.next(ADA, 20, [])["items"]
    ]  # fmt: skip
    assert len(events) == 9
    ballot.submit(ADA, events)


def test_pairs_of_other_rounds_do_not_dilute_the_identical_ones(ballot, met):
    vote(ballot)
    v = ballot.verdict()
    assert (v.votes, v.losses, v.identical) == (3, 3, 3)
    assert v.win_rate_with_identical == pytest.approx(0.25)  # three votes, three ties
    assert ballot.close()
    counted = project_verdict(Project.load(met[0].id))
    assert counted.win_rate_with_identical == pytest.approx(0.25)


def test_examples_show_base_and_tuned_under_their_names(ballot):
    vote(ballot)
    found = examples(ballot, ballot.verdict())
    assert found["tuned"] == []
    assert len(found["base"]) == 3
    assert all("round 1" in x["base"] and "round 3" in x["tuned"] for x in found["base"])


def test_the_space_sends_what_the_command_prints(ballot, met, capsys):
    vote(ballot)
    sent = json.loads(figures(ballot).body)
    (rated,) = sent["ratings"]
    assert [r["model"]["revision"][0] for r in rated["ratings"]] == ["1", "2", "3"]
    assert ballot.close()
    results.verdict(met[0].id, as_json=True)
    assert json.loads(capsys.readouterr().out) == sent
