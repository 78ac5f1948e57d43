"""Strength, noise and simple rules in the labels, and the sentence about what they prefer."""

import math

import pytest

from palate.core.errors import UsageError
from palate.core.schema import Preference, Prompt
from palate.train.rows import data
from palate.train.rows.data import Rows
from palate.train.trainers import losses


def preference(idea, better, worse, strength=None, annotator="p-1"):
    prompt = Prompt.of(idea)
    margin = 0.0 if strength is None else (strength - 1) / 3
    return Preference(
        prompt=prompt.prompt,
        chosen=[{"role": "assistant", "content": better}],
        rejected=[{"role": "assistant", "content": worse}],
        strength=strength,
        margin=margin,
        source="human",
        annotator=annotator,
        prompt_id=prompt.id,
        pair_id=f"{better}-{worse}",
        round=1,
    )


def short(n, i):
    return " ".join(["word"] * n) + f" {i}"


def test_strength_as_an_offset_is_the_margin_and_as_a_weight_has_a_mean_of_one():
    rows = [preference("i", f"a{s}", "b", strength=s) for s in (1, 2, 4)]
    assert losses.strength_columns(rows, "off") == {}
    assert losses.strength_columns(rows, "offset") == {"margin": pytest.approx([0, 1 / 3, 1])}
    (weights,) = losses.strength_columns(rows, "weight").values()
    assert sum(weights) / 3 == pytest.approx(1)
    assert weights[2] / weights[0] == pytest.approx(5)  # much better counts, barely still does


def test_strength_that_nobody_gave_cannot_be_used():
    with pytest.raises(UsageError, match="--strength weight: no preference says how strong"):
        losses.strength_columns([preference("i", "a", "b")], "weight")


def test_the_sentence_counts_what_is_preferred_and_says_when_nothing_is():
    shorter = [preference(f"i{i}", short(3, i), short(6, i)) for i in range(60)]
    said = "When lengths differ, the shorter answer wins 100% (94–100%) of the time."
    assert data.preference_sentence(shorter) == said
    marked = [preference(f"i{i}", f"is it {i}?", f"it is {i}!") for i in range(40)]
    assert (
        "An answer with a question mark beats one without it 100% (91–100%) of the time."
        in data.preference_sentence(marked)
    )
    disliked = [preference(f"i{i}", f"it is {i}!", f"is it {i}?") for i in range(40)]
    assert (
        "An answer without a question mark beats one with a question mark 100% (91–100%) of"
        in data.preference_sentence(disliked)
    )
    even = [
        preference(f"i{i}", short(3 + 3 * (i % 2), i), short(6 - 3 * (i % 2), i)) for i in range(60)
    ]
    assert data.preference_sentence(even) == data.NO_PREFERENCE


def test_rules_to_beat_are_learned_from_train_and_counted_on_test():
    rows = [preference(f"i{i}", short(3, i), short(6, i)) for i in range(80)]
    rules = data.test_rules(Rows(rows[:60], rows[60:]))
    accuracy, hits = rules["length"]
    assert accuracy.rate == 1
    assert accuracy.n == 20
    assert list(hits) == [1] * 20
    assert set(rules) == {"bag of words", "length"}
    assert all(math.isfinite(x) for r, _ in rules.values() for x in (r.rate, *r.interval))
    assert data.test_rules(Rows(rows, [])) == {}
