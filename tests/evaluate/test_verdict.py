"""What votes amount to: counted, decided, and never more than they say."""

import json
from dataclasses import replace

import pytest
from verdicts import TUNED, asked_about, counted, events, of_rounds, votes

from palate.core.schema import Model, Pair
from palate.evaluate.counting import count_votes
from palate.evaluate.sequential import sequence, two_digits
from palate.evaluate.verdict import Matches, Verdict


def verdict_of(outcomes: str, **kwargs) -> Verdict:
    return counted(*events(outcomes, **kwargs))


def test_ties_are_half_a_win_and_skips_none():
    made, candidates = events("wwWlts")
    v = counted(made, candidates, asked_about(pairs=9, identical=3))
    assert (v.votes, v.wins, v.losses, v.ties, v.skips, v.identical) == (5, 3, 1, 1, 1, 3)
    assert v.win_rate == pytest.approx(3.5 / 5)
    assert v.win_rate_without_ties == pytest.approx(3 / 4)
    assert v.win_rate_with_identical == pytest.approx(0.75 * 0.7 + 0.25 * 0.5)
    assert v.interval == (0.0, 1.0)  # five prompts show nothing about others
    assert v.left_chosen == 2
    few = "on too few prompts to say more"
    assert v.sentence() == f"tuned preferred in 3, base in 1, {few} (5 votes, 1 tie)"
    assert v.moves[-1].votes == 5
    assert Verdict.from_json(json.loads(json.dumps(v.to_json()))) == v


def test_other_revisions_do_not_count_and_votes_on_lost_texts_are_said():
    made, candidates = events("www")
    other = asked_about(tuned=Model(TUNED.repo, "0" * 40))
    assert count_votes(made, candidates, other) is None
    v = counted(made, candidates[:4])
    assert (v.votes, v.lost) == (2, 1)
    assert "1 vote refers to texts that are gone and does not count." in v.cautions()
    v = counted(made, candidates[:2])
    assert "2 votes refer to texts that are gone and do not count." in v.cautions()
    assert "votes on 1 prompt say too little about other prompts" in v.meaning()


@pytest.mark.parametrize(
    ("outcomes", "people", "decision", "says"),
    [
        ("wW" * 8, 1, "better", "the person who voted prefers the tuned model."),
        ("wW" * 8, 1, "better", "that takes at least 5 voters."),
        ("lL" * 8, 2, "worse", "the 2 people who voted, taken together, prefer the base model."),
        ("lL" * 8, 2, "worse", "Use the base model. To beat it, label more pairs and train again."),
        ("wWwWwWwWwL" * 20, 7, "better", "People like them do, too. You can stop."),
        ("wW" * 4, 1, "open", "votes on 8 prompts say too little about other prompts"),
        ("wWl" * 5, 1, "open", "Not decided yet. Of evaluations like this one, half are decided"),
        ("wl" * 60, 1, "open", "Not decided, and the votes are so even"),
        ("wl" * 400, 1, "no difference", "prompts may be, is between 40% and 60%. You can"),
        ("tttt", 1, "open", "Not decided: every vote is a tie. To the person who voted the"),
        ("t" * 40, 3, "open", "To the 3 people who voted the answers were equally good, on 40"),
        ("wL" * 20, 1, "open", "Not decided: every choice went to the left side, whichever model"),
        ("Wl" * 20, 2, "open", "Not decided: every choice went to the right side"),
        ("wL" * 4, 1, "open", "votes on 8 prompts say too little"),
    ],
)
def test_the_decision_is_put_into_words(outcomes, people, decision, says):
    v = verdict_of(outcomes, prompts=1000, people=people)
    assert v.decision == decision
    assert says in v.meaning()


def test_people_who_agree_on_each_prompt_decide_nothing_about_others():
    """11 prompts × 20 people, of which 7 prompts always go one way and 4 the other."""
    v = verdict_of("".join("w" if i % 11 < 7 else "l" for i in range(220)), prompts=11, people=20)
    assert v.decision == "open"
    assert v.interval[0] < 0.4
    assert "they say as much as about 10 votes on different prompts." in " ".join(v.cautions())


