"""Votes in several aspects: a verdict of each, never of the sum."""

import json
from dataclasses import replace

import pytest
from run_facts import RUN
from verdicts import TUNED, asked_about, counted, events

from palate.core.schema import Candidate, Event, Model, Pair
from palate.evaluate.counting import count_by_aspect
from palate.evaluate.verdict import Verdict
from palate.report.model_card import model_files
from palate.train.records.record import from_json
from palate.web.voting.words import headlines

BOTH = ("helpful", "safe")


@pytest.fixture
def votes() -> tuple[list[Event], list[Candidate]]:
    """Forty votes that tuned is more helpful, and on the same pairs that it is less safe."""
    helpful, candidates = events("wW" * 20)
    other = {e.left: e.right for e in helpful} | {e.right: e.left for e in helpful}
    safe = [
        replace(e, event_id=f"{e.event_id}-s", aspect="safe", chosen=other[e.chosen])
        for e in helpful
    ]
    return [*(replace(e, aspect="helpful") for e in helpful), *safe], candidates


def test_each_aspect_has_its_own_verdict(votes):
    v = count_by_aspect(*votes, asked_about(), BOTH)
    (safe,) = v.others
    assert (v.aspect, v.votes, v.win_rate, v.decision) == ("helpful", 40, 1.0, "better")
    assert (safe.aspect, safe.votes, safe.win_rate, safe.decision) == ("safe", 40, 0.0, "worse")
    assert [(aspect, line.text) for aspect, line in headlines(v)] == [
        ("helpful", "Yes, to the person who voted."),
        ("safe", "No: to the person who voted, the base model is better."),
    ]
    assert Verdict.from_json(json.loads(json.dumps(v.to_json()))) == v


def test_without_aspects_nothing_changes_and_votes_in_one_do_not_count(votes):
    alone = events("wwl")
    v = count_by_aspect([*alone[0], *votes[0]], [*alone[1], *votes[1]], asked_about(), ())
    assert v == counted(*alone)
    assert not {"aspect", "others"} & set(v.to_json())
    assert [(aspect, line.text) for aspect, line in headlines(v)] == [("", "Not known yet.")]


def test_an_aspect_without_a_vote_has_no_verdict(votes):
    safe = [e for e in votes[0] if e.aspect == "safe"]
    v = count_by_aspect(safe, votes[1], asked_about(), BOTH)
    assert (v.aspect, v.others) == ("safe", ())
    assert count_by_aspect([], votes[1], asked_about(), BOTH) is None


def test_the_models_card_has_a_line_for_each_aspect(votes):
    v = count_by_aspect(*votes, asked_about(), BOTH)
    data = RUN["data"] | {"aspects": {"helpful": 0.25, "safe": 0.75}}
    card = str(model_files(from_json(RUN | {"data": data}, "run.json"), v)["README.md"])
    assert "This is the verdict in the aspect **helpful**." in card
    assert "| helpful | 40 | 100.0% |" in card
    assert "| safe | 40 | 0.0% |" in card
    assert "prefer an answer by their weights: helpful 25.0%, safe 75.0%." in card
    plain = str(model_files(from_json(RUN, "run.json"), counted(*events("wwl")))["README.md"])
    assert "aspect" not in plain


def test_a_look_in_another_aspect_counts_as_a_look_at_the_prompts(votes):
    """An earlier model was voted on in `kind`, which the project asks no more."""
    before, candidates = events("w" * 20, tuned=Model(TUNED.repo, "a" * 40))
    old = [replace(e, event_id=f"{e.event_id}-k", aspect="kind", time="2026-10-01T00:00:00.000Z")
           for e in before]  # fmt: skip
    asked = asked_about(40)
    compared = replace(asked, pairs=[Pair.between(e.prompt_id, e.left, e.right)
                                     for e in votes[0][:40]])  # fmt: skip
    v = count_by_aspect([*old, *votes[0]], [*candidates, *votes[1]], compared, BOTH)
    assert (v.round_on_prompts, v.others[0].round_on_prompts) == (2, 2)
    fresh = count_by_aspect(*votes, compared, BOTH)
    assert fresh.round_on_prompts == 1
    wider, narrower = v.about_prompts.interval, fresh.about_prompts.interval
    assert wider[0] < narrower[0]
