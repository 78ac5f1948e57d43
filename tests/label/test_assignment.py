from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import PAIRS, event

from palate.core.ledger import standing_judgements
from palate.core.schema import Candidate, Pair, Prompt, pairs_of
from palate.evaluate.contest import Informative
from palate.label import assignment
from palate.label.assignment import LEASE, REPEAT_GAP, Question, Queue
from palate.label.ranking import Order, checks
from palate.label.strategies import Exhaustive, Random, Ranking

MANY = [Prompt.of(f"Prompt {i}") for i in range(30)]
CANDIDATES = [Candidate.of(p.id, f"text {n}") for p in MANY for n in range(5)]
ALL = pairs_of(CANDIDATES)


def everybody(seed: int = 0) -> Queue:
    return Queue(PAIRS, Random(), seed=seed, wanted=None)


def ids(questions: list[Question]) -> list[str]:
    return [q.pair.id for q in questions]


def answer(queue: Queue, who: str, rank, limit: int = 10**6, batch: int = 1, device: str = ""):
    """Let the person answer by their ranking until nothing is left; return the events."""
    said = []
    while len(said) < limit and (questions := queue.next(who, batch, (), 0, device)):
        for q in questions:
            better = min(q.pair.a, q.pair.b, key=rank)
            said.append(event(q.pair, chosen=better, annotator=who, purpose=q.purpose))
        queue.add(said[-len(questions) :])
    return said


@given(st.sets(st.sampled_from(range(len(PAIRS)))), st.sets(st.sampled_from(range(len(PAIRS)))))
def test_nobody_gets_what_they_judged_or_hold(judged, held):
    queue = everybody()
    queue.add(event(PAIRS[i]) for i in judged)
    have = {f"ask:{PAIRS[i].id}" for i in held}
    given_ = set(ids(queue.next("p-1", 10, have, now=0)))
    assert given_ == {p.id for i, p in enumerate(PAIRS) if i not in judged | held}
    assert queue.done("p-1") == len(judged)


def test_an_answer_is_counted_without_the_others_of_its_prompt(monkeypatch):
    looked_at = []

    def counted(events, purpose):
        looked_at.append(len(events := list(events)))
        return standing_judgements(events, purpose)

    monkeypatch.setattr(assignment, "standing_judgements", counted)
    queue = everybody()
    for n in range(100):
        queue.add([event(PAIRS[0], annotator=f"p-{n}")])
    assert sum(looked_at) == 100


def test_what_was_judged_least_comes_first():
    queue = everybody()
    queue.add(event(p, annotator="other") for p in PAIRS[:4])
    assert set(ids(queue.next("p-1", 2, (), now=0))) == {p.id for p in PAIRS[4:]}


def test_an_undo_opens_the_pair_again():
    queue = everybody()
    said = event(PAIRS[0])
    queue.add([said])
    queue.add([event(PAIRS[0], "undo", target=said.event_id)])
    assert queue.done("p-1") == 0
    assert PAIRS[0].id in ids(queue.next("p-1", 10, (), now=0))


@pytest.mark.parametrize("strategy", [Random, Exhaustive, Ranking])
def test_the_order_follows_from_person_and_seed(strategy):
    def order(who: str, seed: int = 0) -> list[str]:
        return ids(Queue(ALL, strategy(), seed=seed).next(who, 10, (), 0))

    assert order("one") == order("one")
    assert order("one") != order("two")
    assert order("one") != order("one", 1)


def test_ranking_asks_least_and_finds_the_order():
    taste = {c.id: i for i, c in enumerate(sorted(CANDIDATES, key=lambda c: c.text))}
    queue = Queue(ALL, Ranking())
    said = answer(queue, "p-1", taste.__getitem__)
    assert 6 <= len(said) / len(MANY) <= 8
    assert queue.left("p-1", "", 0) == (0, 0)
    for p in MANY:
        order = Order([e for e in said if e.prompt_id == p.id])
        mine = [c.id for c in CANDIDATES if c.prompt_id == p.id]
        for x, y in combinations(mine, 2):
            assert order.compare(x, y) == (1 if taste[x] < taste[y] else -1)


