import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from palate.schema import Candidate, Event, Pair
from palate.stats import Model, Verdict, verdict, wilson

BASE, TUNED = Model("me/base", "b" * 40), Model("me/tuned", "t" * 40)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(case):
    k, n = case
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_of_the_recorded_evaluation():
    low, high = wilson(34, 50)
    assert (round(100 * low, 1), round(100 * high, 1)) == (54.2, 79.2)


@pytest.mark.parametrize("case", [(1, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_what_is_no_proportion(case):
    with pytest.raises(ValueError, match="expected 0 <= successes <= n"):
        wilson(*case)


def votes(outcomes: str) -> tuple[list[Event], list[Candidate]]:
    """One vote a letter: w tuned wins on the left, W on the right, l/L loses, t tie, s skip."""
    events, candidates = [], []
    for i, o in enumerate(outcomes):
        base = Candidate.of(f"q{i}", f"base {i}", model=BASE.repo, revision=BASE.revision)
        tuned = Candidate.of(f"q{i}", f"tuned {i}", model=TUNED.repo, revision=TUNED.revision)
        candidates += [base, tuned]
        left, right = (tuned, base) if o in "wlts" else (base, tuned)
        chosen = {"w": tuned.id, "l": base.id}.get(o.lower())
        kind = {"t": "tie", "s": "skip"}.get(o, "label")
        pair = Pair.of(base, tuned)
        events.append(
            Event(
                event_id=f"e{i}",
                kind=kind,
                pair_id=pair.id,
                prompt_id=pair.prompt_id,
                left=left.id,
                right=right.id,
                chosen=chosen,
                strength=None,
                annotator="ann",
                milliseconds=500,
                time=f"2026-01-01T00:00:{i:02}.000Z",
                round=1,
                via="ballot",
            )
        )
    return events, candidates


def test_ties_are_half_a_win_and_skips_none():
    v = verdict(*votes("wwWlts"), BASE, TUNED, identical=3)
    assert v is not None
    assert (v.votes, v.wins, v.losses, v.ties, v.skips, v.identical) == (5, 3, 1, 1, 1, 3)
    assert v.win_rate == pytest.approx(3.5 / 5)
    assert v.win_rate_without_ties == pytest.approx(3 / 4)
    assert v.interval == pytest.approx(wilson(3.5, 5))
    assert v.left_chosen == 2
    assert v.sentence().startswith("tuned preferred 70.0 % (95 % interval ")
    assert v.sentence().endswith("5 votes, 1 tie)")
    assert Verdict.from_json(v.to_json()) == v


def test_other_revisions_do_not_count():
    events, candidates = votes("www")
    assert verdict(events, candidates, BASE, Model(TUNED.repo, "0" * 40)) is None


def test_all_ties_say_one_half():
    v = verdict(*votes("tttt"), BASE, TUNED)
    assert v is not None
    assert v.win_rate == 0.5
    assert v.win_rate_without_ties is None
    assert v.interval[0] < 0.5 < v.interval[1]
