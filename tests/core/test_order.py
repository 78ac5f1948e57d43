"""Which of a person's answers is the later one, whatever clocks and networks do."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from one_pair import PROMPT, X, Y, event

from palate.core import hub as hub_calls
from palate.core import ledger, schema
from palate.core.project import Project
from palate.core.schema import Candidate, Event, Pair


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