def test_ranking_asks_a_few_implied_pairs_as_checks():
    taste = {c.id: i for i, c in enumerate(sorted(CANDIDATES, key=lambda c: c.text))}
    plain = answer(Queue(ALL, Ranking()), "p-1", taste.__getitem__)
    assert list(checks(plain)) == []
    queue = Queue(ALL, Ranking(), repeats=0.05)
    said = answer(queue, "p-1", taste.__getitem__)
    asked = [e for e in said if e.purpose == "ask"]
    found = list(checks(asked))
    assert 2 <= len(found) <= 20  # a tenth of the 92 implied pairs
    assert not any(wrong for _, wrong in found)
    assert len(asked) - len(found) < len(plain) + 10  # they are extra questions, once each
    assert queue.left("p-1", "", 0) == (0, 0)
    twice = answer(Queue(ALL, Ranking(), repeats=0.5), "p-1", taste.__getitem__)
    assert {e.pair_id for e in twice} == {p.id for p in ALL}  # twice a half is all


def test_coverage_stays_balanced_across_prompts():
    queue = Queue(ALL, Ranking())
    said = answer(queue, "p-1", lambda id: id, limit=45)
    each = Counter(e.prompt_id for e in said)
    assert set(each.values()) == {1, 2}


def test_exhaustive_finishes_a_prompt_before_the_next():
    said = answer(Queue(ALL, Exhaustive()), "p-1", lambda id: id, limit=25, batch=5)
    assert sorted(Counter(e.prompt_id for e in said).values()) == [5, 10, 10]


def test_a_skip_or_two_bad_ones_do_not_stop_the_others():
    queue = Queue(ALL, Ranking())
    for _ in range(500):
        questions = queue.next("p-1", 1, (), 0)
        if not questions:
            break
        kind = "skip" if queue.done("p-1") % 2 else "both_bad"
        queue.add([event(questions[0].pair, kind, annotator="p-1")])
    assert queue.left("p-1", "", 0) == (0, 0)
    assert 2 * len(MANY) <= queue.done("p-1") < len(ALL)


def test_what_others_said_is_not_asked_again():
    queue = Queue(ALL, Ranking())
    one = answer(queue, "p-1", lambda id: id, limit=60)
    two = answer(queue, "p-2", lambda id: id)
    assert not {e.pair_id for e in one} & {e.pair_id for e in two}


@pytest.mark.parametrize("wanted", [2, 3])
def test_each_pair_is_judged_by_as_many_as_wanted(wanted):
    queue = Queue(ALL[:40], Random(), wanted=wanted)
    people = [f"p-{i}" for i in range(5)]
    count: Counter[str] = Counter()
    while said := [e for who in people for e in answer(queue, who, lambda id: id, limit=1)]:
        count.update(e.pair_id for e in said)
    assert set(count.values()) == {wanted}
    assert len(count) == 40


def test_a_pair_in_hand_is_nobody_elses_until_the_lease_ends():
    queue = Queue(ALL, Random())
    mine = ids(queue.next("one", 20, (), now=0))
    other = ids(queue.next("two", 20, (), now=1))
    assert not set(mine) & set(other)
    last = Queue(ALL[:1], Random())
    held = last.next("one", 1, (), now=0)
    assert last.next("two", 1, (), now=1) == []
    assert last.left("two", "", 1) == (0, 1)
    assert last.next("two", 1, (), now=LEASE + 1) == held


def test_the_same_person_at_two_devices_gets_different_pairs():
    queue = Queue(ALL, Ranking())
    phone = ids(queue.next("one", 8, (), 0, "phone"))
    desk = ids(queue.next("one", 8, (), 0, "desk"))
    assert not set(phone) & set(desk)
    again = Queue(ALL, Ranking())
    again.hold(queue.held(0, 1e9), 0, 1e9)
    assert not set(phone + desk) & set(ids(again.next("two", 8, (), 1)))


def test_a_clock_that_was_set_keeps_no_pair_longer():
    queue = Queue(ALL[:1], Random())
    (question,) = queue.next("one", 1, (), 0)
    kept = queue.held(0, 2e9)
    again = Queue(ALL[:1], Random())
    again.hold(kept, 50, 1e9)  # after a restart it is thirty years earlier
    assert again.next("two", 1, (), 51) == []
    assert again.next("two", 1, (), 51 + LEASE) == [question]


def test_what_is_no_longer_in_hand_is_free_again():
    queue = Queue(ALL[:2], Random())
    first = queue.next("one", 2, (), 0)
    queue.next("one", 0, (), 1)
    assert set(ids(first)) <= set(ids(queue.next("two", 2, (), 2)))


