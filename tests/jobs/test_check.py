"""What tuning cost: a model against itself, and one that was ruined, on the model's card."""

import json

import pytest
import tiny_model
from tuned_model import push_tuned

from palate.core import hub as client
from palate.core.project import Project

BAD = {
    '{"text": "a", "rule": "b"}': ", field 'value': is missing",
    '{"text": "a", "rule": "b", "value": 1}': ", field 'rule': expected one of words at most, ",
    '{"text": "a", "rule": "includes", "value": "salt"}': ", field 'value': expected a value such",
    '{"text": "a", "rule": "includes", "value": [1]}': ", field 'value",
    '{"text": "a", "rule": "lines", "value": "3"}': ", field 'value': expected a value such as",
    "{": ": not JSON",
}
BROKEN = {  # files in which no row can be read
    b"\xff\n": ": not valid UTF-8",
    b"[" * 100_000: ", row 41: not JSON",
    b'{"value": ' + b"9" * 5_000 + b"}": ", row 41: not JSON",
}
FLAGS = ("--max-new-tokens", "16", "--batch-size", "40")


def card(project: Project) -> str:
    sha, _ = client.describe(project.model_repo, "model")
    return client.fetch(project.model_repo, "model", sha, ["README.md"])[0].read_text("utf-8")


@pytest.mark.parametrize("ruined", [False, True])
def test_what_tuning_cost_is_on_the_card(labelled, jobs, ruined):
    said = jobs("check", labelled.id, code=2)
    assert f"There is no model {labelled.model_repo} yet." in said
    push_tuned(labelled, ruined=ruined)
    own = [{"text": tiny_model.prompt(i), "rule": "words at most", "value": 8} for i in range(40)]
    lines = "".join(json.dumps(one) + "\n" for one in own)
    client.commit(labelled.id, "dataset", {"check.jsonl": lines}, "Check")
    said = jobs("check", labelled.id, *FLAGS)
    # the tiny model guesses one token in twenty, too few to lose more than three points of them
    assert ("alarm" not in said) or ruined
    shown = card(labelled)
    assert "## What tuning cost" in shown
    assert ("Plain text: a loss of more than 3 points is not ruled out." in shown) or not ruined
    assert "The project's own instructions" in shown
    if not ruined:
        assert "Instructions: a loss of more than 3 points is ruled out." in shown
    for bad, problem in BROKEN.items():
        client.commit(labelled.id, "dataset", {"check.jsonl": lines.encode() + bad}, "Bad")
        assert f"check.jsonl{problem}" in jobs("check", labelled.id, code=2)
    for bad, problem in BAD.items():
        client.commit(labelled.id, "dataset", {"check.jsonl": f"{lines}\n{bad}\n"}, "Bad")
        assert f"check.jsonl, row 42{problem}" in jobs("check", labelled.id, code=2)
