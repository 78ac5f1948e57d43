import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_pair import PROMPT, X, Y, event

from palate.core import hub as hub_calls
from palate.core import ledger
from palate.core.project import Project
from palate.core.schema import Candidate, Event, Pair, Prompt
from palate.label import preferences


def test_the_last_judgement_stands():
    assert ledger.standing_judgements([event(1), event(2, chosen=Y.id)]) == [event(2, chosen=Y.id)]


def test_an_undo_takes_back_its_target_and_no_other():
    undo = event(3, "undo", target="e2")
    assert ledger.standing_judgements([event(1), event(2, "tie"), undo]) == [event(1)]
    again = event(4, "skip")
    assert ledger.standing_judgements([event(1), event(2, "tie"), undo, again]) == [again]


def test_nobody_takes_back_what_another_said():
    undo = event(3, "undo", target="e1", annotator="eve")
    assert ledger.standing_judgements([event(1), undo]) == [event(1)]


def test_a_flag_is_no_judgement():
    assert ledger.standing_judgements([event(1), event(2, "flag", comment="typo")]) == [event(1)]


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_order_and_repetition_of_arrival_do_not_matter(seed, times):
    events = [event(1), event(2, "tie"), event(3, "undo", target="e2"), event(4, chosen=Y.id)]
    shuffled = events * times
    random.Random(seed).shuffle(shuffled)
    assert ledger.standing_judgements(shuffled) == ledger.standing_judgements(events)


def test_preferences_count_what_they_leave_out():
    blind = Prompt.of("Another", "eval")
    a, b = Candidate.of(blind.id, "a"), Candidate.of(blind.id, "b")
    events = [
        event(1),
        event(2, "tie", annotator="bo"),
        event(3, "skip", annotator="cy"),
        event(4, prompt_id=blind.id, pair_id=Pair.of(a, b).id, left=a.id, right=b.id, chosen=a.id),
        event(5, annotator="di", left="gone", chosen=Y.id),
    ]
    made = preferences.rebuild([PROMPT, blind], [X, Y, a, b], events)
    (row,) = made.rows["train"]
    assert row.chosen == [{"role": "assistant", "content": "x"}]
    assert row.rejected == [{"role": "assistant", "content": "y"}]
    assert row.margin == pytest.approx(2 / 3)
    assert dict(made.left_out) == {
        "ties": 1,
        "skipped": 1,
        "on eval prompts, which stay blind": 1,
        "prompt or candidate no longer in the project": 1,
    }


def test_preferences_rebuilt_are_the_same_bytes():
    events = [event(1), event(2, annotator="bo", chosen=Y.id)]

    def build(said: list[Event]) -> object:
        return preferences.preference_files(preferences.rebuild([PROMPT], [X, Y], said))

    assert build(events) == build(events[::-1] * 2)


def test_the_publisher_commits_each_event_once(hub, repo_id):
    hub_calls.create(repo_id, "dataset")
    done = []
    publisher = ledger.Publisher(repo_id, "labels", interval=0.05, on_publish=done.extend)
    publisher.add([event(1), event(2)])
    publisher.add([event(2), event(3, annotator="bo")])
    assert publisher.close()
    assert {e.event_id for e in done} == {"e1", "e2", "e3"}
    assert publisher.is_published("e3")
    hub_calls.commit(repo_id, "dataset", {"palate.toml": ""}, "Make it a project")
    assert sorted(e.event_id for e in Project.load(repo_id).labels) == ["e1", "e2", "e3"]


def test_the_publisher_says_why_it_waits(hub, repo_id):
    publisher = ledger.Publisher(repo_id, "labels", interval=0.05)  # no such repo
    publisher.add([event(1)])
    assert not publisher.close(timeout=30)
    assert publisher.waiting() == [event(1)]
    assert f"no repo {repo_id}" in (publisher.thread.problem or "")


def test_an_event_that_waits_too_long_is_a_problem(hub, repo_id, monkeypatch):
    hub_calls.create(repo_id, "dataset")
    publisher = ledger.Publisher(repo_id, "labels", interval=600)
    publisher.add([event(1)])
    assert publisher.problem() is None
    monkeypatch.setattr(ledger, "LATE_SECONDS", -600.0)
    assert publisher.problem() == "1 event has waited 0 s for the Hub. Restart the Space."
    publisher.add([event(2)])
    assert "2 events have waited" in (publisher.problem() or "")
    assert publisher.close()
    assert publisher.problem() is None