def test_something_is_left_for_whoever_comes_next():
    queue = Queue(ALL[:10], Random())
    assert len(queue.next("one", 10, (), 0)) == 5
    assert len(queue.next("two", 10, (), 0)) >= 3
    assert len(queue.next("three", 10, (), 0)) >= 1


def test_a_share_comes_again_later_to_the_same_person_once():
    queue = Queue(ALL, Random(), repeats=0.2)
    said = answer(queue, "p-1", lambda id: id)
    asked = [e.pair_id for e in said if e.purpose == "ask"]
    again = [e.pair_id for e in said if e.purpose == "repeat"]
    assert len(asked) == len(set(asked)) == len(ALL)
    assert len(again) == len(set(again))
    assert 0.12 < len(again) / len(asked) < 0.28
    place = {e.pair_id: i for i, e in enumerate(said) if e.purpose == "ask"}
    for i, e in enumerate(said):
        if e.purpose == "repeat":
            assert i - place[e.pair_id] >= REPEAT_GAP


def test_warm_ups_come_first_and_once():
    gold = [Pair.between(MANY[0].id, "x", "y"), Pair.between(MANY[0].id, "x", "z")]
    queue = Queue(ALL, Ranking(), gold=gold)
    said = answer(queue, "p-1", lambda id: id, limit=10)
    assert [e.purpose for e in said] == ["gold"] * 2 + ["ask"] * 8


def test_what_is_left_is_told():
    queue = Queue(ALL, Random())
    assert queue.left("p-1", "", 0) == (len(ALL), 0)
    queue.next("other", 20, (), 0)
    assert queue.left("p-1", "", 0) == (len(ALL) - 20, 20)
    ranked = Queue(ALL, Ranking())
    estimate, _ = ranked.left("p-1", "", 0)
    asked = len(answer(ranked, "p-1", lambda id: id))
    assert abs(estimate - asked) < 0.2 * asked


def three_models() -> tuple[Queue, dict[str, list[Pair]], dict[str, str]]:
    """Return a queue on which models a, b and c meet, the pairs by match, and who wrote what."""
    texts = [Candidate.of(p.id, m, model=m) for p in MANY[:12] for m in "abc"]
    model = {c.id: c.text for c in texts}
    pairs = pairs_of(texts)
    by_match: dict[str, list[Pair]] = {}
    for p in pairs:
        by_match.setdefault("".join(sorted((model[p.a], model[p.b]))), []).append(p)
    return Queue(pairs, Informative(pairs, model), wanted=None), by_match, model


def asked_of(queue: Queue, n: int, model: dict[str, str]) -> list[str]:
    pairs = [q.pair for q in queue.next("somebody else", n, (), 0)]
    return ["".join(sorted((model[p.a], model[p.b]))) for p in pairs]


def vote(pair: Pair, winner: str, model: dict[str, str], **changes):
    return event(pair, chosen=next(id for id in (pair.a, pair.b) if model[id] == winner), **changes)


def test_models_that_are_hardest_to_tell_apart_meet_first():
    queue, pairs, model = three_models()
    for i in range(8):
        queue.add([vote(pairs["ab"][i], "a", model), vote(pairs["ac"][i], "ac"[i % 2], model)])
    asked = asked_of(queue, 20, model)
    assert asked[:12] == ["bc"] * 12  # nobody has voted on these yet
    assert set(asked[12:16]) == {"ac"}  # then those whose votes were even


def test_only_votes_that_stand_teach_who_is_hard_to_tell_apart():
    queue, pairs, model = three_models()
    one = {m: some[0] for m, some in pairs.items()}
    for winner in "abab":
        queue.add([vote(one["ab"], winner, model)])  # of these only the last stands
    for _ in range(3):
        queue.add([vote(one["ab"], "a", model, purpose="repeat")])
    queue.add([vote(one["ac"], "a", model), vote(pairs["ac"][1], "c", model)])
    taken_back = [vote(p, "b", model) for p in pairs["bc"][:3]]
    queue.add(taken_back)
    undone = zip(pairs["bc"], taken_back, strict=False)
    queue.add(event(p, "undo", target=e.event_id) for p, e in undone)
    asked = asked_of(queue, 36, model)
    # bc has no vote that stands, ab has one, ac two
    assert [m for i, m in enumerate(asked) if m not in asked[:i]] == ["bc", "ab", "ac"]
