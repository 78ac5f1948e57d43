"""Rounds: what each compares, and how `palate round` leads from one to the next."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from commands import palate
from samples import event

from palate.collect import importing
from palate.core import hub as client
from palate.core import ledger
from palate.core.errors import BadInput, UsageError
from palate.core.project import Project, Settings
from palate.core.rounds import fresh_eval, newest_model, with_setting, writer_of
from palate.core.schema import Candidate, Pair, Prompt, pairs_of
from palate.generate.completions import eval_prompts
from palate.label import steps
from palate.label.ranking import contenders
from palate.report.next_round import begin
from palate.web.labelling.ballot import queue_of

pytestmark = pytest.mark.usefixtures("fast_commands")


def texts(number: int, *names: str) -> list[Candidate]:
    return [Candidate.of("p", f"{name}{number}", round=number) for name in names]


def test_the_best_of_the_rounds_before_meets_what_is_new():
    old, new = texts(1, "a", "b", "c"), texts(2, "x", "y")
    a, b, c = old
    judged = [event(Pair.of(b, a), chosen=b.id), event(Pair.of(b, c), chosen=b.id)]
    assert contenders(old, judged, 1) == old
    assert contenders([*old, *new], judged, 2) == [*new, b]
    third = texts(3, "z")
    judged.append(event(Pair.of(b, new[0]), chosen=new[0].id))
    assert contenders([*old, *new, *third], judged, 3) == [*third, new[0]]


def test_a_round_without_candidates_asks_nothing_and_unjudged_answers_do_not_stay():
    old = texts(1, "a", "b")
    assert contenders(old, [], 2) == []
    new = texts(2, "x", "y")
    assert contenders([*old, *new], [], 2) == new
    tied = [event(Pair.of(*old), "both_bad")]
    assert contenders([*old, *new], tied, 2) == new


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# mine\nround = 1\nseed = 3\n", "# mine\nround = 2\nseed = 3\n"),
        ("seed = 3", "seed = 3\nround = 2\n"),
        ('question = "round = 7?"\n', 'question = "round = 7?"\nround = 2\n'),
        ("round=1 # first\n", "round=2 # first\n"),
    ],
)
def test_the_settings_keep_all_else(before, after):
    assert with_setting(before, "round", 2) == after
    assert Settings.parse(after).round == 2


def test_a_list_and_a_switch_of_the_settings_are_changed():
    text = with_setting(
        with_setting("paused = false\n", "annotators", ["you", "me"]), "paused", True
    )
    assert text == 'paused = true\nannotators = ["you", "me"]\n'
    assert Settings.parse(text) == Settings(annotators=("you", "me"), paused=True)
    assert Settings.parse(Settings(paused=True).dump()) == Settings(paused=True)


def test_settings_that_cannot_be_changed_by_a_line_are_refused():
    with pytest.raises(BadInput):
        with_setting('question = """\nround = 1\n"""\nround = 1', "round", 2)


@pytest.fixture
def trained(hub, repo_id) -> Project:
    """A project with labels, a model of round 1, and a vote on each of its eval prompts."""
    prompts = [Prompt.of(f"A title about {n} things") for n in range(10)]
    settings = replace(Settings(), base_model="me/base", test=0.1, eval=0.3)
    project = importing.start_project(repo_id, prompts, settings)
    blind = [p for p in project.prompts if p.split == "eval"]
    rows = [
        Candidate.of(p.id, f"{name} {p.text}") for p in project.prompts for name in "ab"
        if p.split != "eval"
    ]  # fmt: skip
    answers = [
        Candidate.of(p.id, f"{repo} {p.text}", model=repo, revision="a" * 40)
        for p in blind
        for repo in ("me/base", project.model_repo)
    ]
    labels = [event(pair, chosen=pair.a) for pair in pairs_of(rows)]
    votes = [event(pair, chosen=pair.a) for pair in pairs_of(answers)]
    files = {
        "candidates/a.jsonl": ledger.jsonl([*rows, *answers]),
        "labels/a.jsonl": ledger.jsonl(labels),
        "evaluations/a.jsonl": ledger.jsonl(votes),
    }
    client.commit(repo_id, "dataset", files, "Label and vote")
    client.create(project.model_repo, "model")
    facts = {"run.json": "{}", "verdict.json": "{}"}
    sha = client.commit(project.model_repo, "model", facts, "Train")
    client.tag(project.model_repo, "model", "round-1", sha)
    palate("export", repo_id)
    return Project.load(repo_id)


def following(project: Project) -> str:
    return next(step.command for step in steps.steps(project) if not step.done)


def test_the_loop_goes_round(trained):
    assert all(step.done for step in steps.steps(trained))
    assert f"next round: palate round {trained.id}" in palate("status", trained.id).stdout
    assert writer_of(trained) == "me/base"
    run = palate("round", trained.id)
    assert run.returncode == 0, run.stderr
    assert f"{trained.id} is in round 2" in run.stdout
    assert f"next: palate candidates {trained.id}" in run.stdout
    project = Project.load(trained.id)
    assert project.settings == replace(trained.settings, round=2)
    assert writer_of(project) == f"{project.model_repo}@round-1"
    done = {step.name for step in steps.steps(project) if step.done}
    assert done == {"prompts", "preferences"}


def test_a_round_without_a_model_is_not_left(trained):
    assert palate("round", trained.id).returncode == 0
    run = palate("round", trained.id)
    assert run.returncode == 2
    assert "Round 2" in run.stderr
    assert f"Next: palate candidates {trained.id}" in run.stderr
    assert Project.load(trained.id).settings.round == 2


def test_a_round_that_is_raised_twice_at_once_is_raised_once(trained):
    def raised(_: int) -> str:
        try:
            return f"round {begin(trained.id)}"
        except UsageError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        one, other = sorted(pool.map(raised, range(2)))
    # a client that finds its very commit made by the other one makes none
    refused = f"Round 2 of {trained.id} has no trained model yet"
    assert one == "round 2" or one.startswith(refused)
    assert other == "round 2"
    assert Project.load(trained.id).settings.round == 2


def test_what_needs_this_rounds_model_names_that_of_the_round_before(trained):
    assert newest_model(trained) == f"{trained.model_repo}@round-1"
    begin(trained.id)
    run = palate("check", trained.id)
    assert run.returncode == 2
    assert f"Round 2 of {trained.id} has no trained model yet" in run.stderr
    assert f"--model {trained.model_repo}@round-1" in run.stderr


def test_each_round_is_judged_on_prompts_that_nobody_voted_on(trained):
    assert len(fresh_eval(trained)) == 3
    palate("round", trained.id)
    project = Project.load(trained.id)
    assert fresh_eval(project) == []
    step = next(s for s in steps.steps(project) if s.name == "completions")
    assert (step.done, step.command) == (
        False,
        f"palate prompts {trained.id} --write 60 --split eval",
    )
    with pytest.raises(UsageError, match="have votes of earlier rounds"):
        eval_prompts(project)
    text = project.settings.dump() + 'aspects = ["helpful", "safe"]\n'
    client.commit(project.id, "dataset", {"palate.toml": text}, "Ask about aspects")
    assert fresh_eval(Project.load(project.id)) == []  # the votes in no aspect were votes on them
    fresh = replace(Prompt.of("Something nobody saw"), split="eval")
    client.commit(project.id, "dataset", {"prompts/z.jsonl": ledger.jsonl([fresh])}, "Add")
    assert eval_prompts(Project.load(project.id)) == [fresh]


def test_only_pairs_of_the_new_round_are_asked(trained):
    palate("round", trained.id)
    asked = [p for p in trained.prompts if p.split != "eval"]
    new = [
        Candidate.of(p.id, f"{name} {p.text}", model=trained.model_repo, revision="b" * 40, round=2)
        for p in asked
        for name in "xy"
    ]
    client.commit(trained.id, "dataset", {"candidates/b.jsonl": ledger.jsonl(new)}, "Write")
    project = Project.load(trained.id)
    queue = queue_of(project)
    queue.add(project.labels)
    best = {e.chosen for e in project.labels}
    for prompt in asked:
        pairs = [pair for pair in queue.all() if pair.prompt_id == prompt.id]
        texts = {text for pair in pairs for text in (pair.a, pair.b)}
        assert len(pairs) == 3
        assert texts - {c.id for c in new} == {c for c in best if c in texts}
        assert len(texts & best) == 1
    judged, total = queue.progress()
    assert judged == len(project.labels) < total
    step = next(s for s in steps.steps(project) if s.name == "candidates")
    assert (step.done, step.facts) == (True, f"{3 * len(asked)}, which form {3 * len(asked)} pairs")
