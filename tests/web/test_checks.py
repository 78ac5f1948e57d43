"""Checks among the questions: pairs that are asked again, and warm-ups, on a real Argilla."""

import json
from contextlib import closing
from dataclasses import asdict

import pytest
from labelling import ADA, label

from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import hub as calls
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Prompt
from palate.report.export import export
from palate.web.labelling.ballot import LabelBallot


@pytest.fixture
def checked(hub, repo_id, connect):
    """A ballot with two warm-ups, in which nearly every answer is asked again."""
    prompts = [Prompt.of(f"Prompt {i}") for i in range(40)]
    pairs = [Candidate.of(p.id, f"{n} {p.text}") for p in prompts for n in "ab"]
    importing.start_project(repo_id, prompts, Settings(repeats=0.99, eval=0.1))
    importing.add(repo_id, Imported([], pairs, []), "Add")
    rows = [
        {"prompt": f"Warm up {i}", "chosen": f"Good {i}", "rejected": f"Bad {i}", "why": "*Clear*"}
        for i in range(2)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    calls.commit(repo_id, "dataset", {"gold.jsonl": lines}, "Add warm-ups")
    with closing(LabelBallot(Project.load(repo_id), connect, "key", pause=0.1)) as ballot:
        ballot.prepared()
        yield ballot


def test_a_check_looks_like_any_other_pair(checked):
    seen, places, ids = set(), {"gold": set(), "repeat": set()}, set()
    while items := checked.next(ADA, 8, [])["items"]:
        assert [item["id"] for item in items] == sorted(item["id"] for item in items)
        for place, item in enumerate(items):
            assert set(item) == {"id", "prompt", "left", "right", "written"}
            ids.add(len(item["id"]))
            (receipt,) = checked.submit(ADA, [label(item, kind="tie")])
            purpose = checked._known[receipt.event_id].purpose
            seen.add(purpose)
            if purpose != "ask":
                places[purpose].add(place)
    assert seen == {"ask", "repeat", "gold"}
    assert len(ids) == 1
    assert len(places["repeat"]) > 1  # not always the first of what is handed out


def test_the_answer_of_a_warm_up_comes_with_the_receipt(checked):
    told = {}
    for item in checked.next(ADA, 8, [])["items"]:
        assert "Clear" not in json.dumps(item)
        (receipt,) = checked.submit(ADA, [event := label(item)])
        assert asdict(checked.submit(ADA, [event])[0])["warm_up"] == asdict(receipt)["warm_up"]
        if receipt.warm_up:
            told[item["written"]["prompt"]] = receipt.warm_up
            good = item["written"]["left"].startswith("Good")
            assert (receipt.warm_up.right, receipt.warm_up.answer) == (good, "A" if good else "B")
            assert "<em>Clear</em>" in receipt.warm_up.why
    assert sorted(told) == ["Warm up 0", "Warm up 1"]


def test_a_better_answer_is_taken_on_a_check_too(checked):
    """A refusal would tell which pairs are checks."""
    for item in checked.next(ADA, 8, [])["items"]:
        (receipt,) = checked.submit(ADA, [label(item, kind="rewrite", text="Better than both")])
        assert receipt.state == "saved"
    assert checked.close()
    export(checked.project_id)
