"""A judge answers train pairs; DPO learns them as far as it agrees with people, and nobody else."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from dpo_runs import record
from openai_server import OpenAIServer

from palate.audit import rows as audit_rows
from palate.core import hub as client
from palate.core import ledger
from palate.core.project import SETTINGS_FILE, Project
from palate.core.rounds import in_aspect, question_files
from palate.label import agreement, preferences
from palate.label.preferences import judged
from palate.report.export import export
from palate.report.judge_labels import events_of, train_pairs
from palate.web.labelling.ballot import queue_of

FAST = ("--learning-rate", "1e-3", "--epochs", "2")


class Server(OpenAIServer):
    """Prefers a title with a question mark, as the person of `labelled` does."""

    always = ""
    contrary = False

    def answer(self, body):
        text = body["messages"][0]["content"]
        first, second = (
            text.split(f"<answer-{x}>\n")[1].split(f"\n</answer-{x}>")[0] for x in "ab"
        )
        better = (first.endswith("?"), first) > (second.endswith("?"), second)
        return self.always or ("A" if better != self.contrary else "B"), "stop"


class Careless(Server):
    """Is wrong about every fifth pair, in both orders alike."""

    def answer(self, body):
        text = body["messages"][0]["content"]
        sides = sorted(text.split(f"<answer-{x}>\n")[1].split("\n</")[0] for x in "ab")
        reply, reason = super().answer(body)
        wrong = zlib.crc32("".join(sides).encode()) % 5 == 0
        return ("AB"[reply == "A"] if wrong else reply), reason


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.fixture
def partly(labelled) -> Project:
    """The project with labels on 16 of its 24 train prompts alone."""
    train = sorted(p.id for p in labelled.prompts if p.split == "train")
    (path,) = labelled.paths("labels")
    kept = [e for e in labelled.labels if e.prompt_id not in train[16:]]
    client.commit(labelled.id, "dataset", {path: ledger.jsonl(kept)}, "Fewer labels")
    return Project.load(labelled.id)


def ask(jobs, project: Project, server: Server, *flags: str, code: int = 0) -> str:
    words = ("--model", "judge", "--engine", server.url, "--labels", *flags)
    return " ".join(jobs("judge", project.id, *words, code=code).split())


def test_a_judge_answers_in_files_of_its_own_and_is_nobody(partly, jobs, server):
    assert "0 preferences" in ask(jobs, partly, server, "--pairs", "10")
    assert len(server.asked) == 20  # people's pairs come first
    said = ask(jobs, partly, server)
    assert "62 of 62 pairs to judge, each in both orders" in said
    assert "answered 72 train pairs: 0 ties, 24 preferences on pairs that no person judged." in said
    assert "agrees with people on 48 of 48 on 16 prompts (100%," in said
    assert "No pair was shown to a person twice" in said
    after = Project.load(partly.id)
    answers = judged(after)
    assert {(e.via, e.kind, e.purpose) for e in answers} == {("judge", "label", "ask")}
    assert len(answers) == 72
    test_prompts = {p.id for p in after.prompts if p.split != "train"}
    assert not test_prompts & {e.prompt_id for e in answers}
    # people, labels and votes are what they were before
    assert after.labels == partly.labels
    assert after.preferences == partly.preferences
    assert after.evaluations == ()
    before, now = (agreement.report(p.labels, p.candidates) for p in (partly, after))
    assert now.to_json() == before.to_json()
    assert audit_rows.of_project(after).total == audit_rows.of_project(partly).total
    assert "has answered every train pair. Nothing is asked again." in ask(jobs, partly, server)
    assert len(server.asked) == 144
    assert len(judged(Project.load(partly.id))) == 72


def test_wherever_a_judge_s_event_is_it_counts_for_nobody(labelled):
    (path,) = labelled.paths("labels")
    alien = replace(labelled.labels[0], event_id="a-judge-s", annotator="judge", via="judge")
    rows = ledger.jsonl([*labelled.labels, alien])
    client.commit(labelled.id, "dataset", {path: rows}, "A judge among people")
    after = Project.load(labelled.id)
    assert len(after.read("labels")) == len(labelled.labels) + 1
    assert after.labels == labelled.labels


def test_dpo_trains_on_its_answers_weighted_and_tests_on_people_alone(partly, jobs, server):
    client.commit(partly.id, "dataset", {}, "Export", delete=partly.paths("preferences"))
    server.contrary = False
    ask(jobs, partly, server)
    export(partly.id)
    said = " ".join(jobs("dpo", partly.id, *FAST, "--ai").split())
    assert "24 of 72 training rows are answers of judge at" in said
    assert "each with weight 1 (twice its agreement, less one); a person's has 1." in said
    run = record(partly.model_repo)
    assert (run["data"]["ai"], run["data"]["train"], run["data"]["test"]) == (24, 72, 18)
    assert (run["data"]["annotators"], run["data"]["labels"]) == (1, 66)
    assert run["arguments"]["ai_weight"] == 1.0
    assert run["data"]["judge_agreement"]["n"] == 48
    card = client.fetch(partly.model_repo, "model", "main", ["README.md"])[0].read_text("utf-8")
    assert "24 training rows of 72 are answers of a language model" in card
    assert "Its answers are in no test row and no vote." in card
    plain = jobs("dpo", partly.id, *FAST)
    assert "judge" not in plain
    assert record(partly.model_repo)["data"]["train"] == 48


def test_a_judge_that_always_says_a_is_refused_and_nothing_is_kept(partly, jobs, server):
    server.always = "A"
    said = ask(jobs, partly, server, "--pairs", "12", code=1)
    assert "said A in both orders on 12 of 12 pairs: it follows the order, not the answers." in said
    assert Project.load(partly.id).revision == partly.revision
    server.always = "tie"
    said = ask(jobs, partly, server, "--pairs", "11", code=1)
    assert "said A in both orders" in said or "called all 11 pairs a tie" in said


def test_what_is_not_above_chance_or_hardly_compared_is_not_used(partly, jobs, server):
    said = jobs("dpo", partly.id, "--ai", code=2)
    assert f"No judge has answered train pairs of {partly.id} yet." in said
    ask(jobs, partly, server, "--pairs", "10")
    said = jobs("dpo", partly.id, "--ai", code=2)
    assert "--ai needs 20 answers of people to compare with" in said
    said = jobs("dpo", partly.id, "--ai-weight", "0.5", code=2)
    assert "--ai-weight goes with --ai" in said
    said = jobs("dpo", partly.id, "--ai", "--loss", "orpo", code=2)
    assert "the loss orpo takes none" in said
    said = jobs("dpo", partly.id, "--ai", "--recipe", "search", code=2)
    assert "Leave --recipe out with --ai" in said


def test_a_contrary_judge_is_refused(partly, jobs, server):
    server.contrary = True
    assert "agrees with people on 0 of 48" in ask(jobs, partly, server)
    said = jobs("dpo", partly.id, "--ai", code=2)
    assert "not shown to be more than chance" in said


def test_a_label_is_what_both_orders_name_and_anything_else_is_a_tie(labelled):
    pairs = train_pairs(labelled)[:4]
    answers = dict(
        zip((p.id for p in pairs), (["A", "B"], ["B", "A"], ["A", "A"], ["tie", "A"]), strict=True)
    )
    events = events_of("judge", pairs, answers, 1, "2026-01-02T03:04:05.678Z")
    assert [e.kind for e in events] == ["label", "label", "tie", "tie"]
    assert [e.chosen for e in events] == [pairs[0].b, pairs[1].a, None, None]
    assert all(json.loads(ledger.jsonl([e]))["via"] == "judge" for e in events)


def test_a_panel_is_compared_with_people_and_trains_with_each_judge_s_weight(partly, jobs, server):
    ask(jobs, partly, server)
    with Careless() as careless:
        said = ask(jobs, partly, careless)
        assert "Two of the 2 judges, on a pair that both decided, agree on" in said
        assert "Together, with weights judge at " in said
        assert 'To have people asked about these first, set strategy = "disputed"' in said
    assert "so --ai adds no training row." in jobs("dpo", partly.id, *FAST, "--ai")
    export(partly.id)  # without what the removed labels said
    said = " ".join(jobs("dpo", partly.id, *FAST, "--ai").split())
    assert "training rows are answers of a panel of 2 judges, with weights from" in said
    run = record(partly.model_repo)
    assert run["data"]["ai"] > 0
    assert len(run["data"]["judges"]) == 2
    assert run["data"]["judges_agree"]["n"] == 72
    assert run["arguments"]["ai_weight"] is None
    card = client.fetch(partly.model_repo, "model", "main", ["README.md"])[0].read_text("utf-8")
    assert "of a panel of 2 language models, each with the mean of the judges' weights" in card
    assert "Two judges agree on" in card


def test_people_are_asked_first_where_judges_differ_and_see_no_judge(partly, jobs, server):
    settings = replace(partly.settings, strategy="disputed").dump()
    client.commit(partly.id, "dataset", {SETTINGS_FILE: settings}, "Disputed")
    before = question_files(client.hashes(partly.id, "dataset"))
    ask(jobs, partly, server)
    with Careless() as careless:
        assert "strategy =" not in ask(jobs, partly, careless)
    after = Project.load(partly.id)
    assert len(question_files(client.hashes(partly.id, "dataset"))) == len(before) + 2
    different = preferences.disputes(judged(after))
    queue = queue_of(after)
    queue.add(after.labels)
    asked = queue.next("p-2", 4, (), 0.0)
    assert asked
    assert {q.pair.id for q in asked} <= different.keys()
    assert {q.purpose for q in asked} == {"ask"}


def test_in_a_project_with_aspects_a_judge_answers_in_one(partly, jobs, server):
    ask(jobs, partly, server)
    with Careless() as careless:
        ask(jobs, partly, careless)
    settings = replace(partly.settings, strategy="disputed", aspects=("helpful", "safe"))
    client.commit(partly.id, "dataset", {SETTINGS_FILE: settings.dump()}, "Aspects")
    after = Project.load(partly.id)
    different = preferences.disputes(judged(after))
    asked = queue_of(after).next("p-2", 4, (), 0.0)
    assert not {q.pair.id for q in asked} <= different.keys()
    n = len(server.asked)
    for flags in (["--labels"], ["--principles"], []):
        words = ("--model", "judge", "--engine", server.url, *flags)
        said = " ".join(jobs("judge", partly.id, *words, code=2).split())
        assert f"{partly.id} has the aspects helpful, safe. Name one, such as: --aspect" in said
    assert len(server.asked) == n
    (path,) = after.paths("labels")
    events = [
        replace(e, event_id=f"{e.event_id}-{a}", aspect=a)
        for e in partly.labels
        for a in ("helpful", "safe")
    ]
    client.commit(partly.id, "dataset", {path: ledger.jsonl(events)}, "Labels in both")
    export(partly.id)
    said = ask(jobs, partly, server, "--aspect", "safe", "--pairs", "60")
    assert "agrees with people on 48 of 48" in said
    assert f"Next: palate train {partly.id} --ai --aspect safe" in said
    question = server.asked[-1]["messages"][0]["content"]
    assert "Judge this aspect alone: safe." in question
    fresh = Project.load(partly.id)
    assert (len(judged(in_aspect(fresh, "safe"))), judged(fresh)) == (60, [])
    said = " ".join(jobs("dpo", partly.id, *FAST, "--ai", code=2).split())
    assert "Name one, such as: --aspect safe" in said
    said = " ".join(jobs("dpo", partly.id, *FAST, "--ai", "--aspect", "helpful", code=2).split())
    assert "No judge has answered train pairs" in said
    said = " ".join(jobs("dpo", partly.id, *FAST, "--ai", "--aspect", "safe").split())
    assert "12 of 60 training rows are answers of judge at" in said
