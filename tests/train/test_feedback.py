"""How far a judge agrees with people, and what its answers weigh; pure."""

from dataclasses import replace

import pytest
from one_pair import PROMPT, X, Y, event

from palate.core.rates import Rate
from palate.core.schema import Preference
from palate.train import dpo_trainer
from palate.train.config import DPOArguments
from palate.train.feedback import Feedback, compare

NONE = Rate(0, 0)


def judged(hits: int, n: int, **changes) -> Feedback:
    prompts = [f"q{i}" for i in range(n)]
    rate = Rate.of([i < hits for i in range(n)], prompts, ["p-1"] * n, chance=0.5)
    return replace(Feedback("me/judge at 1234567", [], rate, 0, NONE), **changes)


@pytest.mark.parametrize(
    ("hits", "n", "weight"),
    [(40, 40, 1.0), (30, 40, 0.5), (20, 40, 0.0), (5, 40, 0.0), (0, 0, 0.0)],
)
def test_its_weight_is_nothing_at_chance_and_one_where_it_always_agrees(hits, n, weight):
    assert judged(hits, n).weight == weight


def test_what_it_says_of_itself_follows_from_its_numbers():
    said = judged(30, 40, undecided=3, self_consistency=Rate.of([True] * 9 + [False], range(10)))
    assert "agrees with people on 30 of 40 (75%," in said.sentence()
    assert "It decided neither way on 3 more that people decided." in said.sentence()
    assert "gave the same answer on 9 of 10 (90%," in said.sentence()
    assert "decided none of the same train pairs" in judged(0, 0).sentence()
    assert "how consistent people are is not known" in judged(0, 0).sentence()


def test_every_person_s_answer_on_a_pair_is_compared_and_ties_are_not():
    machine = [replace(event(1), annotator="judge", via="judge")]  # prefers x
    people = [event(2), event(3, annotator="bo", chosen=Y.id), event(4, "tie", annotator="cy")]
    rate, undecided = compare(machine, people)
    assert (rate.hits, rate.n, undecided) == (1, 2, 0)
    tied = [replace(machine[0], kind="tie", chosen=None)]
    assert compare(tied, people) == (Rate.of([], [], [], chance=0.5), 1)


def test_a_judge_s_pair_weighs_less_and_strength_still_counts():
    def row(source: str, strength: int | None = None, margin: float = 0.0) -> Preference:
        sides = [[{"role": "assistant", "content": c.text}] for c in (X, Y)]
        return Preference(
            PROMPT.prompt, *sides, strength, margin, source, "a", "pair", PROMPT.id, 1
        )

    rows = [row("human"), row("ai"), row("implied")]
    args = DPOArguments("me/titles", ai=True, ai_weight=0.4)
    assert dpo_trainer.columns(rows, args) == {"weight": [1.0, 0.4, 1.0]}
    assert dpo_trainer.columns([rows[0], rows[2]], args) == {}
    strong = [row("human", 4, 1.0), row("ai")]
    weights = dpo_trainer.columns(strong, replace(args, strength="weight"))["weight"]
    assert weights == pytest.approx([5 / 3, 0.4 / 3])


def test_the_arguments_of_a_run_without_a_judge_are_as_they_were():
    assert "ai" not in DPOArguments("me/titles").identity()
    assert DPOArguments("me/titles", ai=True, ai_weight=0.5).identity()["ai_weight"] == 0.5
