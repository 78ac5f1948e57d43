import pytest

from palate.core.errors import PalateError, UsageError
from palate.core.schema import Candidate, Model, Prompt
from palate.evaluate.contest import contest_of

PROMPTS = [Prompt.of(f"p{i}", split) for i, split in enumerate(("eval", "eval", "train"))]
TUNED = "me/x-dpo"


def completions(model: str, revision: str, texts: list[str]) -> list[Candidate]:
    return [
        Candidate.of(p.id, t, model=model, revision=revision)
        for p, t in zip(PROMPTS, texts, strict=False)
    ]


def contest(*groups: list[Candidate]):
    return contest_of(PROMPTS, [c for g in groups for c in g], TUNED, "me/x")


def test_base_and_tuned_meet_on_eval_prompts_only():
    base, tuned = completions("b", "1", ["a", "b", "c"]), completions(TUNED, "2", ["x", "b", "y"])
    c = contest(base, tuned)
    assert (c.base, c.tuned) == (Model("b", "1"), Model(TUNED, "2"))
    assert [p.prompt_id for p in c.pairs] == [PROMPTS[0].id]
    assert c.identical == 1  # the second prompt's texts are the same


def test_the_newest_revision_counts():
    c = contest(
        completions("b", "1", ["a", "b"]),
        completions(TUNED, "2", ["x", "y"]),
        completions(TUNED, "3", ["u", "v"]),
    )
    assert c.tuned == Model(TUNED, "3")
    assert len(c.pairs) == 2


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ([], "no completions of me/x-dpo"),
        ([completions("b", "1", ["a", "b"])], "no completions of me/x-dpo"),
        ([completions(TUNED, "1", ["a", "b"])], "no completions of the base model"),
    ],
)
def test_missing_completions_say_how_to_make_them(groups, says):
    with pytest.raises(UsageError, match=f"{says}.*palate completions me/x"):
        contest(*groups)


def test_a_prompt_that_only_one_model_answered_is_named():
    with pytest.raises(PalateError, match="Only me/x-dpo has completions of the eval prompt 'p1'"):
        contest(completions("b", "1", ["a"]), completions(TUNED, "2", ["x", "y"]))


def test_models_that_wrote_the_same_everywhere_are_no_contest():
    with pytest.raises(UsageError, match="wrote the same on all 2 pairs"):
        contest(completions("b", "1", ["a", "b"]), completions(TUNED, "2", ["a", "b "]))


def test_a_model_that_was_tuned_again_meets_what_it_was():
    c = contest(completions(TUNED, "1", ["a", "b"]), completions(TUNED, "2", ["x", "y"]))
    assert (c.base, c.tuned) == (Model(TUNED, "1"), Model(TUNED, "2"))


def test_without_eval_prompts_there_is_nothing_to_compare_on():
    with pytest.raises(UsageError, match="has no eval prompts"):
        contest_of([p for p in PROMPTS if p.split == "train"], [], TUNED, "me/x")


def test_every_two_models_meet_if_the_project_says_so(hub, repo_id):
    from palate.collect import importing
    from palate.core import hub as calls
    from palate.core import ledger
    from palate.core.project import Project, Settings
    from palate.evaluate.contest import contest as contest_in

    importing.start_project(
        repo_id, [Prompt.of(f"p{i}") for i in range(8)], Settings(compare="all", eval=0.25)
    )
    project = Project.load(repo_id)
    rows = [
        Candidate.of(p.id, f"{model} {revision}", model=model, revision=revision)
        for p in project.prompts
        if p.split == "eval"
        for model, revision in (("b", "1"), (project.model_repo, "2"), (project.model_repo, "3"))
    ]
    calls.commit(repo_id, "dataset", {"candidates/z.jsonl": ledger.jsonl(rows)}, "Add")
    c = contest_in(Project.load(repo_id))
    assert (c.base, c.tuned) == (Model("b", "1"), Model(project.model_repo, "3"))
    assert (len(c.pairs), len(c.others)) == (2, 2 * 2)
