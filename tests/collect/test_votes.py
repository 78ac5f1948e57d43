"""Votes from a spreadsheet into an evaluation."""

import json

import pytest

from palate.collect import importing, pairs, votes
from palate.collect.columns import Columns
from palate.collect.tables import Table
from palate.commands import imports, results
from palate.core.errors import BadInput, UsageError
from palate.core.project import Project, Settings
from palate.core.schema import Prompt
from palate.evaluate.loading import project_verdict

COLUMNS = Columns(None, "base", "tuned", "tuned_better")


def table(*rows: tuple, columns=("base", "tuned", "tuned_better")) -> Table:
    made = [dict(zip(columns, row, strict=True)) for row in rows]
    return Table("votes.csv", tuple(columns), made, list(range(2, len(made) + 2)))


def read(given: Table):
    data = pairs.read(given, COLUMNS, needs_prompt=False)
    return votes.votes_of(data, "me/base", "me/x-dpo")


def test_each_pair_of_texts_without_a_prompt_is_a_comparison_of_its_own():
    new = read(table(("a", "b", 1), ("c", "d", 0), ("e", "f", "tie")))
    texts = [p.text for p in new.prompts]
    assert [text.split()[0] for text in texts] == ["Comparison"] * 3
    assert len(set(texts)) == 3
    assert read(table(("c", "d", 0))).prompts[0].text == texts[1]
    assert {p.split for p in new.prompts} == {"eval"}
    assert {(c.model, c.revision) for c in new.candidates} == {
        ("me/base", "imported"), ("me/x-dpo", "imported"),
    }  # fmt: skip
    assert [e.kind for e in new.events] == ["label", "label", "tie"]


def test_votes_need_to_say_whose_text_is_whose():
    with pytest.raises(UsageError, match="the base model's text"):
        votes.check(Columns())
    chosen = pairs.read(table(("q", "a", "b"), columns=("prompt", "chosen", "rejected")), Columns())
    with pytest.raises(UsageError, match="the base model's text"):
        votes.votes_of(chosen, "me/base", "me/x-dpo")


def test_votes_are_added_once_and_counted(hub, repo_id):
    rows = [(f"base {i}", f"tuned {i}", int(i % 3 > 0)) for i in range(30)]
    data = pairs.read(table(*rows), COLUMNS, needs_prompt=False)
    new = votes.votes_of(data, "me/base", f"{repo_id}-dpo")
    votes.add(repo_id, new, "Import")
    votes.add(repo_id, new, "Import")
    project = Project.load(repo_id)
    assert len(project.evaluations) == 30
    v = project_verdict(project)
    assert (v.wins, v.losses, v.prompts) == (20, 10, 30)
    assert v.confounds is not None
    assert v.confounds.left is None  # base was always on the left


def test_a_vote_on_a_prompt_that_is_trained_on_is_refused(hub, repo_id):
    new = read(table(("a", "b", 1)))
    importing.start_project(repo_id, [Prompt.of(new.prompts[0].text)], Settings())
    with pytest.raises(BadInput, match="a vote on it proves nothing"):
        votes.add(repo_id, new, "Import")
    assert not Project.load(repo_id).evaluations


def test_votes_of_many_people_on_many_models_are_rated(hub, repo_id, tmp_path, capsys):
    """Shaped like the file of a public arena: models and voters by name, 13 prompts, no answers."""
    rows = [
        f"{prompt},{left},{right},{'left' if (prompt + voter) % 4 else 'tie'},worker {voter}"
        for prompt in range(13)
        for voter in range(6)
        for left, right in (("Big", "Small"), ("Big", "Old"), ("Small", "Old"))
    ]
    rows += [f"{prompt},Old,Big,left,worker 9" for prompt in range(13)]
    file = tmp_path / "arena.csv"
    file.write_text("\n".join(["prompt,left,right,winner,who", *rows]))
    imports.import_(
        repo_id, str(file), a="left", b="right", choice=["winner"], annotator="who",
        models=("left", "right"), votes=True,
    )  # fmt: skip
    project = Project.load(repo_id)
    assert len(project.evaluations) == len(rows)
    assert len({e.annotator for e in project.evaluations}) == 7
    assert "worker" not in str(project.evaluations)
    assert {c.model for c in project.candidates} == {"Big", "Small", "Old"}
    capsys.readouterr()
    results.verdict(repo_id)
    printed = capsys.readouterr().out
    assert "Ratings of 3 models by 247 votes on 13 prompts, for prompts and people like these." in (
        printed
    )
    assert "Big: the reference" in printed
    assert "Small: -" in printed
    results.verdict(repo_id, as_json=True)
    (rated,) = json.loads(capsys.readouterr().out)["ratings"]
    assert [r["model"]["repo"] for r in rated["ratings"]] == ["Big", "Small", "Old"]


BATTLES = """model_a,model_b,winner,judge,question_id
big,small,model_a,ann,1
small,old,tie,ann,2
big,old,tie (bothbad),bob,2
old,big,model_b,bob,3
"""


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({}, "no answers: votes between models. Import them with: --votes --a model_a"),
        (
            {"a": "model_a", "b": "model_b", "choice": ["winner"], "prompt": "question_id"},
            "no answers: votes between models",
        ),
        (
            {"a": "model_a", "b": "model_b", "choice": ["winner"], "votes": True},
            "no column says which prompt the models answered.* such as question_id: --prompt",
        ),
    ],
)
def test_names_of_models_are_not_taken_for_answers(flags, says, hub, repo_id, tmp_path):
    file = tmp_path / "battles.csv"
    file.write_text(BATTLES)
    with pytest.raises(UsageError, match=says):
        imports.import_(repo_id, str(file), **flags)


def test_battles_are_votes_between_models_by_prompt(hub, repo_id, tmp_path):
    file = tmp_path / "battles.csv"
    file.write_text(BATTLES)
    columns = {"a": "model_a", "b": "model_b", "choice": ["winner"], "prompt": "question_id"}
    imports.import_(repo_id, str(file), **columns, votes=True)
    project = Project.load(repo_id)
    assert {c.model for c in project.candidates} == {"big", "small", "old"}
    assert len({e.prompt_id for e in project.evaluations}) == 3


def test_texts_under_many_prompts_are_asked_about(hub, repo_id, tmp_path, capsys):
    file = tmp_path / "arena.csv"
    file.write_text("prompt,left,right,winner\n1,big,old,left\n2,old,big,left\n3,big,old,tie\n")
    imports.import_(repo_id, str(file), a="left", b="right", choice=["winner"], dry_run=True)
    assert "Names of models? Then add --models left right" in capsys.readouterr().out
