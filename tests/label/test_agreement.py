import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import PAIRS, PROMPT, TEXTS, event

from palate.collect import labels, pairs, tables
from palate.collect.columns import Columns
from palate.core.rates import Rate
from palate.core.schema import Candidate, Event, Pair
from palate.label.agreement import report
from palate.label.agreement_text import reading, sentences, table

X, Y, Z, _ = TEXTS


def at(minute: float) -> str:
    return f"2026-01-01T10:{int(minute):02}:{int(minute * 60) % 60:02}.000Z"


def choice(pair: Pair, chosen: str, who: str = "p-1", **changes) -> Event:
    return event(pair, chosen=chosen, annotator=who, **changes)


def test_nothing_said_is_a_report_too():
    made = report([], [])
    assert made.people == []
    assert sentences(made) == ["Nobody has labelled a pair yet."]
    assert made.to_json()["agreement"] == Rate(0, 0).to_json()
    assert (Rate(0, 0).rate, Rate(0, 0).interval) == (None, None)


def test_one_persons_figures():
    said = [
        choice(p, p.a, time=at(i), milliseconds=1000 * (i + 1)) for i, p in enumerate(PAIRS[:4])
    ]
    said += [event(PAIRS[4], "tie", time=at(30)), event(PAIRS[5], "skip", time=at(31))]
    (person,) = report(said, TEXTS).people
    assert person.kinds == {"label": 4, "tie": 1, "skip": 1}
    assert person.seconds == 2.0  # of 1, 2, 3, 4 and the tie's 0.9
    assert person.per_hour == 60.0  # a minute apart; the pause of half an hour does not count
    assert (person.first, person.last) == (at(0), at(31))
    assert (person.left.hits, person.left.n) == (0, 4)


def test_agreement_counts_candidates_and_not_sides():
    one = [choice(p, p.a) for p in PAIRS[:4]]
    other = [
        choice(PAIRS[0], PAIRS[0].a, "p-2").swap(),
        choice(PAIRS[1], PAIRS[1].b, "p-2"),
        event(PAIRS[2], "tie", annotator="p-2"),
    ]
    made = report(one + other, TEXTS)
    assert (made.agreement.hits, made.agreement.n) == (1, 3)
    (pairing,) = made.pairings
    assert (pairing.one, pairing.other, pairing.agreement.n) == ("p-1", "p-2", 3)
    assert (pairing.alpha, pairing.alpha_interval) == (made.alpha, made.alpha_interval)


def test_alpha_is_the_published_one():
    # K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example B
    rows = ["0100000010", "1110010000"]
    pairs = [Pair.between(PROMPT.id, f"a{i}", f"b{i}") for i in range(10)]
    said = [
        choice(p, p.b if value == "1" else p.a, who, left=p.a, right=p.b)
        for who, values in zip(("p-1", "p-2"), rows, strict=True)
        for p, value in zip(pairs, values, strict=True)
    ]
    assert report(said, []).alpha == pytest.approx(0.095, abs=5e-4)


def test_alpha_of_four_people_with_gaps_is_the_published_one():
    # the same, example C: five categories, empty cells; nominal α
    rows = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    pairs = [Pair.between(PROMPT.id, f"a{i}", f"b{i}") for i in range(12)]
    judged = [
        {
            "1": choice(p, p.a, who),
            "2": choice(p, p.b, who),
            "3": event(p, "tie", annotator=who),
            "4": event(p, "both_bad", annotator=who),
            "5": event(p, "rewrite", annotator=who),
        }[value]
        for who, values in zip(("p-1", "p-2", "p-3", "p-4"), rows, strict=True)
        for p, value in zip(pairs, values, strict=True)
        if value != "."
    ]
    assert report(judged, []).alpha == pytest.approx(0.743, abs=5e-4)


def test_no_alpha_without_overlap_or_variation():
    assert report([choice(p, p.a) for p in PAIRS], TEXTS).alpha is None
    same = [choice(PAIRS[0], PAIRS[0].a, who) for who in ("p-1", "p-2")]
    assert report(same, TEXTS).alpha is None


def two_people(pairs, differ):
    """Return the labels of two people who differ on the first `differ` pairs."""
    one = [choice(p, p.a if i % 2 else p.b) for i, p in enumerate(pairs)]
    other = [
        choice(p, p.a if (i % 2 == 1) != (i < differ) else p.b, "p-2") for i, p in enumerate(pairs)
    ]
    return one + other


def test_the_interval_of_alpha_is_that_of_the_agreement_corrected_for_chance():
    pairs = [Pair.between(f"q{i}", f"a{i}", f"b{i}") for i in range(20)]
    found = report(two_people(pairs, differ=4), [])
    agreed, (low, high) = found.agreement, found.alpha_interval
    by_chance = 1 - (1 - agreed.rate) / (1 - found.alpha)
    for x, bound in zip(agreed.interval, (low, high), strict=True):
        assert bound == pytest.approx((x - by_chance) / (1 - by_chance))
    assert low < found.alpha < high
    said = next(s for s in sentences(found) if "Krippendorff" in s)
    assert f"{found.alpha:.2f} ({low:.2f} to {high:.2f})" in said
    assert "tastes differ" not in said  # the interval reaches above it


