"""Labels that the reward doubts are asked about once more, blind, and change nothing."""

import numpy as np
import pytest

from palate.audit import findings, measure
from palate.audit.rows import of_project
from palate.collect import importing
from palate.core import hub as client
from palate.core import ledger
from palate.core.errors import BadInput
from palate.core.project import REWARD_FILE, Project, Settings
from palate.core.rounds import question_files
from palate.core.schema import Candidate, Event, Pair, Preference, Prompt, pairs_of
from palate.label import preferences
from palate.label.agreement import report
from palate.label.assignment import REPEAT_GAP, Queue
from palate.label.strategies import STRATEGIES, Doubt, RewardNotes
from palate.reward import notes

PROMPTS = [Prompt.of(f"Idea {n}") for n in range(30)]
CANDIDATES = [Candidate.of(p.id, f"{p.text}, title {k}") for p in PROMPTS for k in (0, 1)]
PAIRS = pairs_of(CANDIDATES)


def event(pair: Pair, number: int, *, purpose="ask", chosen=None, annotator="p-1") -> Event:
    return Event(
        event_id=f"{purpose}-{pair.id}-{annotator}", kind="label", pair_id=pair.id,
        prompt_id=pair.prompt_id, left=pair.a, right=pair.b, chosen=chosen or pair.a,
        strength=None, annotator=annotator, milliseconds=900,
        time=f"2026-01-02T03:{number // 60:02}:{number % 60:02}.000Z", round=1, via="ballot",
        purpose=purpose,
    )  # fmt: skip


def queue(doubted, repeats=0.0) -> Queue:
    return Queue(PAIRS, STRATEGIES["exhaustive"](), repeats=repeats, doubted=doubted)


def test_the_person_who_labelled_it_is_asked_once_more_and_nobody_else():
    pair = PAIRS[0]
    made = queue([("p-1", pair.id)])
    made.add([event(p, n) for n, p in enumerate(PAIRS[: REPEAT_GAP + 1])])
    purposes = {q.pair.id: q.purpose for q in made.next("p-1", 60, (), 0.0)}
    assert purposes[pair.id] == "second"
    assert set(purposes.values()) == {"ask", "second"}
    assert pair.id not in {q.pair.id for q in made.next("p-2", 60, (), 1e6)}
    made.add([event(pair, 50, purpose="second", chosen=pair.b)])
    assert "second" not in {q.purpose for q in made.next("p-1", 60, (), 0.0)}


def test_a_pair_that_chance_repeats_is_not_asked_a_third_time():
    made = queue([("p-1", p.id) for p in PAIRS], repeats=0.999)
    made.add([event(p, n) for n, p in enumerate(PAIRS[: REPEAT_GAP + 4])])
    asked = [q for q in made.next("p-1", 60, (), 0.0) if q.purpose != "ask"]
    assert len({q.pair.id for q in asked}) == len(asked) > 0


def test_a_second_opinion_changes_no_preference_and_no_consistency():
    pair = PAIRS[0]
    once = [event(p, n) for n, p in enumerate(PAIRS)]
    both = [*once, event(pair, 50, purpose="second", chosen=pair.b)]
    first, second = (preferences.rebuild(PROMPTS, CANDIDATES, e) for e in (once, both))
    assert first.rows == second.rows
    assert second.left_out["second opinions on a pair"] == 1
    assert report(both, CANDIDATES).self_consistency.n == 0


def preference(n: int) -> Preference:
    one, other = ([{"role": "assistant", "content": x}] for x in ("a", "b"))
    prompt = PROMPTS[n % 30]
    return Preference(prompt.prompt, one, other, None, 0.0, "human", "p-1", f"pair{n:03}",
                      prompt.id, 1)  # fmt: skip


def test_the_least_likely_twentieth_is_doubted():
    rows = [preference(n) for n in range(100)]
    leads = np.linspace(-3, 3, 100)
    found = notes.doubts(rows, leads, 1.0)
    assert [d.pair_id for d in found] == [f"pair{n:03}" for n in range(5)]
    assert found[0].probability == pytest.approx(1 / (1 + np.exp(3)), abs=1e-4)
    assert notes.doubts(rows, leads + 10, 1.0) == ()  # what is not unlikely is not doubted
    written = RewardNotes(0, 1, found)
    assert RewardNotes.parse(written.text(), REWARD_FILE) == written
    assert RewardNotes.parse("", REWARD_FILE).doubts == ()
    with pytest.raises(BadInput, match="not JSON"):
        RewardNotes.parse("{", REWARD_FILE)


def test_the_audit_lists_them_and_what_was_said_again(hub, repo_id):
    project = importing.start_project(repo_id, PROMPTS, Settings(eval=0.2))
    train = {p.id for p in project.prompts if p.split == "train"}
    asked = [p for p in PAIRS if p.prompt_id in train]
    doubted = asked[:2]
    files = {
        ledger.event_file("candidates"): ledger.jsonl(CANDIDATES),
        ledger.event_file("labels"): ledger.jsonl([event(p, n) for n, p in enumerate(asked)]),
        REWARD_FILE: RewardNotes(
            0, 1, tuple(Doubt("p-1", p.id, 0.1 + n / 10) for n, p in enumerate(doubted))
        ).text(),
    }
    before = question_files(client.hashes(repo_id, "dataset"))
    client.commit(repo_id, "dataset", files, "Labels")
    assert REWARD_FILE in question_files(client.hashes(repo_id, "dataset")).keys() - before.keys()

    def finding() -> findings.Finding:
        audit = measure.measure(of_project(Project.load(repo_id)), learn=False)
        (found,) = [f for f in findings.findings(audit) if "reward" in f.text]
        return found

    texts = {c.id: c.text for c in CANDIDATES}
    assert finding().text.startswith("2 labels that the reward, made of other prompts, finds")
    assert f"“{texts[doubted[0].a]}” over “{texts[doubted[0].b]}” (10%); “" in finding().text
    assert "once more, blind" in finding().advice
    again = [event(p, 90, purpose="second", chosen=x) for p, x in
             zip(doubted, (doubted[0].a, doubted[1].b), strict=True)]  # fmt: skip
    client.commit(repo_id, "dataset", {ledger.event_file("labels"): ledger.jsonl(again)}, "Again")
    assert "Asked again, people said the same of 1 of 2 labels." in finding().advice
