"""judge.py against a server that speaks OpenAI's protocol, and with a model that runs here."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from openai_server import OpenAIServer
from rounds import rounds
from samples import event
from verdicts import events

from palate.core import hub as client
from palate.core import ledger
from palate.core.project import Project
from palate.core.schema import Candidate, Model, Pair, model_of
from palate.evaluate.loading import pairs_to_compare


class Server(OpenAIServer):
    """Prefers the longer answer, or the one with `favourite` in it.

    `mute` makes it talk past, `slow` makes it think before it answers.
    """

    mute = slow = False
    favourite = ""

    def answer(self, body):
        text = body["messages"][0]["content"]
        first, second = (
            text.split(f"<answer-{x}>\n")[1].split(f"\n</answer-{x}>")[0] for x in "ab"
        )
        likes = self.favourite
        word = "A" if (likes in first, len(first)) > (likes in second, len(second)) else "B"
        if self.slow and body["max_tokens"] < 100:
            return "Let me think. A is", "length"
        return ("I like both" if self.mute else word), "stop"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.fixture
def compared(project, base_model):
    """Ten eval prompts with two pairs each: tuned is longer, and people agree three times in 4."""
    base, tuned = Model(base_model, "b" * 40), Model(project.model_repo, "t" * 40)
    blind = [p for p in project.prompts if p.split == "eval"]
    made, rows = events("wWlL" * 5, base, tuned, prompts=10)
    new = {}
    for c in rows:
        prompt = blind[int(c.prompt_id[1:])]
        words = "tuned, and longer" if c.model == tuned.repo else "base"
        text = f"{words} {c.text}"
        new[c.id] = Candidate.of(prompt.id, text, model=c.model, revision=c.revision)
    votes = []
    for e in made:
        left, right = new[e.left], new[e.right]
        chosen = new[e.chosen].id if e.chosen else None
        pair = Pair.of(left, right)
        votes.append(
            replace(e, left=left.id, right=right.id, chosen=chosen, pair_id=pair.id,
                    prompt_id=pair.prompt_id)
        )  # fmt: skip
    files = {
        "candidates/z.jsonl": ledger.jsonl(new.values()),
        "evaluations/z.jsonl": ledger.jsonl(votes),
    }
    client.commit(project.id, "dataset", files, "Compare")
    client.create(project.model_repo, "model")
    return Project.load(project.id)


def judge_of(repo: str) -> dict:
    sha, _ = client.describe(repo, "model")
    return json.loads(client.fetch(repo, "model", sha, ["judge.json"])[0].read_text("utf-8"))


def test_a_judge_votes_in_both_orders_and_stands_beside_the_people(compared, jobs, server):
    said = jobs("judge", compared.id, "--model", "judge", "--engine", server.url)
    assert "judge: 20 of 20 pairs" not in said
    assert "20 of 20 pairs to judge" in said
    assert len(server.asked) == 40
    assert all(a["model"] == "judge" and a["temperature"] == 0 for a in server.asked)
    assert not any(compared.model_repo in json.dumps(a) for a in server.asked)
    found = judge_of(compared.model_repo)
    assert (found["wins"], found["losses"], found["inconsistent"]) == (20, 0, 0)
    assert (found["agreement"]["hits"], found["agreement"]["n"]) == (10, 20)
    assert found["agreement"]["kappa"] == pytest.approx(0)  # it always says the same
    assert "It agrees with people's votes in 10 of 20 on 10 prompts (50%, " in said


def test_a_judge_that_breaks_off_continues(compared, jobs, server):
    server.fails_from = 20
    said = jobs("judge", compared.id, "--model", "judge", "--engine", server.url, code=1)
    assert "does not answer" in said
    assert "run the same command again to continue" in said
    assert "Traceback" not in said
    server.fails_from, before = float("inf"), len(server.asked)
    said = jobs("judge", compared.id, "--model", "judge", "--engine", server.url)
    assert "10 of 20 pairs to judge" in said
    assert len(server.asked) - before == 20


def test_a_server_gets_the_parameters_that_it_takes(compared, jobs, server):
    server.refused = ("max_tokens", "temperature")
    jobs("judge", compared.id, "--model", "judge", "--engine", server.url, "--pairs", "2")
    assert [a["max_completion_tokens"] for a in server.asked] == [6] * 4
    assert not any("max_tokens" in a or "temperature" in a for a in server.asked)


def test_an_unreadable_reply_is_asked_again_with_more_room(compared, jobs, server):
    server.slow = True
    said = jobs("judge", compared.id, "--model", "judge", "--engine", server.url, "--pairs", "2")
    assert [a["max_tokens"] for a in server.asked] == [6] * 4 + [512] * 4
    assert "unreadable" not in said
    assert judge_of(compared.model_repo)["wins"] == 2


def test_what_is_no_judge_is_not_counted(compared, jobs, server):
    server.mute = True
    said = jobs("judge", compared.id, "--model", "judge", "--engine", server.url, code=1)
    assert "40 of 40 replies of judge at" in said
    assert "judge.json" not in client.describe(compared.model_repo, "model")[1]
    said = jobs("judge", compared.id, "--model", "nobody:a/judge", code=2)
    assert "There is no Inference Provider 'nobody'; expected one of auto, " in said


def test_of_several_rounds_only_base_and_tuned_are_judged(hub, repo_id, jobs, server):
    project, (base, _, tuned) = rounds(repo_id)
    text = {c.id: c for c in project.candidates}
    pairs = pairs_to_compare(project).pairs
    votes = [
        event(p, chosen=next(id for id in (p.a, p.b) if model_of(text[id]) == tuned)) for p in pairs
    ]
    client.commit(repo_id, "dataset", {"evaluations/z.jsonl": ledger.jsonl(votes)}, "Vote")
    client.create(project.model_repo, "model")
    server.favourite = "round 3"
    said = jobs("judge", repo_id, "--model", "judge", "--engine", server.url)
    assert "3 of 3 pairs to judge" in said
    assert not any("round 2" in json.dumps(a) for a in server.asked)
    found = judge_of(project.model_repo)
    assert (found["wins"], found["losses"], found["inconsistent"]) == (3, 0, 0)
    assert (found["agreement"]["hits"], found["agreement"]["n"]) == (3, 3)
    assert (found["base"], found["tuned"]) == (vars(base), vars(tuned))


@pytest.mark.slow
def test_a_model_that_runs_here_is_asked_too(compared, base_model, jobs):
    # it writes titles, whatever it is asked
    said = jobs("judge", compared.id, "--model", base_model, "--pairs", "4", code=1)
    assert "4 of 4 pairs to judge" in said
    assert "so it cannot judge. Choose a larger" in said