def test_repeats_and_warm_ups_are_counted_and_teach_nothing():
    again = event(2, purpose="repeat", left=Y.id, right=X.id, chosen=Y.id)
    assert ledger.standing_judgements([event(1), again]) == [event(1)]
    assert ledger.standing_judgements([event(1), again], "repeat") == [again]
    made = preferences.rebuild([PROMPT], [X, Y], [event(1), again, event(3, purpose="gold")])
    assert [r.chosen[0]["content"] for r in made.all()] == ["x"]
    assert dict(made.left_out) == {"repeats of a pair": 1, "warm-up": 1}


def test_what_was_not_asked_is_implied_and_what_was_said_against_it_stands():
    z = Candidate.of(PROMPT.id, "z")

    def said(number: int, better: Candidate, worse: Candidate, **changes) -> Event:
        pair = Pair.of(better, worse)
        return event(
            number, pair_id=pair.id, left=pair.a, right=pair.b, chosen=better.id, **changes
        )

    def rows(*events: Event) -> list[tuple[str, str, str, str]]:
        made = preferences.rebuild([PROMPT], [X, Y, z], events)
        return [
            (r.chosen[0]["content"], r.rejected[0]["content"], r.source, r.annotator)
            for r in made.all()
        ]

    chain = said(1, X, Y), said(2, Y, z)
    human = [("x", "y", "human", "ann"), ("y", "z", "human", "ann")]
    assert rows(*chain) == [*human, ("x", "z", "implied", "ann")]
    assert rows(*chain, said(3, z, X)) == [*human, ("z", "x", "human", "ann")]
    two = said(2, Y, z, annotator="bo")
    assert rows(chain[0], two)[-1] == ("x", "z", "implied", "several")
    (implied,) = [
        r for r in preferences.rebuild([PROMPT], [X, Y, z], chain).all() if r.source != "human"
    ]
    assert (implied.strength, implied.margin) == (None, 0.0)
    assert implied.pair_id == Pair.of(X, z).id


def test_what_somebody_wrote_is_better_than_both():
    new = Candidate.of(PROMPT.id, "w")
    made = preferences.rebuild([PROMPT], [X, Y], [event(1, "rewrite", chosen=new.id, text="w")])
    said = [(r.chosen[0]["content"], r.rejected[0]["content"]) for r in made.all()]
    assert said == [("w", "x"), ("w", "y")]
    assert len({r.pair_id for r in made.all()}) == 2


def test_what_somebody_wrote_is_published_as_a_candidate_with_the_event(hub, repo_id):
    hub_calls.create(repo_id, "dataset")
    hub_calls.commit(repo_id, "dataset", {"palate.toml": ""}, "Make it a project")
    publisher = ledger.Publisher(repo_id, "labels", interval=0.05)
    new = Candidate.of(PROMPT.id, "w")
    publisher.add([event(1, "rewrite", chosen=new.id, text="w")])
    assert publisher.close()
    assert Project.load(repo_id).candidates == (new,)


def people(*decisions: str) -> ledger.People:
    """Return what follows from decisions about `ann`, in their order."""
    time = "2026-01-01T00:00:00.000Z"
    return ledger.People.of(ledger.Statement("ann", d, time) for d in decisions)


def test_the_last_decision_on_a_person_counts_but_nothing_brings_back_what_was_forgotten():
    assert people("exclude") == ledger.People(excluded=frozenset({"ann"}))
    assert people("exclude", "include") == ledger.People()
    gone = {"forgotten": frozenset({"ann"})}
    assert people("exclude", "forget") == people("forget") == ledger.People(**gone)
    done = gone | {"erased": frozenset({"ann"})}
    assert people("forget", "erased") == ledger.People(**done)
    assert people("forget", "erased", "forget") == ledger.People(**gone)
    back = ledger.People(**done, back=frozenset({"ann"}))
    assert people("forget", "erased", "include") == people("forget", "include", "erased") == back
    assert people("forget", "include", "exclude") == ledger.People(**gone)
    assert back.counted([event(1), event(2, annotator="bo")]) == (event(2, annotator="bo"),)


def test_nothing_of_a_forgotten_person_is_published(hub, repo_id):
    hub_calls.create(repo_id, "dataset")
    statement = ledger.Statement("ann", "forget", "2026-01-01T00:00:00.000Z")
    files = {"palate.toml": "", "people.jsonl": ledger.jsonl([statement])}
    hub_calls.commit(repo_id, "dataset", files, "Forget somebody")
    publisher = ledger.Publisher(repo_id, "labels", interval=0.05)
    new = Candidate.of(PROMPT.id, "w")
    publisher.add([event(1, "rewrite", chosen=new.id, text="w"), event(2, annotator="bo")])
    assert publisher.close()
    assert publisher.is_published("e1")  # so that a browser lets go of it
    project = Project.load(repo_id)
    assert [e.event_id for e in project.read("labels")] == ["e2"]
    assert project.candidates == ()