def test_alpha_is_called_low_only_where_its_whole_interval_is():
    pairs = [Pair.between(f"q{i}", f"a{i}", f"b{i}") for i in range(100)]
    low = report(two_people(pairs, differ=50), [])
    assert low.alpha_interval[1] < 0.4
    assert any("tastes differ" in s for s in sentences(low))
    assert report(two_people(pairs[:8], differ=4), []).alpha < 0.4
    assert not any("tastes differ" in s for s in sentences(report(two_people(pairs[:8], 4), [])))


def test_on_one_prompt_alpha_has_no_interval():
    pairs = [Pair.between("q", f"a{i}", f"b{i}") for i in range(9)]
    found = report(two_people(pairs, differ=2), [])
    assert found.alpha is not None
    assert found.alpha_interval is None
    assert any("range unknown" in s for s in sentences(found))


def test_repeats_measure_whether_people_agree_with_themselves():
    said = [choice(p, p.a) for p in PAIRS[:4]]
    again = [
        choice(PAIRS[0], PAIRS[0].a, purpose="repeat").swap(),
        choice(PAIRS[1], PAIRS[1].b, purpose="repeat"),
        event(PAIRS[2], "tie", purpose="repeat"),
    ]
    made = report(said + again, TEXTS)
    assert (made.self_consistency.hits, made.self_consistency.n) == (1, 3)
    assert (made.flips.hits, made.flips.n) == (1, 2)
    assert made.people[0].self_consistency == made.self_consistency
    assert made.judgements == 4


def test_side_and_length_bias_come_with_a_test():
    long, short = Candidate.of(PROMPT.id, "a long one"), Candidate.of(PROMPT.id, "short")
    pair = Pair.of(long, short)
    one = [choice(pair, long.id, f"p-{i}", left=long.id, right=short.id) for i in range(10)]
    made = report(one, [long, short])
    assert (made.left.hits, made.longer.hits, made.longer.n) == (10, 10, 10)
    assert made.left.p is None
    assert any("(100%; one prompt says nothing about others)" in s for s in sentences(made))
    many = [replace(e, pair_id=f"{i}", prompt_id=f"{i}") for i, e in enumerate(one)]
    made = report(many, [long, short])
    assert made.left.p == pytest.approx(2 / 2**10)
    assert any("p = 0.0039 adjusted for 2 tests" in s for s in sentences(made))
    assert any("somebody favours one" in s for s in sentences(made))


def test_ranges_are_about_people_like_these_only_if_enough_people_are_in_each():
    said = [choice(p, p.a, f"p-{i}") for i in range(6) for p in PAIRS[:3]]
    assert "by people like these" in reading(report(said, TEXTS))
    again = [choice(PAIRS[0], PAIRS[0].a, "p-1", purpose="repeat")]
    assert "by these people" in reading(report(said + again, TEXTS))


def test_circles_are_counted_for_each_person():
    ab, bc, ca = Pair.of(X, Y), Pair.of(Y, Z), Pair.of(Z, X)
    circle = [choice(ab, X.id), choice(bc, Y.id), choice(ca, Z.id)]
    order = [choice(p, w, "p-2") for p, w in ((ab, X.id), (bc, Y.id), (ca, X.id))]
    made = report(circle + order, TEXTS)
    assert (made.cycles.hits, made.cycles.n) == (1, 2)


def test_who_cannot_have_read_is_named():
    words = Candidate.of(PROMPT.id, "word " * 100), Candidate.of(PROMPT.id, "other " * 100)
    pair = Pair.of(*words)
    hasty = [choice(replace(pair, prompt_id=f"{i}"), pair.a, milliseconds=900) for i in range(20)]
    calm = [
        replace(e, event_id=f"c{e.event_id}", annotator="p-2", milliseconds=9000) for e in hasty
    ]
    made = report(hasty + calm, words)
    assert made.suspects == ["p-1"]
    assert any("Ada answered too fast" in s for s in sentences(made, {"p-1": "Ada"}))


def test_flags_and_notes_are_listed_in_order():
    said = [
        event(PAIRS[0], "flag", comment="typo", time=at(2)),
        choice(PAIRS[0], PAIRS[0].a, comment="hm", time=at(1)),
    ]
    assert [(r["kind"], r["comment"]) for r in report(said, TEXTS).remarks] == [
        ("label", "hm"),
        ("flag", "typo"),
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(PAIRS), st.booleans(), st.booleans(), st.sampled_from(["p-1", "p-2"])
        ),
        max_size=12,
    )
)
def test_sides_and_repetition_change_only_what_is_about_sides(said):
    events = [
        replace(choice(p, p.a if a else p.b, who), event_id=f"event-{i}", time=at(i))
        for i, (p, a, swapped, who) in enumerate(said)
    ]
    made = report(events, TEXTS)
    assert report(events * 2, TEXTS) == made
    swapped = report([e.swap() for e in events], TEXTS)
    assert swapped.left.hits == made.left.n - made.left.hits
    for name in ("agreement", "alpha", "longer", "cycles", "self_consistency", "kinds"):
        assert getattr(swapped, name) == getattr(made, name)
    json.dumps(made.to_json(), allow_nan=False)


def test_the_recorded_titles(titles):
    columns = Columns("idea", "title_a", "title_b", "title_b_preferred")
    data = labels.labels_of(pairs.read(tables.read(str(titles)), columns))
    made = report(data.events, data.candidates)
    assert (made.cycles.hits, made.cycles.n) == (68, 1140)
    assert made.left.rate == pytest.approx(1 - 0.479, abs=5e-4)
    assert made.longer.rate == pytest.approx(0.454, abs=5e-4)
    assert table(made).row_count == 1
