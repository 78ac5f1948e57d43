from hypothesis import given
from hypothesis import strategies as st
from samples import PAIRS, event

from palate.assignment import LEASE, Balanced


@given(st.sets(st.sampled_from(range(len(PAIRS)))), st.sets(st.sampled_from(range(len(PAIRS)))))
def test_nobody_gets_what_they_judged_or_hold(judged, held):
    queue = Balanced(PAIRS)
    queue.add(event(PAIRS[i]) for i in judged)
    have = {PAIRS[i].id for i in held}
    ids = {p.id for p in queue.next("p-1", 10, have, now=0)}
    assert ids == {p.id for i, p in enumerate(PAIRS) if i not in judged | held}
    assert queue.done("p-1") == len(judged)


def test_what_was_judged_least_comes_first():
    queue = Balanced(PAIRS)
    queue.add(event(p, annotator="other") for p in PAIRS[:4])
    first = {p.id for p in queue.next("p-1", 2, (), now=0)}
    assert first == {p.id for p in PAIRS[4:]}


def test_a_pair_on_its_way_to_somebody_waits_until_the_lease_ends():
    queue = Balanced(PAIRS)
    (given_,) = queue.next("one", 1, (), now=0)
    later = [p.id for p in queue.next("two", len(PAIRS), (), now=1)]
    assert later[-1] == given_.id
    fresh = Balanced(PAIRS)
    (given_,) = fresh.next("one", 1, (), now=0)
    order = [p.id for p in Balanced(PAIRS).next("two", len(PAIRS), (), now=0)]
    assert [p.id for p in fresh.next("two", len(PAIRS), (), now=LEASE + 1)] == order


def test_an_undo_opens_the_pair_again():
    queue = Balanced(PAIRS)
    said = event(PAIRS[0])
    queue.add([said])
    queue.add([event(PAIRS[0], "undo", target=said.event_id)])
    assert queue.done("p-1") == 0
    assert PAIRS[0].id in {p.id for p in queue.next("p-1", 10, (), now=0)}


def test_the_order_follows_from_person_and_seed():
    order = lambda who, seed=0: [p.id for p in Balanced(PAIRS, seed).next(who, 6, (), 0)]  # noqa: E731
    assert order("one") == order("one")
    assert order("one") != order("two") or order("one", 1) != order("two", 1)
