import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core import hub as hub_calls
from palate.core import ledger, schema
from palate.core.project import Project
from palate.core.schema import Candidate, Event, Pair, Prompt
from palate.label import preferences

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


def test_the_later_answer_stands_although_the_clock_stepped_back():
    first = event(30, sequence=1)
    second = event(25, chosen=Y.id, sequence=2)  # five seconds earlier, by the clock
    assert ledger.standing_judgements([first, second]) == [second]
    assert ledger.standing_judgements([replace(first, sequence=None), second]) == [second]


@st.composite
def histories(draw) -> list[Event]:
    """Return the events of two people on two pairs, in order, by a clock that jumps about."""
    pairs = [(X, Y), (X, Candidate.of(PROMPT.id, "z"))]
    events: list[Event] = []
    for number in range(draw(st.integers(1, 14))):
        a, b = draw(st.sampled_from(pairs))
        kind = draw(st.sampled_from(["label", "label", "tie", "skip", "undo", "flag"]))
        who = draw(st.sampled_from(["ann", "bo"]))
        asked = {
            "pair_id": Pair.of(a, b).id, "right": b.id, "annotator": who, "sequence": number + 1,
            "time": f"2026-01-01T00:00:{draw(st.integers(0, 59)):02}.000Z",
        }  # fmt: skip
        if kind == "undo":
            same = [e for e in events if (e.annotator, e.pair_id) == (who, asked["pair_id"])]
            judged = [e for e in same if e.kind not in ledger.NO_JUDGEMENT]
            if not judged:
                continue
            asked["target"] = draw(st.sampled_from(judged)).event_id
        if kind == "label":
            asked["chosen"] = draw(st.sampled_from([a, b])).id
        events.append(event(number, kind, **asked))
    return events


@given(histories(), st.randoms(use_true_random=False))
def test_arrival_and_clock_do_not_change_what_stands(events, chance):
    standing = {(e.annotator, e.pair_id): e for e in ledger.standing_judgements(events)}
    undone = {e.target for e in events}
    last = {
        (e.annotator, e.pair_id): e
        for e in events
        if e.kind not in ledger.NO_JUDGEMENT and e.event_id not in undone
    }
    assert standing == last
    shuffled = events * 2
    chance.shuffle(shuffled)
    assert ledger.standing_judgements(shuffled) == ledger.standing_judgements(events)


@given(histories())
def test_compacted_events_mean_the_same_also_after_an_undo(events):
    fewer = ledger.compacted(events)
    assert {e.event_id for e in fewer} <= {e.event_id for e in events}
    standing = ledger.standing_judgements(events)
    assert ledger.standing_judgements(fewer) == standing
    for e in standing:
        undo = replace(e, event_id="undo", kind="undo", target=e.event_id, sequence=99)
        after = ledger.standing_judgements([*events, undo])
        assert ledger.standing_judgements([*fewer, undo]) == after


def test_of_fifty_answers_to_one_pair_two_are_published(hub, repo_id):
    hub_calls.create(repo_id, "dataset")
    hub_calls.commit(repo_id, "dataset", {"palate.toml": ""}, "Make it a project")
    publisher = ledger.Publisher(repo_id, "labels", interval=0.3)
    publisher.add(event(n, sequence=n + 1) for n in range(50))
    assert publisher.close()
    assert all(publisher.is_published(f"e{n}") for n in range(50))
    assert [e.event_id for e in Project.load(repo_id).labels] == ["e48", "e49"]
    assert (
        hub_calls.api().list_repo_commits(repo_id, repo_type="dataset")[0].title == "Add 2 events"
    )


def standing_before(events: list[Event]) -> list[Event]:
    """Return what stood before events had a sequence."""
    once = {e.event_id: e for e in events}
    undone = {e.target for e in once.values() if e.kind == "undo" and e.target in once}
    standing = {}
    for e in sorted(once.values(), key=lambda e: (e.time, e.event_id)):
        if e.kind not in ledger.NO_JUDGEMENT and e.event_id not in undone:
            standing[e.annotator, e.pair_id] = e
    return sorted(standing.values(), key=lambda e: (e.time, e.event_id))


@given(histories(), st.data())
def test_an_old_ledger_counts_as_before(events, data):
    old = [replace(e, sequence=None) for e in events]
    copies = data.draw(st.lists(st.sampled_from(old), max_size=5)) if old else []
    # received again after a restart
    old += [replace(e, time=data.draw(st.sampled_from(old)).time) for e in copies]
    assert ledger.standing_judgements(old) == standing_before(old)


@given(histories(), st.integers(0, 14), st.randoms(use_true_random=False))
def test_events_with_a_sequence_come_after_those_without(events, number, chance):
    mixed = [replace(e, sequence=None) for e in events[:number]] + events[number:]
    standing = ledger.standing_judgements(mixed)
    undone = {e.target for e in mixed}
    for e in standing:
        same = [x for x in mixed if (x.annotator, x.pair_id) == (e.annotator, e.pair_id)]
        later = [x for x in same if x.sequence and x.kind not in ledger.NO_JUDGEMENT]
        later = [x for x in later if x.event_id not in undone]
        assert not later or e == later[-1]
    chance.shuffle(mixed)
    assert ledger.standing_judgements(mixed) == standing


def test_two_devices_that_gave_the_same_number_agree_on_the_answer():
    one, two = event(1, sequence=5), event(2, chosen=Y.id, sequence=5)
    received_late = replace(one, time="2026-01-02T00:00:00.000Z")
    for events in ([one, two], [two, one], [two, received_late], [received_late, one, two]):
        assert [e.event_id for e in ledger.standing_judgements(events)] == ["e2"]


def test_what_was_taken_back_is_published():
    events = [event(n, sequence=n + 1) for n in range(9)]
    events += [event(20 + n, "undo", target=f"e{n}", sequence=20 + n) for n in range(9)]
    assert ledger.compacted(events) == events


def test_an_event_without_a_sequence_is_stored_as_before():
    assert "sequence" not in schema.to_json(event(1))
    assert '"sequence":2' in schema.to_json(event(1, sequence=2))
