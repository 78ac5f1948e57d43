import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate import hub as hub_calls
from palate import ledger
from palate.project import Project
from palate.schema import Candidate, Event, Pair, Prompt

PROMPT = Prompt.of("A prompt")
X, Y = Candidate.of(PROMPT.id, "x"), Candidate.of(PROMPT.id, "y")


def event(number: int, kind: str = "label", **changes) -> Event:
    base = Event(
        f"e{number}", "label", Pair.of(X, Y).id, PROMPT.id, X.id, Y.id, X.id, 3, "ann", 800,
        f"2026-01-01T00:00:{number:02}.000Z", 1, "ballot",
    )  # fmt: skip
    chosen = base.chosen if kind == "label" else None
    return replace(base, **({"kind": kind, "chosen": chosen} | changes))


def test_the_last_judgement_stands():
    assert ledger.live([event(1), event(2, chosen=Y.id)]) == [event(2, chosen=Y.id)]


def test_an_undo_takes_back_its_target_and_no_other():
    undo = event(3, "undo", target="e2")
    assert ledger.live([event(1), event(2, "tie"), undo]) == [event(1)]
    again = event(4, "skip")
    assert ledger.live([event(1), event(2, "tie"), undo, again]) == [again]


def test_nobody_takes_back_what_another_said():
    undo = event(3, "undo", target="e1", annotator="eve")
    assert ledger.live([event(1), undo]) == [event(1)]


def test_a_flag_is_no_judgement():
    assert ledger.live([event(1), event(2, "flag", comment="typo")]) == [event(1)]


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_order_and_repetition_of_arrival_do_not_matter(seed, times):
    events = [event(1), event(2, "tie"), event(3, "undo", target="e2"), event(4, chosen=Y.id)]
    shuffled = events * times
    random.Random(seed).shuffle(shuffled)
    assert ledger.live(shuffled) == ledger.live(events)


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
    made = ledger.preferences([PROMPT, blind], [X, Y, a, b], events)
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
    build = lambda e: ledger.preference_files(ledger.preferences([PROMPT], [X, Y], e))  # noqa: E731
    assert build(events) == build(events[::-1] * 2)


def test_the_publisher_commits_each_event_once(hub, repo_id):
    hub_calls.create(repo_id, "dataset")
    done = []
    publisher = ledger.Publisher(repo_id, "labels", interval=0.05, on_publish=done.extend)
    publisher.add([event(1), event(2)])
    publisher.add([event(2), event(3)])
    assert publisher.close()
    assert {e.event_id for e in done} == publisher.published == {"e1", "e2", "e3"}
    hub_calls.commit(repo_id, "dataset", {"palate.toml": ""}, "Make it a project")
    assert sorted(e.event_id for e in Project.load(repo_id).rows("labels")) == ["e1", "e2", "e3"]


def test_the_publisher_says_why_it_waits(hub, repo_id):
    publisher = ledger.Publisher(repo_id, "labels", interval=0.05)  # no such repo
    publisher.add([event(1)])
    assert not publisher.close(timeout=30)
    assert publisher.waiting() == [event(1)]
    assert f"no repo {repo_id}" in (publisher.problem or "")
