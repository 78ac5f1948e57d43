"""Which of several trainings is kept, and what is asked for wrongly."""

from dataclasses import dataclass

import pytest

from palate.core.errors import UsageError
from palate.train.sweep import Sweep


@dataclass(frozen=True)
class Arguments:
    sweep: str | None
    beta: float = 0.1
    seed: int = 0
    learning_rate: float | None = None


def run(accuracy, loss, rows=110):
    results = {
        "test_reward_accuracy": accuracy,
        "test_reward_accuracy_interval": [accuracy - 0.1, accuracy + 0.1],
        "test_loss": loss,
        "test_rows": rows,
        "best_step": 8,
    }
    return {"results": results}


def test_each_value_is_a_training_of_its_own():
    args = Arguments("beta=0.05,0.1,0.5")
    made = Sweep.read(args).arguments(args)
    assert [(a.beta, a.sweep) for a in made] == [(0.05, None), (0.1, None), (0.5, None)]
    seeds = Arguments("seed=0,1")
    assert [a.seed for a in Sweep.read(seeds).arguments(seeds)] == [0, 1]
    rates = Arguments("learning-rate=1e-6,5e-6")
    assert [a.learning_rate for a in Sweep.read(rates).arguments(rates)] == [1e-6, 5e-6]


@pytest.mark.parametrize(
    "words", ["beta", "beta=", "beta=0.1", "beta=0.1,0.1", "beta=a,b", "loss=1,2", "=1,2"]
)
def test_what_is_no_sweep_is_refused_with_an_example(words):
    with pytest.raises(UsageError, match="such as beta="):
        Sweep.read(Arguments(words))


def test_the_best_accuracy_is_kept_and_among_equals_the_lower_loss():
    args = Arguments("beta=0.05,0.1,0.5")
    sweep = Sweep.read(args)
    runs = list(
        zip(sweep.arguments(args), [run(0.6, 0.65), run(0.62, 0.66), run(0.62, 0.61)], strict=True)
    )
    best, lines = sweep.best(runs)
    assert best == 2
    assert lines[2] == "→ beta 0.5: test reward accuracy 62.0 %, loss 0.6100"
    assert [r["value"] for r in sweep.record()["sweep"]["runs"]] == [0.05, 0.1, 0.5]


def test_without_test_rows_nothing_can_be_picked():
    sweep = Sweep.read(Arguments("beta=0.05,0.1"))
    with pytest.raises(UsageError, match="no test prompt has labels"):
        sweep.check(0)
    sweep.check(1)
