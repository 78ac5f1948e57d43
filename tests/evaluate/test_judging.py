"""A judge's answers: read, brought together from both orders, compared with people's."""

from dataclasses import replace

import pytest
from verdicts import BASE, TUNED, asked_about, events, votes

from palate.evaluate import judging
from palate.evaluate.contest import Comparison
from palate.evaluate.judging import JudgeReport, outcome, parse_reply


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("A", "A"), (" b.", "B"), ("Tie", "tie"), ("**B**", "B"), ("Answer A is better", "A"),
        ("answer-b", "B"), ("Both are fine", None), ("", None), ("Absolutely", None),
        ("<answer-a>", "A"), ("Answer: A", "A"), ("A tie.", "tie"), ("It's a tie", "tie"),
        ("A close call, but B", "B"), ("A close call", None), ("My verdict is B.", "B"),
        ("A, because it is shorter.", "A"), ("[[B]]", "B"), ("B\n\nIt is clearer.", "B"),
        ("Both answer it. A is warmer and B is longer. I prefer A.", "A"), ("A, B", None),
        ("<think>A is better?</think>B", "B"), ("<think>A is better, so A", None),
        ("A is better here, but B", None), ("Answer: A or B", None), ("So, a tie", "tie"),
        ("Reasons follow. Answer: B", "B"), ("Neither", None), ("A better answer exists", None),
    ],
)  # fmt: skip
def test_replies_are_read_or_are_nothing(reply, answer):
    assert parse_reply(reply) == answer


@pytest.mark.parametrize(
    ("reply", "answer"), [("A", "A"), ("A is better at", None), ("A close call, but", None),
                          ("Answer: B", "B"), ("", None)],
)  # fmt: skip
def test_of_a_reply_that_was_cut_off_only_a_plain_answer_counts(reply, answer):
    assert parse_reply(reply, is_whole=False) == answer


@pytest.mark.parametrize(
    ("tuned_first", "base_first", "found"),
    [
        ("A", "B", "tuned"), ("B", "A", "base"), ("A", "A", "tie"), ("B", "B", "tie"),
        ("tie", "B", "tie"), ("A", None, "unreadable"), (None, None, "unreadable"),
        ("tie", "tie", "tie"),
    ],
)  # fmt: skip
def test_only_what_holds_in_both_orders_counts(tuned_first, base_first, found):
    assert outcome(tuned_first, base_first) == found


def test_both_orders_ask_the_same_of_exchanged_answers_and_name_no_model():
    pair = Comparison("x", "q", "A prompt", "from base", "from tuned")
    one, two = (
        judging.messages(pair, "Which is better?", "Be kind.", tuned_first=first)[0]["content"]
        for first in (True, False)
    )
    assert one.index("from tuned") < one.index("from base")
    assert two.index("from base") < two.index("from tuned")
    assert one.replace("from tuned", "x").replace("from base", "y") == two.replace(
        "from base", "x"
    ).replace("from tuned", "y")
    assert "Be kind." in one
    assert BASE.repo not in one


def judged(outcomes: str, agree: int) -> JudgeReport:
    """People vote `outcomes`; the judge says the same on the first `agree`, the opposite then."""
    made, candidates = events(outcomes)
    text = {c.id: c for c in candidates}
    pairs, answers = [], {}
    for i, (e, letter) in enumerate(zip(made, outcomes.lower(), strict=True)):
        texts = text[e.left].text, text[e.right].text
        pairs.append(Comparison(e.pair_id, e.prompt_id, "p", *texts))
        better = (letter == "w") == (i < agree)
        answers[e.pair_id] = ["A", "B"] if better else ["B", "A"]
    tuned = {c.id for c in candidates if c.model == TUNED.repo}
    return judging.summary("me/judge at 1234567", asked_about(), answers, pairs, made, tuned)


def test_agreement_is_counted_raw_and_corrected_for_chance():
    report = judged("wWlL" * 10, agree=30)
    assert report.pairs == 40
    a = report.agreement
    assert (a.hits, a.n) == (30, 40)
    assert a.kappa == pytest.approx(0.5)  # half way from chance to full agreement
    assert a.kappa_interval is not None
    low, high = a.kappa_interval
    assert low < 0.5 < high


def test_without_people_nothing_is_claimed():
    alone = judging.summary("x", asked_about(), {}, [], [], set())
    assert alone.agreement.n == 0
    assert "how far to trust it is not known" in alone.sentence()
    sentence = judged("wl", agree=2).sentence()
    assert "It agrees with people's votes in 2 of 2 (100%, 15.8–100.0%)." in sentence
    assert "tuned wins 1 of 2 pairs, loses 1, ties 0" in sentence


def test_what_cannot_be_read_is_counted_and_is_no_tie():
    made, candidates = events("wWlL" * 5)
    text = {c.id: c for c in candidates}
    pairs = [
        Comparison(e.pair_id, e.prompt_id, "p", text[e.left].text, text[e.right].text) for e in made
    ]
    answers = {p.pair_id: ["A", "B"] if i % 4 else ["A", None] for i, p in enumerate(pairs)}
    tuned = {c.id for c in candidates if c.model == TUNED.repo}
    report = judging.summary("judge", asked_about(), answers, pairs, made, tuned)
    assert (report.pairs, report.wins, report.ties, report.unread_pairs) == (15, 15, 0, 5)
    assert (report.win_rate, report.unreadable) == (1.0, 5)
    assert report.agreement.n == 15
    assert "5 more pairs do not count: a reply was unreadable." in report.sentence()
    assert JudgeReport.from_json(report.to_json()) == report


def test_agreement_on_one_prompt_has_no_interval():
    made, candidates = events("wWlL" * 5, prompts=1)
    text = {c.id: c for c in candidates}
    pairs = [
        Comparison(e.pair_id, e.prompt_id, "p", text[e.left].text, text[e.right].text) for e in made
    ]
    answers = {p.pair_id: ["A", "B"] for p in pairs}
    tuned = {c.id for c in candidates if c.model == TUNED.repo}
    report = judging.summary("judge", asked_about(), answers, pairs, made, tuned)
    assert (report.interval, report.agreement.interval) == (None, None)
    assert "10 of 20 (50%; one prompt says nothing about others)" in report.sentence()


def test_the_card_shows_no_judge_without_agreement():
    from run_facts import RUN

    from palate.report.model_card import model_files
    from palate.train.records import record

    run = record.from_json(RUN)

    report = judged("wWlL" * 10, agree=30)
    text = model_files(run, votes(78, 30), report)["README.md"]
    assert "It agrees with people on 75.0% of 40 votes" in str(text)
    alone = replace(report, agreement=replace(report.agreement, hits=0, n=0))
    text = model_files(run, votes(78, 30), alone)["README.md"]
    assert "A language model as judge" not in str(text)
