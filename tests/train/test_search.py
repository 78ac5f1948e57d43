"""The recipe search: what it tries, within which budget, what it keeps and what it says."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from palate.core.schema import Preference
from palate.core.typed import read
from palate.train.config import DPOArguments
from palate.train.recipes import halving, trials
from palate.train.recipes.halving import Plan, first_trials, plan, refusal
from palate.train.recipes.trials import SearchFacts, Trial, TrialResult, facts, split
from palate.train.rows.data import Rows

ARGS = DPOArguments("me/titles")
FIRST = first_trials(ARGS, "full", 135_000_000, both=True)
PLAN = Plan(FIRST, 3.0, True, 20.0)


def preference(prompt: int, number: int, source="human") -> Preference:
    sides = [[{"role": "assistant", "content": f"{prompt} {number} {s}"}] for s in "ab"]
    question = [{"role": "user", "content": f"prompt {prompt}"}]
    key = f"{prompt}-{number}"
    return Preference(question, *sides, None, 0.0, source, "", key, f"p{prompt}", 1)


ROWS = Rows([preference(p, n) for p in range(100) for n in range(5)], [])


def result(trial: Trial, number: int, shift: float, epochs: float | None = None) -> TrialResult:
    """Return a trial whose margins are noise and `shift`: the higher, the better."""
    held = len(split(ROWS, number).test)
    noise = np.random.default_rng(0).normal(size=held)
    done = trial.epochs if epochs is None else epochs
    return TrialResult(trial, number, done, 60.0, tuple((noise + shift).tolist()))


def searched(better: dict[Trial, float], longer: float) -> list[TrialResult]:
    """Return the results of a whole search: a shift for each first trial, and for twice as long."""
    results: list[TrialResult] = []
    for number in (1, 2, 3):
        for trial in PLAN.next_round(results):
            start = replace(trial, epochs=FIRST[0].epochs)
            results.append(result(trial, number, better[start] + longer * (number == 3)))
    assert PLAN.next_round(results) == ()
    return results


def test_rates_go_down_and_beta_up_and_an_adapter_is_tried():
    assert [(t.method, t.learning_rate, t.beta) for t in FIRST] == [
        ("full", 3e-5, 0.1), ("lora", 2e-4, 0.1), ("full", 1e-5, 0.1), ("lora", 2e-4, 0.3),
    ]  # fmt: skip
    alone = first_trials(ARGS, "lora", 135_000_000, both=False)
    assert {t.method for t in alone} == {"lora"}
    assert {t.learning_rate for t in alone} == {7e-5, 2e-4, 6e-4}
    assert {t.epochs for t in FIRST} == {1.0}


def test_the_better_half_trains_longer_and_the_best_twice_as_long():
    better = dict(zip(FIRST, (0.2, 1.0, 0.1, 0.6), strict=True))
    results = searched(better, longer=-0.5)
    assert [r.round for r in results] == [1, 1, 1, 1, 2, 2, 3]
    assert [r.trial.epochs for r in results] == [1, 1, 1, 1, 3, 3, 6]
    assert [r.trial.beta for r in results[4:]] == [0.1, 0.3, 0.1]
    assert len(results) == PLAN.count
    assert sum(r.trial.epochs for r in results) == PLAN.trained
    assert facts(ROWS, results).kept == replace(FIRST[1], epochs=3.0)
    assert facts(ROWS, searched(better, longer=0.5)).kept == replace(FIRST[1], epochs=6.0)


def test_each_round_holds_out_whole_prompts_and_the_first_ones_are_others():
    parts = [split(ROWS, number) for number in (1, 2, 3)]
    held = [{r.prompt_id for r in part.test} for part in parts]
    for part, prompts in zip(parts, held, strict=True):
        assert len(prompts) == 25
        assert not prompts & {r.prompt_id for r in part.train}
        assert len(part.train) + len(part.test) == len(ROWS.train)
    assert not held[0] & held[1]
    assert held[1] == held[2]
    implied = Rows([preference(p, 0, source="implied") for p in range(100)], [])
    assert not split(implied, 1).test  # nobody said so


def test_three_lines_say_what_was_tried_what_was_kept_and_why():
    better = dict(zip(FIRST, (0.2, 1.0, 0.1, 0.6), strict=True))
    found = facts(ROWS, searched(better, longer=-0.9))
    tried, kept, doubt = found.lines()
    assert tried == (
        "Tried 7 trainings (4 for 1, 2 for 3, 1 for 6 epochs) on part of the 100 train prompts, in"
        " 7.0 min."
    )
    right = 100 * np.mean([t.accuracy for t in found.trials if t.trial == found.kept])
    assert kept.startswith(
        "Kept an adapter at 0.0002, β 0.1, 3 epochs: the lowest log loss on 125 pairs of 25"
        f" prompts that it was not trained on, {right:.1f}% right (95% interval "
    )
    assert doubt.startswith("The next best, an adapter at 0.0002, β 0.3, 3 epochs, is right less")
    equal = facts(ROWS, searched(dict.fromkeys(FIRST, 0.5), longer=0.0))
    assert "may be as good: the difference is +0.0 points" in equal.lines()[2]


def test_a_trial_that_stopped_is_kept_for_as_long_as_it_learned():
    last = [result(replace(FIRST[0], epochs=3.0), 2, 0.2)]
    last.append(result(replace(FIRST[0], epochs=6.0), 3, 0.9, epochs=4.0))
    assert facts(ROWS, last).kept.epochs == 4.0
    assert "stopped after 4, since it no longer learned" in last[1].words()
    failed = replace(last[1], epochs=0.0)
    assert "not a number" in failed.words()
    assert facts(ROWS, [last[0], failed]).kept.epochs == 3.0


def test_results_and_facts_are_read_back():
    results = searched(dict(zip(FIRST, (0.2, 1.0, 0.1, 0.6), strict=True)), longer=-0.5)
    stored = json.loads(json.dumps([asdict(r) for r in results]))
    assert [read(TrialResult, value, "search.json") for value in stored] == results
    found = facts(ROWS, results)
    assert read(SearchFacts, json.loads(json.dumps(asdict(found))), "run.json") == found


@pytest.mark.parametrize(
    ("given", "prompts", "processes", "why"),
    [
        ({}, 79, 1, "79 train prompts are too few"),
        ({}, 80, 1, None),
        ({"recipe": "search"}, 10, 1, None),
        ({"recipe": "fast"}, 500, 1, ""),
        ({"learning_rate": 1e-5}, 500, 1, ""),
        ({}, 500, 2, "takes a single process"),
    ],
)
def test_it_is_the_default_where_prompts_are_many(given, prompts, processes, why):
    refused = refusal(replace(ARGS, **given), prompts, processes)
    assert refused == why if not why else why in (refused or "")


def test_a_search_takes_no_more_work_than_an_epoch_of_trls_defaults():
    whole = plan(ARGS, FIRST, 13.0, forced=False)
    assert isinstance(whole, Plan)
    assert (whole.count, whole.longer) == (7, True)
    assert whole.work <= whole.budget == pytest.approx(13 * 5 / 3)
    assert f"as much work as {int(np.ceil(whole.work))} epochs at most" in whole.sentence()
    shorter = plan(ARGS, FIRST, 9.0, forced=False)
    assert isinstance(shorter, Plan)
    assert (shorter.count, shorter.longer) == (6, False)
    none = plan(ARGS, FIRST, 2.0, forced=False)
    assert "--recipe search" in str(none)
    assert isinstance(plan(ARGS, FIRST, 2.0, forced=True), Plan)
    assert halving.MIN_PROMPTS // trials.PARTS == 20
