"""A pair with aspects is answered in all of them or not at all, whatever a client sends."""

import itertools

import pytest
from samples import PAIRS, event

from palate.core.ledger import standing_judgements
from palate.web.ballot.event_parsing import Whole

ASPECTS = ("helpful", "safe", "kind")


def said(*aspects: str, start: int = 1, targets=()) -> list:
    """Answers in these aspects, or with a minus the undo of the last answer in one."""
    events, last = [], {e.aspect: e.event_id for e in targets}
    for n, aspect in enumerate(aspects, start):
        name = aspect.lstrip("-")
        undo = {"kind": "undo", "target": last.get(name)} if aspect.startswith("-") else {}
        made = event(PAIRS[0], **undo, aspect=name, sequence=n, event_id=f"event-{n:04}")
        events.append(made)
        last[name] = made.event_id
    return events


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        (("helpful",), ("helpful",)),
        (("safe", "helpful"), ("helpful",)),
        (("safe", "kind"), ()),
        (("safe", "kind", "helpful"), ()),
        (("helpful", "safe", "kind"), ()),
        (("safe", "kind", "helpful", "-safe"), ("-safe",)),
        (("safe", "kind", "helpful", "-safe", "-helpful"), ()),
        (("safe", "kind", "helpful", "-helpful", "helpful"), ()),
        (("safe", "kind", "helpful", "-safe", "helpful"), ("-safe", "helpful")),
    ],
)
def test_what_would_leave_a_pair_answered_in_part_waits(sent, held):
    events = said(*sent)
    early = Whole(ASPECTS).early(events)
    assert [w for w, e in zip(sent, events, strict=True) if e.event_id in early] == list(held)


def test_a_flag_and_a_project_without_aspects_wait_for_nothing():
    flag = event(PAIRS[0], "flag", aspect=None)
    assert Whole(ASPECTS).early([flag]) == set()
    assert Whole(()).early([event(PAIRS[0])]) == set()


def test_an_answer_from_before_an_aspect_was_added_stays_and_can_be_completed():
    whole = Whole(ASPECTS)
    whole.note(said("helpful"))
    assert whole.early(said("safe", start=2)) == {"event-0002"}
    assert whole.early(said("safe", "kind", start=2)) == set()


@pytest.mark.parametrize("sizes", [*itertools.product((1, 2, 3, 4), repeat=3)])
def test_batches_cut_anywhere_and_sent_again_all_arrive_and_never_leave_a_part(sizes):
    """The page's own order: all answers, taken back, given again. What waits is sent again."""
    first = said("kind", "safe", "helpful")
    undone = said("-kind", "-safe", "-helpful", start=4, targets=first)
    again = said("kind", "safe", "helpful", start=7)
    todo, whole, kept = [*first, *undone, *again], Whole(ASPECTS), []
    late: list = []
    for size in [*sizes, *[4] * 20]:
        batch, todo = todo[:size], todo[size:]
        if not batch:
            batch, late = late, []
        known = {e.event_id for e in [*kept, *batch]}
        assert all(e.target in known for e in batch if e.kind == "undo")  # else it is refused
        early = whole.early(batch)
        arrived = [e for e in batch if e.event_id not in early]
        late += [e for e in batch if e.event_id in early]
        whole.note(arrived)
        kept += arrived
        standing = {e.aspect for e in standing_judgements(kept)}
        assert "helpful" not in standing or standing == set(ASPECTS)
    assert {e.event_id for e in kept} == {e.event_id for e in [*first, *undone, *again]}