def test_many_votes_on_few_prompts_are_not_called_even():
    """11 prompts × 60 people, 7 prompts one way: thousands of votes on new ones would not help."""
    wins = [("wW" if i % 11 < 7 else "lL")[i // 11 % 2] for i in range(660)]
    v = verdict_of("".join(wins), prompts=11, people=60)
    assert v.decision == "open"
    assert "even" not in v.meaning()
    assert "it takes more prompts, with as many votes on each" in v.meaning()


def test_the_odds_against_chance_are_exact_only_where_no_two_votes_share_a_prompt():
    alone = verdict_of("wW" * 10)
    assert f"fewer than 1 of {two_digits(alone.about_prompts.evidence):,} evaluations" in (
        alone.meaning()
    )
    shared = verdict_of("wWwWwWwWwL" * 20, prompts=50, people=4)
    assert shared.about_prompts.evidence > 1_000
    assert "fewer than 1 of 20 evaluations" in shared.meaning()
    assert "Where votes share prompts, palate claims no more than that." in shared.meaning()
    assert "claims no more" not in alone.meaning()


def test_a_forecast_says_that_ties_are_not_counted():
    v = verdict_of("t" * 59 + "w")
    assert "more votes (ties not counted)" in v.meaning()
    assert "ties" not in verdict_of("wWl" * 5).meaning()


def test_what_a_stop_does_is_said_in_the_rates_of_this_evaluation():
    """A reader without statistics did not find their own 73% in "by 4 to 9 points on average"."""
    for v, rate, careful in ((votes(5, 22), "19%", "22%"), (votes(22, 5), "81%", "78%")):
        says = f"{rate} is further from 50% than the truth is, on average: {careful} is the more"
        assert says in " ".join(v.cautions())


def test_one_prompt_decides_nothing_however_many_vote():
    v = verdict_of("wW" * 15, prompts=1, people=30)
    assert v.decision == "open"
    assert v.interval == (0.0, 1.0)
    assert "It takes at least 9 prompts." in v.meaning()


@pytest.mark.parametrize(("wins", "losses", "ties"), [(57, 27, 10), (14, 2, 2), (5, 22, 8)])
def test_what_is_decided_keeps_off_one_half(wins, losses, ties):
    v = votes(wins, losses, ties)
    assert v.decision in ("better", "worse")
    assert v.interval == sequence(wins, losses, ties)
    assert not v.interval[0] <= 0.5 <= v.interval[1]
    assert (v.moves[-1].low, v.moves[-1].high) == pytest.approx(v.interval, abs=1e-4)
    assert abs(v.shrunk - 0.5) < abs(v.win_rate - 0.5)
    assert f"{100 * v.shrunk:.0f}% is the more careful figure" in " ".join(v.cautions())


def test_the_seeds_recorded_verdicts_give_the_interval_first_and_no_decision():
    v = votes(34, 16)
    assert v.sentence() == "tuned preferred 68.0% (95% interval 46.6–85.2, 50 votes, 0 ties)"
    assert v.meaning().startswith(
        "Not decided yet. Of evaluations like this one, half are decided after"
    )
    assert v.cautions() == ["One person voted, so this is one person's taste."]


def test_eleven_prompts_decide_at_eleven_to_nothing_only():
    assert verdict_of("wW" * 5 + "w").decision == "better"
    assert verdict_of("wW" * 5 + "l").decision == "open"
    # twenty people who agree say no more than one
    agreed = verdict_of("".join("lwWwWwWwWwW"[i % 11] for i in range(220)), prompts=11, people=20)
    assert agreed.decision == "open"


def test_a_forecast_of_one_number_says_it_once():
    meaning = verdict_of("wW" * 5 + "l").meaning()
    assert "Of evaluations like this one, four in five are decided after 1 more vote." in meaning
    assert "half of" not in meaning


def test_three_people_of_different_tastes_decide_for_themselves_alone():
    """Two of three prefer the tuned model on nearly every prompt, one the base model."""
    taste = {0: "wWwWwWwWwl", 1: "WwWwWwWwWw", 2: "lLlLlLlLlW"}
    letters = "".join(taste[i % 3][i // 3 % 10] for i in range(180))
    v = verdict_of(letters, prompts=60, people=3)
    assert (
        "the 3 people who voted, taken together, prefer the tuned model" in v.meaning()
        or v.decision == "open"
    )
    assert "other people" not in v.meaning() or "is not known: that takes at least 5" in v.meaning()
    assert "Each name counts as a person. Whether two names are one" in " ".join(v.cautions())


def test_votes_on_withdrawn_prompts_do_not_count_and_are_said():
    made, candidates = events("wWwWw")
    compared = replace(asked_about(), eval_ids=frozenset(("q0", "q1", "q2")))
    v = counted(made, candidates, compared)
    assert (v.votes, v.withdrawn) == (3, 2)
    assert (
        "2 votes refer to prompts that are no longer eval prompts and do not count." in v.cautions()
    )
    none = replace(asked_about(), eval_ids=frozenset())
    assert count_votes(made, candidates, none) is None


def test_a_later_round_on_the_same_prompts_needs_more_and_says_so():
    """36 : 14 of the first tuned model decides; of the third on the same prompts it does not."""
    older = [Model(TUNED.repo, name * 40) for name in "12"]
    made, candidates = events("wW" * 18 + "lL" * 7)
    alone = counted(made, candidates)
    assert (alone.decision, alone.round_on_prompts) == ("better", 1)
    for model, year in zip(older, ("2024", "2025"), strict=True):
        before, texts = events("wl", tuned=model)
        made += [
            replace(e, event_id=model.revision[0] + e.event_id, time=year + e.time[4:])
            for e in before
        ]
        candidates += texts
    compared = replace(asked_about(), pairs=[Pair(f"q{i}", "a", "b") for i in range(50)])
    third = counted(made, candidates, compared)
    assert (third.decision, third.round_on_prompts) == ("open", 3)
    assert third.interval[0] < 0.5 < alone.interval[0]
    assert third.interval[1] > alone.interval[1]
    assert (third.moves[-1].low, third.moves[-1].high) == pytest.approx(third.interval, abs=1e-4)
    (line,) = [c for c in third.cautions() if "2 earlier tuned models were compared on these" in c]
    assert "takes clearer votes (an e-value of 120, not 20)" in line
    fresh = replace(asked_about(), pairs=[Pair(f"q{i}", "a", "b") for i in range(2, 50)])
    assert counted(made, candidates, fresh).round_on_prompts == 1
    assert Verdict.from_json(json.loads(json.dumps(third.to_json()))) == third


def test_all_ties_say_one_half_and_decide_nothing():
    v = verdict_of("tttt" * 3)
    assert v.win_rate == 0.5
    assert v.win_rate_without_ties is None
    assert v.interval[0] < 0.5 < v.interval[1]


def test_what_limits_a_verdict_is_said():
    one = verdict_of("wWl" * 6)
    assert "One person voted, so this is one person's taste." in one.cautions()
    split = verdict_of("wWWwWwlLlL" * 8, prompts=10, people=3)  # each prompt always goes one way
    assert any(c.startswith("The 80 votes cover 10 prompts.") for c in split.cautions())
    sided = verdict_of("wl" * 10)
    assert "One model was always on the same side" in sided.cautions()[-1]
    assert "position" not in " ".join(verdict_of("wWl").cautions())


def test_people_and_strengths_are_split_without_names():
    v = verdict_of("wWlwWl", people=2, strength=3)
    assert [(p.votes, p.win_rate) for p in v.people] == [(3, pytest.approx(2 / 3))] * 2
    assert v.strengths == {"3": (4, 2)}
    assert "p-0" not in json.dumps(v.to_json())


def test_repeats_are_no_votes_but_tell_whether_people_agree_with_themselves():
    made, candidates = events("wWl")
    same = replace(made[0].swap(), event_id="again-0000", purpose="repeat", time="2026-11-02")
    other = replace(
        made[1].swap(), event_id="again-0001", purpose="repeat", time="2026-11-02",
        chosen=made[1].left,
    )  # fmt: skip
    v = counted([*made, same, other], candidates)
    assert v.votes == 3
    assert v.again == Matches(1, 2)
    bo = [replace(e, event_id=f"bo-{e.event_id}", annotator="bo") for e in made[:2]]
    against = replace(made[2], event_id="bo-2", annotator="bo", chosen=made[2].left)
    v = counted([*made, *bo, against], candidates)
    assert v.agreed == Matches(2, 3)


def test_prompts_that_a_model_wrote_are_counted():
    made, candidates = events("wwl")
    ours = replace(asked_about(), by_model=frozenset({"q0", "q2", "q7"}))
    v = count_votes(made, candidates, ours)
    assert v.prompts_by_model == 2
    assert "A model wrote 2 of the 3 prompts. People may" in " ".join(v.cautions())
    assert Verdict.from_json(v.to_json()) == v
    old = {k: x for k, x in v.to_json().items() if k != "prompts_by_model"}
    assert Verdict.from_json(old).prompts_by_model == 0


def test_one_prompt_or_ties_alone_give_no_percentage():
    one, tie = votes(1, 0), votes(0, 0, 3)
    few = "on too few prompts to say more"
    assert one.sentence() == f"tuned preferred in 1, base in 0, {few} (1 vote, 0 ties)"
    assert tie.sentence() == "neither model preferred (3 votes, 3 ties)"
    people = counted(*events("wW" * 15, prompts=1, people=30))
    assert "%" not in people.sentence()
    assert not people.known


def test_a_verdict_has_the_result_of_every_round_as_it_was_then():
    assert of_rounds("wl" * 20).rounds == ()
    verdict = of_rounds("wwl" * 20, "w" * 12, "tl")
    assert [r.round for r in verdict.rounds] == [1, 2, 3]
    for number, outcomes in enumerate((["wwl" * 20], ["wwl" * 20, "w" * 12]), 1):
        then, now = of_rounds(*outcomes), verdict.rounds[number - 1]
        assert (now.votes, now.win_rate) == (then.votes, then.win_rate)
        assert (now.tuned, now.decision) == (then.tuned, then.decision)
    newest = verdict.rounds[-1]
    assert (newest.tuned, newest.votes, newest.interval) == (verdict.tuned, 2, verdict.interval)
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict
