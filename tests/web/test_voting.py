"""The blind comparison: what is shown, who may see the result, and when voting is over."""

import re
import uuid
from contextlib import closing
from dataclasses import replace

import pytest
from huggingface_hub.utils import httpx

from palate.collect import importing
from palate.core import hub as calls
from palate.core import ledger
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Event, Prompt
from palate.web.ballot.people import Person
from palate.web.serving import Space
from palate.web.voting.ballot import STOPPED, EvaluateBallot
from palate.web.voting.result import page

ADA, BO = Person("local:ada", "Ada"), Person("local:bo", "Bo")


@pytest.fixture
def project(hub, repo_id) -> Project:
    """Three eval prompts, on each of which base and tuned wrote the same once and not once."""
    prompts = [Prompt.of(f"Prompt {i}") for i in range(12)]
    importing.start_project(repo_id, prompts, Settings(repeats=0.0, eval=0.25))
    project = Project.load(repo_id)
    rows = [
        Candidate.of(p.id, text.format(p.text), model=model, revision=sha)
        for p in project.prompts
        if p.split == "eval"
        for texts in (("same", "same"), ("plain {}", "<b>fine</b> {}"))
        for text, model, sha in zip(
            texts, ("me/base", project.model_repo), ("b" * 40, "t" * 40), strict=True
        )
    ]
    calls.commit(project.id, "dataset", {"candidates/z.jsonl": ledger.jsonl(rows)}, "Add")
    return Project.load(repo_id)


@pytest.fixture
def ballot(project, tmp_path):
    ballot = EvaluateBallot(project, "key", pause=0.1, memory=tmp_path / "hands.json")
    yield ballot
    ballot.close()


def said(item: dict, side: str = "left") -> dict:
    return {
        "event_id": str(uuid.uuid4()), "assignment_id": item["id"], "kind": "label",
        "choice": side, "strength": 3, "milliseconds": 900,
    }  # fmt: skip


def test_blind_pairs_name_no_model_and_identical_texts_are_not_asked(ballot, project):
    page = ballot.next(ADA, 20, [])
    assert page["total"] == 3
    assert not any(w in str(page) for w in ("me/base", "-dpo", "b" * 40, "t" * 40))
    assert ballot.submit(ADA, [said(page["items"][0])])[0].state == "waiting"
    v = ballot.verdict()
    assert (v.votes, v.identical) == (1, 3)
    assert ballot.close()
    assert len(Project.load(project.id).evaluations) == 1


def test_people_who_have_seen_the_result_cannot_vote(ballot, project, tmp_path):
    first, second = ballot.next(ADA, 2, [])["items"]
    early = said(first)
    ballot.submit(ADA, [early])
    assert not ballot.opens("")
    key = ballot.stop(ADA)
    assert ballot.opens(key)
    after = ballot.next(ADA, 5, [])
    assert (after["items"], after["total"], after["done"]) == ([], 1, 1)
    late = ballot.submit(ADA, [said(second), early])
    assert {r.state for r in late if r.event_id == early["event_id"]} <= {"waiting", "published"}
    (refused,) = [r for r in late if r.state == "rejected"]
    assert refused.reason == STOPPED
    assert len(ballot.next(BO, 5, [])["items"]) == 3  # others go on

    again = EvaluateBallot(project, "key", pause=0.1, memory=tmp_path / "hands.json")
    assert again.opens(key)  # a restart does not forget who has looked
    assert again.next(ADA, 5, [])["items"] == []
    assert again.close()


def test_a_vote_in_an_aspect_of_before_leaves_its_pair_to_vote_on(ballot, project):
    before = [replace(e, event_id=f"{e.event_id}-k", aspect="kind") for e in voted_on(ballot)]
    text = project.settings.dump() + 'aspects = ["helpful", "safe"]\n'
    files = {"palate.toml": text, "evaluations/kind.jsonl": ledger.jsonl(before)}
    calls.commit(project.id, "dataset", files, "Ask about aspects")
    with closing(EvaluateBallot(Project.load(project.id), "key", pause=0.1)) as asked:
        assert asked.unvoted() == 3
        item = asked.next(BO, 1, [])["items"][0]
        answers = [said(item) | {"aspect": a} for a in ("safe", "helpful")]
        asked.submit(BO, answers[:1])
        assert asked.unvoted() == 3
        asked.submit(BO, answers[1:])
        assert asked.unvoted() == 2


def voted_on(ballot: EvaluateBallot) -> list[Event]:
    """Return a vote on each pair, of which none is published."""
    ballot.submit(ADA, [said(item) for item in ballot.next(ADA, 3, [])["items"]])
    return ballot.events()


def test_only_ones_own_key_opens_the_result(ballot):
    key = ballot.stop(ADA)
    assert not ballot.opens(key[:-1] + "0" if key[-1] != "0" else key[:-1] + "1")
    assert not ballot.opens("é")
    assert ballot.opens(ballot.owner_key())
    assert not ballot.opens(ballot.result_key(ballot.pseudonym(BO)))  # Bo has not stopped


