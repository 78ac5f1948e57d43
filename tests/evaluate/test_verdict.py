"""What votes amount to: counted, decided, and never more than they say."""

import json
from dataclasses import replace

import pytest
from verdicts import BASE, TUNED, events, votes

from palate.core.schema import Model
from palate.core.stats import wilson
from palate.evaluate.confounds import Duel, confounds, controlled
from palate.evaluate.verdict import Verdict, confounded, plan, verdict


def counted(outcomes: str, **kwargs) -> Verdict:
    made, candidates = events(outcomes, **kwargs)
    result = verdict(made, candidates, BASE, TUNED)
    assert result is not None
    return result


def test_ties_are_half_a_win_and_skips_none():
    made, candidates = events("wwWlts")
    v = verdict(made, candidates, BASE, TUNED, pairs=9, identical=3)
    assert v is not None
    assert (v.votes, v.wins, v.losses, v.ties, v.skips, v.identical) == (5, 3, 1, 1, 1, 3)
    assert v.win_rate == pytest.approx(3.5 / 5)
    assert v.win_rate_without_ties == pytest.approx(3 / 4)
    assert v.win_rate_with_identical == pytest.approx(0.75 * 0.7 + 0.25 * 0.5)
    assert v.interval == pytest.approx(wilson(3.5, 5))
    assert v.left_chosen == 2
    assert v.sentence().startswith("tuned preferred 70.0 % (95 % interval ")
    assert v.sentence().endswith("5 votes, 1 tie)")
    assert v.moves[-1][0] == 5
    text = json.dumps(v.to_json())
    assert json.dumps(Verdict.from_json(json.loads(text)).to_json()) == text


def test_other_revisions_do_not_count_and_votes_on_lost_texts_are_said():
    made, candidates = events("www")
    assert verdict(made, candidates, BASE, Model(TUNED.repo, "0" * 40)) is None
    v = verdict(made, candidates[:4], BASE, TUNED)
    assert v is not None
    assert (v.votes, v.lost) == (2, 1)
    assert "1 vote is on texts that are gone, and does not count." in v.cautions()
    v = verdict(made, candidates[:2], BASE, TUNED)
    assert v is not None
    assert "2 votes are on texts that are gone, and do not count." in v.cautions()
    assert "Only 1 prompt: other prompts may go the other way." in v.cautions()


@pytest.mark.parametrize(
    ("outcomes", "decision", "says"),
    [
        ("wW" * 8, "better", "Decided: people prefer the tuned model."),
        ("lL" * 8, "worse", "Decided: people prefer the base model."),
        ("wWl" * 5, "open", "Not decided yet. If votes go on as so far, about"),
        ("wl" * 20, "open", "Not decided, and the votes are so even"),
        ("wl" * 400, "no difference", "by less than 10 points. You can stop."),
        ("tttt", "open", "Every vote is a tie: nobody saw a difference."),
    ],
)
def test_the_decision_is_put_into_words(outcomes, decision, says):
    v = counted(outcomes)
    assert v.decision == decision
    assert says in v.meaning()


@pytest.mark.parametrize(("wins", "losses", "ties"), [(57, 27, 10), (14, 2, 2), (5, 22, 8)])
def test_what_is_decided_keeps_off_one_half(wins, losses, ties):
    v = votes(wins, losses, ties)
    assert v.decision in ("better", "worse")
    assert not v.sequence[0] <= 0.5 <= v.sequence[1]
    assert not v.moves[-1][2] <= 0.5 <= v.moves[-1][3]


def test_all_ties_say_one_half_and_decide_nothing():
    v = counted("tttt")
    assert v.win_rate == 0.5
    assert v.win_rate_without_ties is None
    assert v.sequence[0] < 0.5 < v.sequence[1]
    assert v.evidence == pytest.approx(1)


def test_what_limits_a_verdict_is_said():
    one = counted("wWl" * 6)
    assert "One person voted: this is their taste, nobody else's." in one.cautions()
    few = counted("wWl" * 6, prompts=3, people=2)
    assert "Only 3 prompts: other prompts may go the other way." in few.cautions()
    split = counted("wWWwWwlLlL" * 8, prompts=10, people=3)  # each prompt always goes one way
    assert any(c.startswith("80 votes are on 10 prompts.") for c in split.cautions())
    sided = counted("wl" * 10)
    assert "One model always stood on the same side" in sided.cautions()[-1]
    assert counted("wWl").confounds["left"] is not None


def test_people_and_strengths_are_split_without_names():
    v = counted("wWlwWl", people=2, strength=3)
    assert sum(p["votes"] for p in v.people) == 6
    assert all(set(p) == {"votes", "win_rate"} for p in v.people)
    assert v.strengths == {"3": [4, 2]}
    assert "p-0" not in json.dumps(v.to_json())


def test_repeats_are_no_votes_but_tell_whether_people_agree_with_themselves():
    made, candidates = events("wWl")
    same = replace(made[0].swap(), event_id="again-0000", purpose="repeat", time="2026-11-02")
    other = replace(
        made[1].swap(), event_id="again-0001", purpose="repeat", time="2026-11-02",
        chosen=made[1].left,
    )  # fmt: skip
    v = verdict([*made, same, other], candidates, BASE, TUNED)
    assert v is not None
    assert v.votes == 3
    assert v.again == {"same": 1, "n": 2}
    bo = [replace(e, event_id=f"bo-{e.event_id}", annotator="bo") for e in made[:2]]
    against = replace(made[2], event_id="bo-2", annotator="bo", chosen=made[2].left)
    v = verdict([*made, *bo, against], candidates, BASE, TUNED)
    assert v is not None
    assert v.agreed == {"same": 2, "n": 3}


def duels(n: int, quality: float, length: float) -> list[Duel]:
    """Return votes in which better answers and longer ones win, by so many log odds."""
    import math
    import random

    draw = random.Random(0)
    made = []
    for i in range(n):
        base = "word " * draw.randint(4, 12)
        tuned = "word " * draw.randint(8, 24)
        odds = quality + length * math.log((len(tuned) + 1) / (len(base) + 1))
        won = draw.random() < 1 / (1 + math.exp(-odds))
        made.append(Duel(f"q{i % 60}", base + str(i), tuned + str(i), bool(i % 2), float(won)))
    return made


def test_a_model_that_is_only_longer_wins_nothing_between_texts_alike():
    found = controlled(duels(1500, quality=0, length=1.5))
    assert found is not None
    low, high = found["interval"]
    assert low < 0.5 < high
    raw = sum(d.result for d in duels(1500, 0, 1.5)) / 1500
    assert raw > 0.65
    better = controlled(duels(1500, quality=1, length=1.5))
    assert better is not None
    assert better["interval"][0] > 0.5


def test_nothing_is_claimed_of_answers_that_are_never_alike():
    longer = [replace(d, tuned=d.tuned + "and much more " * 9) for d in duels(200, 1, 0)]
    assert controlled(longer) is None
    sided = controlled([replace(d, tuned_left=True) for d in duels(200, 1, 0)])
    assert sided is not None
    assert sided["alike_in"] == "length and format"


def test_features_are_counted_over_distinct_texts():
    some = [Duel("q", "Plain", 'A "quoted" one?', True, 1.0), Duel("r", "Plain", "B!", False, 0.0)]
    found = confounds([*some, *some], characters=(1, 5))
    assert found["of"] == [2, 2]
    assert found["texts"]["1 to 5 characters"] == [2, 1]
    assert found["texts"]["a quotation mark"] == [0, 1]
    assert "a digit" not in found["texts"]
    assert found["controlled"] is None


def test_confounds_are_put_into_words():
    lines = confounded(votes(78, 30, 4))
    assert any(line.startswith("The left side won") for line in lines)
    assert "3 times in 4" in plan()
