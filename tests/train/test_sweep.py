"""Which of several trainings is kept, and what is asked for wrongly."""

import pytest

from palate.core.errors import UsageError
from palate.train.config import DPOArguments
from palate.train.record import DPOResults
from palate.train.sweep import Sweep, lines


def args(sweep):
    return DPOArguments("me/titles", sweep=sweep)


def results(accuracy, loss):
    return DPOResults(loss, accuracy, (accuracy - 0.1, accuracy + 0.1), 0.2, 110, 8, {})


def test_each_value_is_a_training_of_its_own():
    betas = args("beta=0.05,0.1,0.5")
    runs = Sweep.read(betas).arguments(betas)
    assert [(a.beta, a.sweep) for a in runs] == [(0.05, None), (0.1, None), (0.5, None)]
    seeds = args("seed=0,1")
    assert [a.seed for a in Sweep.read(seeds).arguments(seeds)] == [0, 1]
    rates = args("learning-rate=1e-6,5e-6")
    assert [a.learning_rate for a in Sweep.read(rates).arguments(rates)] == [1e-6, 5e-6]


@pytest.mark.parametrize(
    "words", ["beta", "beta=", "beta=0.1", "beta=0.1,0.1", "beta=a,b", "loss=1,2", "=1,2"]
)
def test_what_is_no_sweep_is_refused_with_an_example(words):
    with pytest.raises(UsageError, match="such as beta="):
        Sweep.read(args(words))


def test_the_best_accuracy_is_kept_and_among_equals_the_lower_loss():
    sweep = Sweep.read(args("beta=0.05,0.1,0.5"))
    best, facts = sweep.best([results(0.6, 0.65), results(0.62, 0.66), results(0.62, 0.61)])
    assert best == 2
    assert lines(facts, best)[2] == "→ beta 0.5: test reward accuracy 62.0%, loss 0.6100"
    assert facts.name == "beta"
    assert [r.value for r in facts.runs] == [0.05, 0.1, 0.5]


def test_without_test_rows_nothing_can_be_picked():
    sweep = Sweep.read(args("beta=0.05,0.1"))
    with pytest.raises(UsageError, match="no test prompt has labels"):
        sweep.check(0)
    sweep.check(1)
