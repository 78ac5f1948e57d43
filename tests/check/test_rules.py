"""The rules of `palate check`, and its bound: sameness seldom alarms, a ruin always does."""

import numpy as np
import pytest

from palate.check.losses import ability
from palate.check.rules import CHECKS, Instruction, instructions

# rule → value, answers that follow it, answers that do not
CASES = {
    "words at most": (3, ["One two three."], ["One two three four", ""]),
    "words at least": (3, ["One two three."], ["One two", ""]),
    "lines": (2, ["a\n\nb"], ["a", "a\nb\nc", ""]),
    "bullets": (2, ["- a\n- b", "Here:\n* a\n* b"], ["- a", "a\nb", "-\n-"]),
    "numbered": (2, ["1. a\n2. b", "1) a\n2) b"], ["1. a\n3. b", "1. a\n2. b\n3. c", ""]),
    "includes": (["salt", "wind"], ["Salt and wind."], ["salt", ""]),
    "excludes": (["The", "and"], ["Waves sing."], ["The sea", "waves and wind", ""]),
    "no character": (",", ["One. Two."], ["One, two", ""]),
    "lowercase": ("", ["all small."], ["All small.", ""]),
    "uppercase": ("", ["LOUD!"], ["Loud!", ""]),
    "begins": ("Here is", ["Here is bread."], ["here is bread", ""]),
    "ends": ("The end.", ["Bread. The end."], ["The end. No.", ""]),
    "quoted": ("", ['"Bread."'], ['"Bread', '""', '"', ""]),
    "json": (["a", "b"], ['{"a": 1, "b": []}'], ['{"a": 1}', "[]", "{", '{"a":1,"b":2,"c":3}']),
    "is one of": (["12", "Twelve"], ["12", " Twelve. "], ["It is 12", ""]),
}


@pytest.mark.parametrize("rule", CHECKS)
def test_a_rule_tells_answers_that_follow_it_from_others(rule):
    value, right, wrong = CASES[rule]
    instruction = Instruction("…", rule, value)
    assert all(instruction.follows(answer) for answer in right)
    assert not any(instruction.follows(answer) for answer in wrong)


@pytest.mark.parametrize(
    ("field", "rule", "value"),
    [
        ("rule", "words", 3),
        ("value", "lines", "3"),
        ("value", "lines", 0),
        ("value", "words at most", -3),
        ("value", "words at least", 10**400),
        ("value", "includes", []),
        ("value", "is one of", ["a", " "]),
        ("value", "no character", ""),
        ("text", "lines", 3),
    ],
)
def test_a_rule_that_no_answer_or_every_answer_follows_is_a_problem(field, rule, value):
    one = Instruction(" " if field == "text" else "Say so.", rule, value)
    found = one.problem()
    assert found is not None
    assert found[0] == field
    assert not [i for i in instructions() if i.problem()]


def test_there_are_200_different_instructions_of_every_rule():
    asked = instructions()
    assert len({i.text for i in asked}) == len(asked) == 200
    assert {i.rule for i in asked} == set(CHECKS)
    for i in asked:
        assert not i.follows("")
        assert isinstance(i.follows("An answer."), bool)


def test_a_model_against_itself_seldom_alarms_and_a_ruined_one_always(chance):
    rng = np.random.default_rng(chance.randrange(2**32))
    names = [str(i) for i in range(200)]
    false = ruined = 0
    for _ in range(200):
        skill = rng.beta(0.5, 1.2, size=200)  # of an instruction: about 3 in 10 are followed
        base, again = (rng.random((2, 200)) < skill).astype(float)
        false += ability("x", "y", base, again, names).known == "lost"
        gone = (rng.random(200) < 0.02).astype(float)
        ruined += ability("x", "y", base, gone, names).known == "lost"
    assert false <= 15  # 5% of 200, with room for chance
    assert ruined == 200


def test_the_same_answers_bound_the_loss():
    same = ability("x", "y", [1.0, 0.0] * 100, [1.0, 0.0] * 100, [str(i) for i in range(200)])
    assert same.known == "bounded"
    assert same.change.interval == pytest.approx((-0.0183, 0.0183), abs=1e-3)
    few = ability("x", "y", [1.0, 0.0], [1.0, 0.0], ["a", "b"])
    assert few.known == "open"
