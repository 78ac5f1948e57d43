"""How far a judge agrees with people, and what its answers weigh; pure."""

from dataclasses import replace

import pytest
from one_pair import PROMPT, X, Y, event

from palate.core.rates import Rate
from palate.core.schema import Preference
from palate.train.config import DPOArguments
from palate.train.rows.data import Rows
from palate.train.rows.feedback import Feedback, Panel, compare, together, voted
from palate.train.trainers import dpo_trainer

NONE = Rate(0, 0)


def judged(hits: int, n: int, **changes) -> Feedback:
    prompts = [f"q{i}" for i in range(n)]
    rate = Rate.of([i < hits for i in range(n)], prompts, ["p-1"] * n, chance=0.5)
    return replace(Feedback("me/judge at 1234567", [], rate, 0), **changes)


@pytest.mark.parametrize(
    ("hits", "n", "weight"),
    [(40, 40, 1.0), (30, 40, 0.5), (20, 40, 0.0), (5, 40, 0.0), (0, 0, 0.0)],
)
def test_its_weight_is_nothing_at_chance_and_one_where_it_always_agrees(hits, n, weight):
    assert judged(hits, n).weight == weight


def test_what_it_says_of_itself_follows_from_its_numbers():
    said = judged(30, 40, undecided=3)
    assert "agrees with people on 30 of 40 (75%," in said.sentence()
    assert "It decided neither way on 3 more that people decided." in said.sentence()
    assert "decided none of the same train pairs" in judged(0, 0).sentence()
    lines = Panel([said], Rate.of([True] * 9 + [False], range(10))).sentences([])
    assert "gave the same answer on 9 of 10 (90%," in lines[-1]
    assert len(lines) == 2
    assert "how consistent people are is not known" in Panel([said], NONE).sentences([])[-1]


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


def answers(judge: str, said: str) -> list:
    """Return a judge's answers on as many pairs of different prompts: x, y, or - for a tie."""
    made = []
    for number, text in enumerate(said):
        chosen = {"x": X.id, "y": Y.id}.get(text)
        e = event(number, "label" if chosen else "tie", annotator=judge, chosen=chosen)
        made.append(replace(e, pair_id=f"pair {number}", prompt_id=f"q{number}", via="judge"))
    return made


def panel_of(people: list, **said: str) -> Panel:
    judges = [answers(who, text) for who, text in said.items()]
    made = [Feedback(own[0].annotator, own, *compare(own, people)) for own in judges]
    return Panel(made, NONE)


def test_a_panel_weighs_each_judge_and_those_who_differ_count_against_each_other():
    one, other = (
        Feedback(who, answers(who, said), NONE, 0) for who, said in (("a", "xxx-"), ("b", "xy--"))
    )
    found = voted([one, other], {"a": 0.8, "b": 0.4})
    assert [(e.chosen, weight) for e, weight in found] == [
        (X.id, pytest.approx(0.6)), (X.id, pytest.approx(0.2)), (X.id, 0.4), (None, 0.0),
    ]  # fmt: skip
    alike = voted([one, other], {"a": 0.5, "b": 0.5})
    assert alike[1][0].kind == "tie"  # they outweigh each other


def test_a_judge_no_better_than_chance_is_not_of_the_panel():
    people = answers("p-1", "x" * 40)
    panel = panel_of(people, good="x" * 36 + "yyyy", coin="xy" * 20, few="x" * 10)
    assert [j.judge for j in panel.used] == ["good"]
    lines = panel.sentences(people)
    assert "not shown to be more than chance" in lines[1]
    assert "--ai needs 20 answers of people" in lines[2]
    assert not any("Together" in line for line in lines)
    assert together(panel, people) is panel.used[0]


def test_agreement_among_judges_and_of_the_panel_with_people():
    people = answers("p-1", "x" * 60)
    panel = panel_of(people, a="y" * 6 + "x" * 54, b="x" * 54 + "y" * 6, c="x" * 60)
    assert (panel.among.hits, panel.among.n) == (156, 180)
    assert panel.disputed == 12
    said = together(panel, people)
    assert said.agreement.rate == 1  # of three, one is wrong at a time
    lines = panel.sentences(people)
    assert "Two of the 3 judges, on a pair that both decided, agree on 156 of 180" in lines[3]
    assert "Together, with weights a 0.8, b 0.8, c 1: the panel agrees with people" in lines[4]


def test_judges_that_never_answered_the_same_pair_are_said_not_to_be_compared():
    people = answers("p-1", "x" * 60)
    panel = panel_of(people, a="x" * 30, b="-" * 30 + "x" * 30)
    assert panel.among.n == 0
    assert any("No two of the 2 judges decided the same pair" in s for s in panel.sentences(people))


def test_the_weight_of_a_panel_s_row_is_its_own():
    sides = [[{"role": "assistant", "content": c.text}] for c in (X, Y)]
    rows = [
        Preference(PROMPT.prompt, *sides, None, 0.0, source, "panel", pair, PROMPT.id, 1)
        for source, pair in (("human", "p0"), ("ai", "p1"), ("ai", "p2"))
    ]
    args = DPOArguments("me/titles", ai=True)
    weights = {"p1": 0.6, "p2": 0.2}
    assert dpo_trainer.columns(rows, args, weights) == {"weight": [1.0, 0.6, 0.2]}
    one, other = (Rows(rows, [], weights=w) for w in (weights, {"p1": 0.6, "p2": 0.3}))
    assert one.key() != other.key() != Rows(rows, []).key()
