"""Pairs on which judges differ are asked first; labels that all contradict are asked again."""

from dataclasses import replace

from palate.core.schema import Candidate, Event, Pair, Prompt, pairs_of
from palate.label.assignment import Queue
from palate.label.preferences import contradicted, disputes
from palate.label.strategies import Disputed, Ranking, RewardNotes, strategy_of

PROMPTS = [Prompt.of(f"Idea {n}") for n in range(20)]
CANDIDATES = [Candidate.of(p.id, f"{p.text}, title {k}") for p in PROMPTS for k in range(3)]
PAIRS = pairs_of(CANDIDATES)


def event(pair: Pair, chosen: str | None, who: str, via: str = "judge", number: int = 0) -> Event:
    return Event(
        event_id=f"{who}-{pair.id}", kind="label" if chosen else "tie", pair_id=pair.id,
        prompt_id=pair.prompt_id, left=pair.a, right=pair.b, chosen=chosen, strength=None,
        annotator=who, milliseconds=None, time=f"2026-01-02T03:00:{number % 60:02}.000Z", round=1,
        via=via,
    )  # fmt: skip


def test_judges_that_choose_different_texts_differ_most():
    both, tied, alike, alone, ties = PAIRS[:5]
    said = [
        event(both, both.a, "j1"), event(both, both.b, "j2"), event(both, None, "j3"),
        event(tied, tied.a, "j1"), event(tied, None, "j2"),
        event(alike, alike.b, "j1"), event(alike, alike.b, "j2"),
        event(alone, alone.a, "j1"),
        event(ties, None, "j1"), event(ties, None, "j2"),
    ]  # fmt: skip
    assert disputes(said) == {both.id: 2, tied.id: 1}
    assert disputes([]) == {}


def test_the_most_disputed_are_asked_first_then_the_others():
    first, second = PAIRS[40], PAIRS[7]
    queue = Queue(PAIRS, Disputed({first.id: 2, second.id: 1}))
    asked = queue.next("p-1", 12, (), 0.0)
    assert [q.pair.id for q in asked[:2]] == [first.id, second.id]
    assert len(asked) == 10  # half are left for the next person
    assert {q.purpose for q in asked} == {"ask"}


def test_a_disputed_pair_that_was_answered_or_is_implied_is_not_asked():
    own = [p for p in PAIRS if p.prompt_id == PROMPTS[0].id]
    order = sorted({x for p in own for x in (p.a, p.b)})

    def pair(x: str, y: str) -> Pair:
        return next(p for p in own if {p.a, p.b} == {x, y})

    steps = [pair(order[0], order[1]), pair(order[1], order[2])]
    queue = Queue(PAIRS, Disputed({p.id: 2 for p in own}))
    queue.add(
        [event(p, order[n], "p-1", "ballot", n) for n, p in enumerate(steps)]
    )  # 0 over 1 over 2
    asked = {q.pair.id for q in queue.next("p-2", 30, (), 0.0)}
    assert asked
    assert not asked & {p.id for p in own}


def test_without_answers_of_judges_it_is_a_ranking():
    notes = RewardNotes(0, 1, ())
    assert type(strategy_of("disputed", PAIRS, notes)) is Ranking
    assert type(strategy_of("disputed", PAIRS, notes, {})) is Ranking
    assert type(strategy_of("disputed", PAIRS, notes, {PAIRS[0].id: 2})) is Disputed
    assert type(strategy_of("ranking", PAIRS, notes, {PAIRS[0].id: 2})) is Ranking


def test_at_most_one_label_in_twenty_is_asked_again_and_only_if_every_judge_is_against_it():
    labels = [event(p, p.a, "p-1", "ballot") for p in PAIRS]
    against = [event(p, p.b, who) for p in PAIRS[:30] for who in ("j1", "j2")]
    found = contradicted([*against, event(PAIRS[40], PAIRS[40].b, "j1")], labels)
    assert len(found) == 3  # of 60
    assert {e.pair_id for e in found} <= {p.id for p in PAIRS[:30]}
    torn = [event(PAIRS[0], PAIRS[0].b, "j1"), event(PAIRS[0], PAIRS[0].a, "j2")]
    assert contradicted(torn, labels) == []
    unsure = [event(PAIRS[0], PAIRS[0].b, "j1"), event(PAIRS[0], None, "j2")]
    assert contradicted(unsure, labels) == []
    tie = replace(labels[0], kind="tie", chosen=None)
    assert contradicted([event(PAIRS[0], PAIRS[0].b, "j1")], [tie]) == []
