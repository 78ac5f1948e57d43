"""Figures of a reward: calibration, what length explains, alarms, right at the edges."""

import numpy as np
import pytest

from palate.core.schema import Pair, Preference, digest
from palate.reward import figures
from palate.reward.figures import Scored


def rows(prompts: int, longer: bool = False) -> list[Preference]:
    made = []
    for i in range(prompts):
        prompt = [{"role": "user", "content": f"Topic {i}"}]
        for k in range(4):
            text = "word " * (k + 2) if longer else f"good {k}"
            better, worse = f"{text} {i}", f"bad {k} {i}"
            made.append(
                Preference(
                    prompt=prompt,
                    chosen=[{"role": "assistant", "content": better}],
                    rejected=[{"role": "assistant", "content": worse}],
                    strength=k + 1,
                    margin=k / 3,
                    source="human",
                    annotator=f"p-{k % 2}",
                    pair_id=Pair.between(digest(prompt), better, worse).id,
                    prompt_id=digest(prompt),
                    round=1,
                )
            )
    return made


def results(leads: np.ndarray, explained: float = 0.0) -> figures.RewardResults:
    held = Scored(rows(len(leads) // 4), leads)
    none = Scored([], np.zeros(0))
    parts = figures.folds(held.prompts, 0)
    rules = figures.rules_by_fold(held.rows, [], parts)
    return figures.results(held, none, held, rules, explained, 0, folds=True)


def test_accuracy_is_listed_by_strength_and_by_annotator():
    leads = np.tile([-1.0, 1.0, 1.0, 1.0], 20)
    found = results(leads)
    assert (found.accuracy.hits, found.accuracy.n, found.accuracy.prompts) == (60, 80, 20)
    assert list(found.by_strength) == [
        "much better", "plainly better", "slightly better", "barely better",
    ]  # fmt: skip
    assert found.by_strength["barely better"].rate == 0
    assert found.by_annotator["p-0"].rate == 0.5
    assert found.by_annotator["p-1"].rate == 1


def test_probabilities_are_as_often_right_as_they_say(chance):
    rng = np.random.default_rng(chance.randrange(2**32))
    scores = np.abs(rng.normal(size=4000))
    leads = np.where(rng.random(4000) < 1 / (1 + np.exp(-scores / 0.5)), scores, -scores)
    assert figures.temperature(leads) == pytest.approx(0.5, rel=0.15)
    names = [f"p{i // 4}" for i in range(4000)]
    chances = figures.calibrated(leads, names, 0)
    assert chances is not None
    assert figures.calibration_error(chances) < 0.05
    assert figures.calibration_error(np.full(100, 0.99)) == pytest.approx(0.01)
    assert figures.calibration_error(np.full(100, 0.01)) == pytest.approx(0.99)


def test_nothing_held_out_is_no_figure():
    none = Scored([], np.zeros(0))
    seen = Scored(rows(3), np.ones(12))
    found = figures.results(none, none, seen, {}, 0.1, 0, folds=False)
    assert found.accuracy.rate is None
    assert (found.calibration_error, found.log_loss, found.temperature) == (None, None, 1.0)
    assert figures.calibrated(np.ones(3), ["p", "p", "p"], 0) is None
    assert 0.009 < figures.temperature(np.ones(5)) < 0.02  # all right: as sure as is allowed


def test_what_length_explains():
    lengths, names = [10, 20, 30, 5, 9, 12], ["p", "p", "p", "q", "q", "q"]
    by_length = np.array([1.0, 2.0, 3.0, 50.5, 50.9, 51.2])
    assert figures.length_explains(by_length, lengths, names) == pytest.approx(1)
    assert figures.length_explains(np.ones(6), lengths, names) == 0
    assert figures.length_explains(by_length, [7] * 6, names) == 0


def test_alarms_name_what_deserves_a_second_look():
    good = results(np.tile([1.0, 1.0, 1.0, -0.1], 30))
    assert any(
        "not shown to be better than a bag of words" in a for a in figures.alarms(good)
    )  # it is perfect
    coin = results(np.tile([1.0, -1.0], 40))
    assert any("chance (50%) is not ruled out" in a for a in figures.alarms(coin))
    long = results(np.ones(80), explained=0.62)
    assert any("Length alone explains 62%" in a for a in figures.alarms(long))
    assert not any("Length" in a for a in figures.alarms(good))
