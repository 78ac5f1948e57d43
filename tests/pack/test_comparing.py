"""A packed model is compared token by token with the model's own answers."""

import json

import pytest

from palate.core.errors import BadInput
from palate.core.schema import Model
from palate.pack import record
from palate.pack.comparing import Answer, Step, compare
from palate.pack.record import PackedFile, PackRecord

START = [1, 2]


def model(answers, *, confidence=0.8, asked=None):
    """Return a packed model that continues one beginning after the other with these tokens."""

    def following(tokens, n):
        if asked is not None:
            asked.append((list(tokens), n))
        at = len(tokens) - len(START)
        return [Step(t, {t: confidence}) for t in answers[at:][:n]]

    return following


def test_the_same_model_differs_by_nothing():
    asked = []
    answer = Answer(START, [5, 6, 7], [0.8] * 3)
    found = compare([answer], model([5, 6, 7], asked=asked), "q8_0")
    assert (found.same, found.tokens, found.answers, found.change) == (3, 3, 1, 0)
    assert found.holds
    assert asked == [(START, 3)]  # once for the whole answer


def test_after_a_token_that_differs_the_models_own_is_given():
    asked = []
    answer = Answer(START, [5, 6, 7, 8], [0.8] * 4)
    found = compare([answer], model([5, 9, 7, 8], asked=asked), "q8_0")
    assert asked == [(START, 4), ([*START, 5, 6], 2)]
    assert (found.same, found.answers) == (3, 0)
    assert found.change == pytest.approx(0.8 / 4)  # the token that it gave no probability at all
    assert not found.holds
    assert "differs by 20.0 points on average (at most 3 are allowed; 4 tokens)" in found.sentence()


def test_a_second_token_that_was_as_likely_is_no_difference():
    answer = Answer(START, [5, 6], [0.41, 0.9])

    def following(tokens, n):
        both = [Step(9, {9: 0.41, 5: 0.4}), Step(6, {6: 0.9})]
        return both[len(tokens) - len(START) :][:n]

    found = compare([answer], following, "q8_0")
    assert (found.same, found.change) == (1, pytest.approx(0.005))
    assert found.holds


def test_an_answer_that_ends_early_is_counted_to_its_end():
    answer = Answer(START, [5, 6, 7], [0.5] * 3)
    found = compare([answer], lambda tokens, n: [], "q4_k_m")
    assert (found.same, found.tokens, found.change) == (0, 3, 0.5)


def test_a_record_reads_back():
    answer = Answer(START, [5], [0.8])
    file = PackedFile("x-Q8_0.gguf", "q8_0", 9, compare([answer], model([5]), "q8_0"))
    where = {"repo": "me/x-gguf", "base_model": "me/b", "project": "me/x", "license": "mit"}
    about = {"palate": "0.1.0", "converter": "0.1.1", "started": "2026-11-26T09:00:00.000Z"}
    pack = PackRecord(
        version=0, source=Model("me/x", "a" * 40), round=1, files=(file,), **where, **about
    )
    assert record.parse(pack.text()) == pack
    newer = json.dumps(json.loads(pack.text()) | {"version": 1})
    with pytest.raises(Exception, match="newer"):
        record.parse(newer)
    with pytest.raises(BadInput, match="not JSON"):
        record.parse("{")