def test_the_verdict_page_opens_only_after_the_last_vote_and_is_harmless(
    project, space_python, tmp_path
):
    env = {"PALATE_HOME": str(tmp_path), "PALATE_PUBLISH_SECONDS": "0.1"}
    ada = {"x-annotator": "Ada"}
    with (
        space_python.instead(),
        Space("evaluate", project.id, env=env, log=tmp_path / "log") as space,
        httpx.Client(base_url=space.url, timeout=60) as client,
    ):
        for path in ("/verdict", "/verdict.json", "/verdict?key=x"):
            answer = client.get(path)
            assert answer.status_code == 403
            assert "after you have stopped voting" in answer.text
        assert client.post("/api/stop", json={}).status_code == 401
        empty = httpx.get(space.owner_url)
        assert "Nobody has voted yet." in empty.text
        assert "If the tuned model is preferred 3 times in 4, half" in empty.text
        items = client.post("/api/next", json={"n": 9}, headers=ada).json()["items"]
        events = [said(item, "left" if "fine" in item["left"] else "right") for item in items]
        client.post("/api/events", json={"events": events}, headers=ada)
        link = client.post("/api/stop", json={}, headers=ada).json()["link"]
        page = client.get(link)
        assert page.status_code == 200
        assert "Of the 3 votes by 1 person so far, it won 100%" in page.text
        assert "votes on 3 prompts say too little about other prompts" in page.text
        assert "One person voted" in page.text
        assert "more votes" not in page.text
        assert "me/base at bbbbbbbb" in page.text
        assert "<b>fine</b>" in page.text  # as Markdown shows it
        figures = client.get(link.replace("/verdict", "/verdict.json")).json()
        assert (figures["wins"], figures["losses"]) == (3, 0)


def test_looking_with_the_owners_key_ends_the_voting_of_that_browser(
    project, space_python, tmp_path
):
    env = {"PALATE_HOME": str(tmp_path), "PALATE_PUBLISH_SECONDS": "0.1"}
    ada, bo = {"x-annotator": "Ada"}, {"x-annotator": "Bo"}
    with (
        space_python.instead(),
        Space("evaluate", project.id, env=env, log=tmp_path / "log") as space,
        httpx.Client(base_url=space.url, timeout=60) as client,
    ):
        (item, *_) = client.post("/api/next", json={"n": 9}, headers=ada).json()["items"]
        assert "owner's link, so this browser" not in client.get("/verdict?key=x").text
        assert "Nobody has voted yet" in client.get(space.owner_url).text
        event = {"events": [said(item)]}
        (late,) = client.post("/api/events", json=event, headers=ada).json()["results"]
        assert (late["state"], late["reason"]) == ("rejected", STOPPED)
        assert client.post("/api/next", json={"n": 9}, headers=ada).json()["items"] == []
        others = httpx.post(f"{space.url}/api/next", json={"n": 9}, headers=bo).json()
        assert len(others["items"]) == 3


@pytest.mark.parametrize("text", ["", "{", "null", "{}", "[" * 100_000, "\0" * 50], ids=range(6))
def test_a_damaged_memory_costs_no_more_than_itself(project, tmp_path, text):
    memory = tmp_path / "hands.json"
    for file in (memory, memory.with_suffix(f".{'t' * 12}.stopped")):
        file.write_text(text)
    with closing(EvaluateBallot(project, "key", pause=0.1, memory=memory)) as ballot:
        assert len(ballot.next(ADA, 5, [])["items"]) == 3
        assert not ballot.over(ballot.pseudonym(ADA))


def test_a_full_disk_stops_nobody(project, tmp_path):
    memory = tmp_path / "no-such-folder" / "hands.json"  # nothing can be written there
    with closing(EvaluateBallot(project, "key", pause=0.1, memory=memory)) as ballot:
        assert len(ballot.next(ADA, 5, [])["items"]) == 3
        assert ballot.opens(ballot.stop(ADA))


def test_a_vote_in_the_first_aspect_alone_counts_nowhere(project):
    settings = replace(project.settings, aspects=("helpful", "safe"))
    calls.commit(project.id, "dataset", {"palate.toml": settings.dump()}, "Ask about aspects")
    with closing(EvaluateBallot(Project.load(project.id), "key", pause=0.1)) as ballot:
        item = ballot.next(ADA, 1, [])["items"][0]
        (receipt,) = ballot.submit(ADA, [said(item) | {"aspect": "helpful"}])
        assert receipt.state == "waiting"
        assert (ballot.verdict(), ballot.next(ADA, 1, [])["done"]) == (None, 0)


def test_the_verdict_page_has_a_row_for_each_aspect(project):
    settings = replace(project.settings, aspects=("helpful", "safe"))
    calls.commit(project.id, "dataset", {"palate.toml": settings.dump()}, "Aspects")
    with closing(EvaluateBallot(Project.load(project.id), "key", pause=0.1)) as ballot:
        item = ballot.next(ADA, 1, [])["items"][0]
        ballot.submit(ADA, [said(item, "right") | {"aspect": "safe"}])
        ballot.submit(ADA, [said(item) | {"aspect": "helpful"}])
        html = page(ballot, "?key=k").body.decode()
        assert ballot.next(ADA, 1, [])["done"] == 1
    rates = re.findall(r"<td>(helpful|safe)</td><td>(\d+)</td><td>(\d+)%</td>", html)
    assert [(name, n) for name, n, _ in rates] == [("helpful", "1"), ("safe", "1")]
    assert {rate for *_, rate in rates} == {"0", "100"}
    text = re.sub(r"<[^>]*>", "", html)
    assert "helpful: Not known yet." in text
    assert "Below, all is about the aspect helpful." in html
