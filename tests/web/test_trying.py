"""Votes in the wild: what is kept of somebody who tries both models, and no verdict sees it."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
from labelling import ADA, BO, label
from starlette.applications import Starlette
from starlette.testclient import TestClient

from palate.collect import importing
from palate.commands.prompts import prompts as palate_prompts
from palate.core import hub as calls
from palate.core import ledger
from palate.core.errors import PalateError
from palate.core.project import Project, Settings
from palate.core.rounds import offered, wild_wins
from palate.core.schema import Candidate, Model, Prompt
from palate.evaluate.loading import project_verdict
from palate.evaluate.ratings import figures, ratings
from palate.report.status import in_the_wild
from palate.web import forgetting
from palate.web.ballot import gpu
from palate.web.ballot.event_parsing import Rejected
from palate.web.ballot.people import REQUESTS_AT_ONCE, OverBudget
from palate.web.voting.ballot import EvaluateBallot, Try
from palate.web.voting.best import best_of
from palate.web.voting.result import pairs, routes

PROMPT = "A title about lighthouses"


@pytest.fixture
def project(hub, repo_id) -> Project:
    """Three eval prompts with an answer by base and one by tuned."""
    prompts = [Prompt.of(f"Prompt {i}") for i in range(12)]
    project = importing.start_project(repo_id, prompts, Settings(repeats=0.0, eval=0.25))
    rows = [
        Candidate.of(p.id, f"{text} {p.text}", model=model, revision=sha)
        for p in project.prompts
        if p.split == "eval"
        for text, model, sha in (
            ("plain", "me/base", "b" * 40),
            ("fine", project.model_repo, "t" * 40),
        )
    ]
    calls.commit(project.id, "dataset", {"candidates/z.jsonl": ledger.jsonl(rows)}, "Add")
    return Project.load(repo_id)


@pytest.fixture
def ballot(project, tmp_path):
    ballot = EvaluateBallot(project, "key", pause=0.1, memory=tmp_path / "hands.json")
    yield ballot
    ballot.close()


@pytest.fixture(autouse=True)
def writing(monkeypatch):
    """Models that write their own name, a word at a time, with the prompt they were given."""

    def streamed(request, writings, messages, seed):
        for word in ("by", messages[0]["content"]):
            for side, writing in enumerate(writings):
                yield side, f"{word} {writing.repo} "

    monkeypatch.setattr(gpu, "streamed", streamed)


def tried(ballot, prompt: str = PROMPT, *, blind: bool = True) -> Try:
    *pieces, whole = ballot.answers(None, prompt, who="p-1", blind=blind)
    assert [side for side, _ in pieces] == [0, 1, 0, 1]
    return whole


def verdict_of(project_id: str) -> bytes:
    loaded = Project.load(project_id)
    verdict = project_verdict(loaded)
    lists = ratings(loaded.evaluations, loaded.candidates, verdict.base)
    return json.dumps(figures(verdict, lists)).encode()


def test_a_verdict_is_the_same_to_the_byte_with_and_without_votes_in_the_wild(ballot, project):
    ballot.submit(ADA, [label(item) for item in ballot.next(ADA, 2, [])["items"]])
    ballot.publisher.close()
    before, on_page = verdict_of(project.id), ballot.verdict()
    key = ballot.stop(BO)
    for keep in (True, False, True):
        one = tried(ballot, PROMPT if keep else "A secret")
        ballot.choose(key, BO, one.ticket, PROMPT if keep else "A secret", 0, keep=keep)
    assert ballot.verdict() == on_page
    assert ballot.close()
    after = Project.load(project.id)
    assert len(after.read("wild")) == 3
    assert verdict_of(project.id) == before
    assert len(after.evaluations) == 2


def test_a_vote_in_the_wild_names_the_model_and_keeps_the_prompt_only_with_consent(ballot, project):
    key = ballot.stop(ADA)
    chosen = Counter()
    for prompt, keep in ((PROMPT, True), ("Tell nobody", False), ("Nor this", False)):
        one = tried(ballot, prompt)
        better = [m.repo for m in one.sides].index(project.model_repo)
        ballot.choose(key, None, one.ticket, prompt, better, keep=keep)
        chosen[one.sides[better]] += 1
    ballot.close()
    loaded = Project.load(project.id)
    votes = loaded.read("wild")
    assert {(e.purpose, e.via, e.kind) for e in votes} == {("wild", "try blind", "label")}
    assert {e.annotator for e in votes} == {ballot.pseudonym(ADA)}  # whose key it was
    assert wild_wins(votes, [*one.sides]) == chosen + Counter(dict.fromkeys(one.sides, 0))
    assert [p.text for p in offered(loaded)] == [PROMPT]
    kept = "".join(file.read_text() for file in loaded.contents("wild"))
    assert PROMPT in kept
    assert "Tell nobody" not in kept
    assert "by me/base" not in kept  # no answer's text either
    said_to_owner = "\n".join(in_the_wild(loaded))
    assert f"people chose: {project.model_repo} 3 times, me/base 0 times." in said_to_owner
    assert f"1 prompt was offered: palate prompts {project.id} --offered" in said_to_owner


def test_a_prompt_goes_in_only_with_approval(ballot, project, capsys):
    key = ballot.stop(ADA)
    ballot.choose(key, ADA, tried(ballot).ticket, PROMPT, 1, keep=True)
    ballot.close()
    assert PROMPT not in [p.text for p in Project.load(project.id).prompts]
    with pytest.raises(PalateError, match="no terminal to show the prompts on"):
        palate_prompts(project.id, offered=True)
    assert PROMPT not in [p.text for p in Project.load(project.id).prompts]
    palate_prompts(project.id, offered=True, split="train", yes=True)
    (new,) = [p for p in Project.load(project.id).prompts if p.text == PROMPT]
    assert (new.split, new.model) == ("train", None)
    assert "1 prompt that people offered added: 1 train" in capsys.readouterr().out
    with pytest.raises(PalateError, match="Nobody offered a prompt"):
        palate_prompts(project.id, offered=True)


def test_a_choice_needs_a_try_and_counts_once(ballot, project):
    key = ballot.stop(ADA)
    one, other = tried(ballot), tried(ballot, "Another", blind=False)
    flipped = one.ticket[:32] + ("1" if one.ticket[32] == "0" else "0") + one.ticket[33:]
    for ticket, prompt in (
        (other.ticket, PROMPT), (one.ticket, "Another"), (flipped, PROMPT), ("", PROMPT),
        ("\udcff", PROMPT), (one.ticket + "0", PROMPT),
    ):  # fmt: skip
        with pytest.raises(Rejected, match="let both answer again"):
            ballot.choose(key, ADA, ticket, prompt, 0, keep=True)
    for better in (0, 0, 1):  # two clicks, and a change of mind
        ballot.choose(key, ADA, one.ticket, PROMPT, better, keep=True)
    ballot.close()
    (vote,) = Project.load(project.id).read("wild")
    assert vote.chosen == vote.left


def test_a_project_with_aspects_offers_no_best_of_n_by_one_of_them(project):
    aspects = replace(project.settings, aspects=("helpful", "safe"))
    first = replace(project, settings=aspects, aspect="helpful")
    for one in (project, first):
        calls.create(one.reward_repo, "model")
        calls.commit(one.reward_repo, "model", {"run.json": "{}"}, "Train")
    base = Model("me/base", "b" * 40)
    assert best_of(project, base) is not None
    assert best_of(first, base) is None


def test_the_best_of_n_is_a_contestant_where_there_is_a_reward(
    project, ballot, tmp_path, monkeypatch
):
    assert len(ballot.contestants) == 2
    calls.create(project.reward_repo, "model")
    revision = calls.commit(project.reward_repo, "model", {"run.json": "{}"}, "A reward")
    by_reward = [f"best-of-{n}.{'b' * 12}.c" for n in ("x", "8")]
    rows = [Candidate.of(project.prompts[0].id, "best", model=project.reward_repo, revision=r)
            for r in by_reward]  # fmt: skip
    calls.commit(project.id, "dataset", {"candidates/y.jsonl": ledger.jsonl(rows)}, "Best")
    again = EvaluateBallot(Project.load(project.id), "key", pause=0.1)
    best = again.contestants[2]
    assert best.model.revision == f"best-of-8.{'b' * 12}.{revision[:12]}"
    assert (best.n, best.writing.repo, best.reward.repo) == (8, "me/base", project.reward_repo)
    assert pairs(again) == [[0, 1], [0, 2], [1, 2]]
    key = again.stop(ADA)

    def streamed(request, sides, messages, seed):
        yield from ((i, f"{side.n}") for i, side in enumerate(sides))

    monkeypatch.setattr("palate.web.voting.ballot.streamed", streamed)
    *_, one = again.answers(None, PROMPT, who="p-1", blind=False, pair=[1, 2])
    assert (one.sides, one.texts) == ([again.contestants[1].model, best.model], ["1", "8"])
    other = one.ticket[:32] + "02" + one.ticket[34:]
    with pytest.raises(Rejected, match="let both answer again"):
        again.choose(key, ADA, other, PROMPT, 1, keep=False)
    again.choose(key, ADA, one.ticket, PROMPT, 1, keep=False)
    again.close()
    (vote,) = Project.load(project.id).read("wild")
    assert wild_wins([vote], one.sides) == {one.sides[0]: 0, best.model: 1}


def test_one_person_cannot_fill_the_ledger(ballot):
    key = ballot.stop(ADA)
    long = "x" * 8000

    def flood() -> None:
        for _ in range(100):
            ballot.choose(key, ADA, tried(ballot, long).ticket, long, 0, keep=True)

    with pytest.raises(PalateError, match="You sent much at once"):
        flood()


def test_so_many_may_try_at_once_and_who_leaves_makes_room(ballot):
    open_ones = [ballot.answers(None, PROMPT, who=f"p-{i}", blind=True) for i in range(3)]
    for one in open_ones:
        next(one)
    with pytest.raises(PalateError, match="Others try the models now"):
        next(ballot.answers(None, PROMPT, who="p-3", blind=True))
    open_ones[1].close()
    tried(ballot)


def test_one_person_has_one_try_at_once(ballot, monkeypatch):
    monkeypatch.setattr("palate.web.voting.ballot.STOPPING_SECONDS", 0.01)
    first = ballot.answers(None, PROMPT, who="p-1", blind=True)
    next(first)
    with pytest.raises(PalateError, match="Your last try is not over yet"):
        next(ballot.answers(None, PROMPT, who="p-1", blind=True))
    next(ballot.answers(None, PROMPT, who="p-2", blind=True))
    first.close()
    tried(ballot)


def test_a_try_after_one_that_was_stopped_waits_for_its_end(ballot):
    first = ballot.answers(None, PROMPT, who="p-1", blind=True)
    next(first)
    with ThreadPoolExecutor() as threads:
        second = threads.submit(tried, ballot)
        while not ballot._waiting:
            assert not second.done()
        with pytest.raises(PalateError, match="Your last try is not over yet"):
            next(ballot.answers(None, PROMPT, who="p-1", blind=True))  # the third
        first.close()
        assert second.result().texts[0].startswith("by ")


def test_tries_count_among_the_requests_of_a_person(ballot, monkeypatch):
    """As many as are allowed are under way, by name and by key; nobody else has to wait."""
    monkeypatch.setattr(gpu, "missing", lambda: None)
    key = ballot.stop(ADA)

    def ask(path: str, name: str | None) -> str:
        headers = {"x-annotator": name} if name else {}
        return page.post(f"{path}?key={key}", json={"prompt": PROMPT}, headers=headers).text

    with TestClient(Starlette(routes=routes(ballot))) as page:
        with ExitStack() as under_way:
            for who in [ADA.subject, key] * REQUESTS_AT_ONCE:
                under_way.enter_context(ballot.budgets.request(who))
            for path in ("/try/answer", "/try/choose"):
                for name in (ADA.name, None):
                    with pytest.raises(OverBudget, match="You sent many requests at once"):
                        ask(path, name)
            assert '"ticket"' in ask("/try/answer", BO.name)
        assert '"ticket"' in ask("/try/answer", None)


def test_a_forgotten_person_leaves_no_vote_in_the_wild(ballot, project):
    ballot.submit(BO, [label(ballot.next(BO, 1, [])["items"][0])])
    for person in (ADA, BO):
        ballot.choose(ballot.stop(person), person, tried(ballot).ticket, PROMPT, 0, keep=True)
    ballot.close()
    who = forgetting.find(Project.load(project.id), ballot.pseudonym(ADA))
    assert forgetting.belongings(Project.load(project.id), who).votes == 1
    forgetting.forget(project.id, who)
    left = Project.load(project.id)
    assert [e.annotator for e in left.read("wild")] == [ballot.pseudonym(BO)]
    assert [e.annotator for e in left.evaluations] == [ballot.pseudonym(BO)]
    assert calls.exists(project.id, "dataset")
