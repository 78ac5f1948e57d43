"""A judge's answers: read, brought together from both orders, compared with people's."""

import pytest
from verdicts import BASE, TUNED, events, votes

from palate.evaluate import judging
from palate.evaluate.judging import Bout, outcome, read


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("A", "A"), (" b.", "B"), ("Tie", "tie"), ("**B**", "B"), ("Answer A is better", "A"),
        ("answer-b", "B"), ("Both are fine", None), ("", None), ("Absolutely", None),
        ("<answer-a>", "A"),
    ],
)  # fmt: skip
def test_replies_are_read_or_are_nothing(reply, answer):
    assert read(reply) == answer


@pytest.mark.parametrize(
    ("tuned_first", "base_first", "found"),
    [
        ("A", "B", "tuned"), ("B", "A", "base"), ("A", "A", "tie"), ("B", "B", "tie"),
        ("tie", "B", "tie"), ("A", None, "tie"), ("tie", "tie", "tie"),
    ],
)  # fmt: skip
def test_only_what_holds_in_both_orders_counts(tuned_first, base_first, found):
    assert outcome(tuned_first, base_first) == found


def test_both_orders_ask_the_same_of_exchanged_answers_and_name_no_model():
    bout = Bout("x", "q", "A prompt", "from base", "from tuned")
    one, two = (
        judging.messages(bout, "Which is better?", "Be kind.", tuned_first=first)[0]["content"]
        for first in (True, False)
    )
    assert one.index("from tuned") < one.index("from base")
    assert two.index("from base") < two.index("from tuned")
    assert one.replace("from tuned", "x").replace("from base", "y") == two.replace(
        "from base", "x"
    ).replace("from tuned", "y")
    assert "Be kind." in one
    assert BASE.repo not in one


def judged(outcomes: str, agree: int):
    """People vote `outcomes`; the judge says the same on the first `agree`, the opposite then."""
    made, candidates = events(outcomes)
    text = {c.id: c for c in candidates}
    bouts, answers = [], {}
    for i, (e, letter) in enumerate(zip(made, outcomes.lower(), strict=True)):
        bouts.append(Bout(e.pair_id, e.prompt_id, "p", text[e.left].text, text[e.right].text))
        better = (letter == "w") == (i < agree)
        answers[e.pair_id] = ["A", "B"] if better else ["B", "A"]
    tuned = {c.id for c in candidates if c.model == TUNED.repo}
    return judging.summary(answers, bouts, made, tuned)


def test_agreement_is_counted_raw_and_corrected_for_chance():
    found = judged("wWlL" * 10, agree=30)
    assert found["pairs"] == 40
    a = found["agreement"]
    assert (a["hits"], a["n"]) == (30, 40)
    assert a["kappa"] == pytest.approx(0.5)  # half way from chance to full agreement
    low, high = a["kappa_interval"]
    assert low < 0.5 < high


def test_without_people_nothing_is_claimed():
    made, _ = events("wl")
    found = judged("wl", agree=2)
    alone = judging.summary({}, [], [], set())
    assert alone["agreement"]["n"] == 0
    assert "what its judgement is worth is not known" in judging.sentence({"judge": "x", **alone})
    assert "says the same as people on 100 %" in judging.sentence({"judge": "x", **found})
    assert len(made) == 2


def test_the_card_shows_no_judge_without_agreement():
    from run_facts import RUN

    from palate.report import cards
    from palate.train import record

    run = record.from_json(RUN)

    made = {"judge": "me/judge at 1234567", **judged("wWlL" * 10, agree=30)}
    text = cards.model_files(run, votes(78, 30).to_json(), made)["README.md"]
    assert "It says the same as people on 75.0 % of 40 votes" in str(text)
    alone = made | {"agreement": {**made["agreement"], "n": 0}}
    text = cards.model_files(run, votes(78, 30).to_json(), alone)["README.md"]
    assert "A language model as judge" not in str(text)
