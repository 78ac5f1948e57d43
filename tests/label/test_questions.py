"""A running program asks a project's people, and does not wait for them."""

import pytest

import palate
from palate.collect import importing
from palate.core import hub as client
from palate.core import ledger
from palate.core.errors import PalateError, UsageError
from palate.core.project import Project, Settings
from palate.core.schema import Event, Pair, Prompt
from palate.label import questions as module

ANSWERS = ["Robot bread", "Bake, robot!"]


@pytest.fixture
def opened(hub, repo_id, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.5)
    importing.start_project(repo_id, [Prompt.of(f"Idea {n}") for n in range(20)], Settings())
    with palate.open(repo_id) as made:
        yield made


def label(project_id: str, prompt: str, answers, kind="label") -> None:
    """Answer as a person does: the second one is better."""
    project = Project.load(project_id)
    (row,) = [p for p in project.prompts if p.text == prompt]
    one, other = (next(c for c in project.candidates if c.text == text) for text in answers)
    pair = Pair.of(one, other)
    event = Event(
        event_id=f"e-{pair.id}", kind=kind, pair_id=pair.id, prompt_id=row.id, left=pair.a,
        right=pair.b, chosen=other.id if kind == "label" else None, strength=None,
        annotator="p-1", milliseconds=900, time="2026-01-02T03:04:05.678Z", round=1, via="ballot",
    )  # fmt: skip
    client.commit(project_id, "dataset", {ledger.event_file("labels"): ledger.jsonl([event])}, "x")


def wait_until_sent(made) -> Project:
    while made._waiting:
        made._thread.join(0.05)
    return Project.load(made.project_id)


@pytest.mark.parametrize(("kind", "expected"), [("label", ANSWERS[1]), ("tie", None),
                                                ("both_bad", None)])  # fmt: skip
def test_the_answer_comes_when_somebody_has_given_it(opened, kind, expected):
    answer = palate.compare("A robot that bakes", ANSWERS)
    assert not answer.done()
    project = wait_until_sent(opened)
    (row,) = [p for p in project.prompts if p.text == "A robot that bakes"]
    assert row.split in ("train", "test")  # so that somebody is asked
    assert not answer.done()
    label(opened.project_id, "A robot that bakes", ANSWERS, kind)
    assert answer.result(timeout=30) == expected


def test_the_same_question_twice_is_one_question(opened):
    both = [opened.compare("A robot", ANSWERS), opened.compare("A robot", ANSWERS[::-1])]
    project = wait_until_sent(opened)
    assert len([c for c in project.candidates if c.text in ANSWERS]) == 2
    label(opened.project_id, "A robot", ANSWERS)
    assert [a.result(timeout=30) for a in both] == [ANSWERS[1]] * 2


def test_an_eval_prompt_is_not_asked(opened):
    blind = next(p.text for p in Project.load(opened.project_id).prompts if p.split == "eval")
    with pytest.raises(PalateError, match="is an eval prompt"):
        opened.compare(blind, ANSWERS).result(timeout=30)


def test_closing_sends_what_waits_and_cancels_what_nobody_answered(opened):
    answer = opened.compare("Late", ANSWERS)
    opened.close()
    assert answer.cancelled()
    assert "Late" in {p.text for p in Project.load(opened.project_id).prompts}
    with pytest.raises(UsageError, match="are closed"):
        opened.compare("Later", ANSWERS)


@pytest.mark.parametrize("answers", [["a"], ["a", "a"], ["a", " a "], ["a", ""], ["a", "b", "c"]])
def test_anything_but_two_different_answers_is_refused(opened, answers):
    with pytest.raises(UsageError, match="two different answers"):
        opened.compare("A robot", answers)


def test_without_a_project_it_says_how_to_open_one(monkeypatch):
    monkeypatch.setattr(module, "_opened", [])
    with pytest.raises(UsageError, match=r"palate\.open"):
        palate.compare("A robot", ANSWERS)
