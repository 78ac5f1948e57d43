"""Which checkpoint and which run of a sweep is kept, and figures that this does not flatter."""

import numpy as np
import pytest

from palate.core.errors import UsageError
from palate.train.choice import LOGGED, Sweep, choose, cross_fit, read_runs, right
from palate.train.config import DPOArguments
from palate.train.dpo import sweep_lines


def swept(sweep):
    return DPOArguments("me/titles", sweep=sweep)


def test_each_value_is_a_training_of_its_own():
    betas = swept("beta=0.05,0.1,0.5")
    runs = Sweep.read(betas).arguments(betas)
    assert [(a.beta, a.sweep) for a in runs] == [(0.05, None), (0.1, None), (0.5, None)]
    seeds = swept("seed=0,1")
    assert [a.seed for a in Sweep.read(seeds).arguments(seeds)] == [0, 1]
    rates = swept("learning-rate=1e-6,5e-6")
    assert [a.learning_rate for a in Sweep.read(rates).arguments(rates)] == [1e-6, 5e-6]


@pytest.mark.parametrize(
    "words", ["beta", "beta=", "beta=0.1", "beta=0.1,0.1", "beta=a,b", "loss=1,2", "=1,2"]
)
def test_what_is_no_sweep_is_refused_with_an_example(words):
    with pytest.raises(UsageError, match="such as beta="):
        Sweep.read(swept(words))


def run(*checkpoints):
    """Return a run with checkpoints at steps 1, 2, …, each a margin for every test row."""
    return {step: np.array(m, float) for step, m in enumerate(checkpoints, 1)}


def test_the_best_accuracy_is_kept_and_among_equals_the_lower_loss():
    sweep = Sweep.read(swept("beta=0.05,0.1,0.5"))
    runs = [run([3, -1, -1, 0]), run([1, 1, 1, -1]), run([0, 0, 0, 0], [2, 2, 2, -1])]
    best, facts = sweep.best(runs, ["a", "b", "c", "d"])
    assert best == 2
    assert sweep_lines(facts, best)[2] == "→ beta 0.5: test reward accuracy 75.0%, loss 0.4235"
    assert facts.name == "beta"
    assert [(r.value, r.best_step) for r in facts.runs] == [(0.05, 1), (0.1, 1), (0.5, 2)]
    assert [r.test_reward_accuracy for r in facts.runs] == [0.375, 0.75, 0.75]


def test_figures_come_from_prompts_that_did_not_choose():
    # each run is right on one prompt alone, so the prompt that chooses picks the one that is wrong
    prompts, first = ["p"] * 10 + ["q"] * 10, np.arange(20) < 10
    runs = [run(np.where(first, 1, -1)), run(np.where(first, -1, 1))]
    assert (cross_fit(runs, prompts) == -1).all()
    assert choose(runs, np.arange(20))[0] == 0
    assert cross_fit(runs, ["p"] * 20) is None


def test_one_run_is_measured_at_its_last_step_and_nothing_is_chosen():
    several = run([3, 3, 3, 3], [1, -1, 1, -1])
    for prompts in (["a", "b", "c", "d"], ["a"] * 4):
        assert cross_fit([several], prompts).tolist() == [[1, -1, 1, -1]]


def test_logs_name_the_rows_that_were_measured():
    log = [
        {"step": 1, "loss": 0.6},
        {"step": 2, "eval_loss": 0.6, LOGGED: {"10": 0.2, "3": -0.1}},
        {"step": 4, "eval_loss": 0.5, LOGGED: {"10": 0.4, "3": float("nan")}},
    ]
    (only,), places = read_runs([log])
    assert places == [3, 10]
    assert {step: list(m) for step, m in only.items()} == {2: [-0.1, 0.2]}
    assert read_runs([log[:1]]) == ([{}], [])


@pytest.mark.parametrize("prompts", [11, 50])
def test_the_best_of_equally_good_trainings_is_not_flattered(prompts):
    """Ten trainings that are right on 65% of all rows, whichever is chosen."""
    random = np.random.default_rng(prompts)
    names = [f"p-{i // 5}" for i in range(5 * prompts)]
    chosen, fitted = [], []
    for _ in range(150):
        runs = [run(np.where(random.random(len(names)) < 0.65, 1, -1)) for _ in range(10)]
        best, step = choose(runs, np.arange(len(names)))
        chosen.append(right(runs[best][step]).mean())
        fitted.append(right(cross_fit(runs, names)).mean())
    assert np.mean(chosen) > 0.65 + 0.02
    assert abs(np.mean(fitted) - 0.65) < 0.015


def test_without_test_rows_nothing_can_be_picked():
    sweep = Sweep.read(swept("beta=0.05,0.1"))
    with pytest.raises(UsageError, match="no test prompt has labels"):
        sweep.check(0)
    sweep.check(1)
