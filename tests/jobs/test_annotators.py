"""Trainings on the labels of some people, and what is recorded of the others."""

import json
from dataclasses import replace

import pytest
from dpo_runs import FAST, record
from rich.console import Console

from palate.collect.labels import pseudonym
from palate.core import hub as client
from palate.core import ledger
from palate.core.project import REWARD_FILE, Project
from palate.report.export import export
from palate.reward import rejection, rl
from palate.train.config import RLArguments, SFTArguments
from palate.train.records import facts
from palate.train.rows.data import read_preferences

ANN, BEN, CY = pseudonym("ann"), pseudonym("ben"), "p-0123456789"


@pytest.fixture
def three(labelled) -> Project:
    """The project with the same labels by Ann, those of Ben, who prefers the other, and Cy's ties.

    Two thirds of the prompts are Ann's, and as many Ben's.
    """
    (path,) = labelled.paths("labels")
    prompts = {p.id: i for i, p in enumerate(labelled.prompts)}
    events = []
    for e in labelled.labels:
        other = e.left if e.chosen == e.right else e.right
        place = prompts[e.prompt_id] % 3
        if place != 2:
            events.append(replace(e, event_id=f"ann {e.pair_id}", annotator=ANN))
        if place != 0:
            events.append(replace(e, event_id=f"ben {e.pair_id}", annotator=BEN, chosen=other))
    cy = replace(events[0], event_id="cy", annotator=CY, kind="tie", chosen=None, strength=None)
    client.commit(labelled.id, "dataset", {path: ledger.jsonl([*events, cy])}, "Three people")
    export(labelled.id)
    return Project.load(labelled.id)


def card(repo: str) -> str:
    return client.fetch(repo, "model", "main", ["README.md"])[0].read_text("utf-8")


def test_dpo_learns_from_the_people_named_and_says_so_without_their_names(three, jobs):
    said = " ".join(jobs("dpo", three.id, *FAST, "--annotators", "ann").split())
    assert "Only the labels of 1 of 3 people are used, as --annotators says." in said
    run = record(three.model_repo)
    train = {p.id for p in three.prompts if p.split == "train"}
    own = [e for e in three.labels if e.annotator == ANN]
    asked = [e for e in own if e.prompt_id in train]
    assert (
        run["data"]["train"] == len(asked) < len([e for e in three.labels if e.prompt_id in train])
    )
    assert run["data"]["test"] == len(own) - len(asked)
    assert (run["data"]["annotators"], run["data"]["labels"]) == (1, len(own))
    assert (run["data"]["people_chosen"], run["data"]["people_in_all"]) == (1, 3)
    assert run["arguments"]["annotators"] == ANN
    assert f"--annotators {ANN}" in run["command"]
    assert "ann'" not in json.dumps(run["arguments"])
    assert run["results"]["by_annotator"] == {}
    text = card(three.model_repo)
    assert "Of 3 people who judged answers, 1 was chosen with `--annotators`" in text
    assert ANN not in text.partition("## Training")[0]


def test_accuracy_is_listed_for_each_person(three, jobs):
    jobs("dpo", three.id, *FAST)
    results = record(three.model_repo)["results"]
    own = results["by_annotator"]
    assert set(own) == {ANN, BEN}
    assert sum(x["n"] for x in own.values()) == results["test_rows"]
    mean = sum(x["rate"] * x["n"] for x in own.values()) / results["test_rows"]
    assert mean == pytest.approx(results["test_reward_accuracy"])
    assert all(x["interval"][0] <= x["rate"] <= x["interval"][1] for x in own.values())
    text = card(three.model_repo)
    assert f"| of these, by `{ANN}` |" in text
    assert "--annotators" not in text


@pytest.mark.parametrize("job", ["reward", "kto", "sft"])
def test_the_other_trainings_read_the_same_people(job, three, jobs):
    said = jobs(job, three.id, "--epochs", "1", "--annotators", f"{BEN},{CY}")
    assert "Only the labels of 2 of 3 people are used" in said
    data = record(f"{three.id}-{job}")["data"]
    assert (data["people_chosen"], data["people_in_all"]) == (2, 3)
    assert data["annotators"] == 1  # the other one called all a tie
    assert data["labels"] == sum(e.annotator == BEN and e.kind == "label" for e in three.labels)
    assert "Of 3 people who judged answers, 2 were chosen" in card(f"{three.id}-{job}")


def test_what_learns_from_the_reward_of_some_reads_their_labels_alone(three, jobs):
    """Nor does such a reward decide what everybody is asked."""
    jobs("reward", three.id, "--annotators", "ann")
    assert REWARD_FILE not in Project.load(three.id).files
    quiet = Console(quiet=True)
    prepared = rl.prepare(quiet, RLArguments(three.id, method="full"))[0]
    own = [e for e in three.labels if e.annotator == ANN]
    data = facts.rl_data(prepared.project, prepared.rows)
    assert (data.annotators, data.labels, data.people_chosen) == (1, len(own), 1)
    rows = read_preferences(prepared.project, implied=False)  # the held-out reward's
    assert {r.annotator for r in (*rows.train, *rows.test)} == {ANN}
    args = SFTArguments(three.id, method="full", source="best")
    assert set(rejection.prepare(quiet, args).job.project.labels) == set(own)
    jobs("reward", three.id)
    assert REWARD_FILE in Project.load(three.id).files
    prepared = rl.prepare(quiet, RLArguments(three.id, method="full"))[0]
    assert len(prepared.project.labels) == len(three.labels)


def test_a_name_nobody_has_is_refused_with_those_that_exist(three, jobs):
    said = " ".join(jobs("dpo", three.id, "--annotators", "ann,zoe", code=2).split())
    assert f"Nobody who judged answers in {three.id} is called 'zoe'." in said
    assert f"{CY} (1 judgement)" in said
    assert ANN in said
    said = jobs("reward", three.id, "--annotators", " , ", code=2)
    assert "--annotators names nobody. These people have:" in said
    said = jobs("dpo", three.id, "--annotators", CY, code=2)
    assert "holds no preferences to train on. Its labels say nothing to train on: 1 ties" in said
    for words in (("sft", three.id, "--from", "best"), ("rl", three.id)):
        said = " ".join(jobs(*words, "--annotators", "ann", code=2).split())
        assert f"Choose people for the reward: palate reward {three.id} --annotators ann" in said


def test_one_annotator_only_or_everybody_is_said(labelled, three, jobs):
    said = jobs("sft", three.id, "--epochs", "1", "--annotators", f"ann,ben,{CY},ann")
    assert "--annotators names all 3 people, so it leaves nobody out." in said
    assert "`--annotators` named everybody who judged answers." in card(three.sft_repo)


def test_the_only_annotator_leaves_nobody_out(labelled, jobs):
    said = jobs("sft", labelled.id, "--epochs", "1", "--annotators", "p-1")
    assert "1 person has judged answers here, so --annotators leaves nobody out." in said
