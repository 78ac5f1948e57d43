import pytest

from palate.core.errors import PalateError, UsageError
from palate.core.schema import Candidate, Model, Prompt
from palate.evaluate.contest import EvaluationPairs, comparisons, evaluation_pairs, other_pairs

PROMPTS = [Prompt.of(f"p{i}", split) for i, split in enumerate(("eval", "eval", "train"))]
TUNED = "me/x-dpo"


def completions(model: str, revision: str, texts: list[str]) -> list[Candidate]:
    return [
        Candidate.of(p.id, t, model=model, revision=revision)
        for p, t in zip(PROMPTS, texts, strict=False)
    ]


def compare(*groups: list[Candidate]) -> EvaluationPairs:
    return evaluation_pairs(PROMPTS, [c for g in groups for c in g], TUNED, "me/x")


def test_base_and_tuned_meet_on_eval_prompts_only():
    base, tuned = completions("b", "1", ["a", "b", "c"]), completions(TUNED, "2", ["x", "b", "y"])
    c = compare(base, tuned)
    assert (c.base, c.tuned) == (Model("b", "1"), Model(TUNED, "2"))
    assert [p.prompt_id for p in c.pairs] == [PROMPTS[0].id]
    assert c.identical == 1  # the second prompt's texts are the same


def test_a_comparison_holds_both_texts_whichever_candidate_comes_first():
    base = completions("b", "1", ["a", "b"])
    for letter in "mnopq":
        tuned = completions(TUNED, "2", [letter, letter])
        for c in comparisons(compare(base, tuned), PROMPTS, [*base, *tuned]):
            assert (c.base in "ab", c.tuned, c.prompt[0]) == (True, letter, "p")


def test_the_newest_revision_counts():
    c = compare(
        completions("b", "1", ["a", "b"]),
        completions(TUNED, "2", ["x", "y"]),
        completions(TUNED, "3", ["u", "v"]),
    )
    assert c.tuned == Model(TUNED, "3")
    assert len(c.pairs) == 2


def test_what_a_reward_chose_is_no_base_and_is_compared_with_both():
    base, tuned = completions("b", "1", ["a", "b"]), completions(TUNED, "2", ["x", "y"])
    chosen = completions("me/x-reward", "best-of-16.1.2", ["k", "l"])
    c = compare(base, tuned, chosen)
    assert (c.base, c.tuned) == (Model("b", "1"), Model(TUNED, "2"))
    assert len(other_pairs(c, PROMPTS, [*base, *tuned, *chosen])) == 4


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
        compare(*groups)


def test_a_prompt_that_only_one_model_answered_is_named():
    with pytest.raises(PalateError, match="Only me/x-dpo has completions of the eval prompt 'p1'"):
        compare(completions("b", "1", ["a"]), completions(TUNED, "2", ["x", "y"]))


def test_models_that_wrote_the_same_everywhere_cannot_be_compared():
    with pytest.raises(UsageError, match="wrote the same on all 2 pairs"):
        compare(completions("b", "1", ["a", "b"]), completions(TUNED, "2", ["a", "b "]))


def test_a_model_that_was_tuned_again_meets_what_it_was():
    c = compare(completions(TUNED, "1", ["a", "b"]), completions(TUNED, "2", ["x", "y"]))
    assert (c.base, c.tuned) == (Model(TUNED, "1"), Model(TUNED, "2"))


def test_without_eval_prompts_there_is_nothing_to_compare_on():
    with pytest.raises(UsageError, match="has no eval prompts"):
        evaluation_pairs([p for p in PROMPTS if p.split == "train"], [], TUNED, "me/x")


def test_every_two_models_meet_if_the_project_says_so(hub, repo_id):
    from palate.collect import importing
    from palate.core import hub as calls
    from palate.core import ledger
    from palate.core.project import Project, Settings
    from palate.evaluate.loading import pairs_to_compare

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
    c = pairs_to_compare(Project.load(repo_id))
    assert (c.base, c.tuned) == (Model("b", "1"), Model(project.model_repo, "3"))
    assert (len(c.pairs), len(c.others)) == (2, 2 * 2)
