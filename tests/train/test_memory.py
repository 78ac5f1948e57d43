"""The peak of a training's memory, predicted before its first step."""

import os
from dataclasses import replace

import pytest
from small_dpo import pairs_of_titles, small, trainer

from palate.demo import writer
from palate.train.recipes.memory import GB, STATE_BYTES, Memory, Prediction, predict
from palate.train.recipes.recipe import Recipe
from palate.train.trainers.dpo_trainer import PackedDPOTrainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
RECIPE = Recipe("full", 1e-5, 8, 1, False, False, ())


@pytest.fixture(scope="module")
def tokenizer():
    return writer.make_tokenizer()


def test_a_step_takes_what_it_keeps_and_the_states_of_what_is_trained(tokenizer, tmp_path):
    model = small(tokenizer)
    rows = pairs_of_titles()
    whole, half = (
        trainer(PackedDPOTrainer, tokenizer, rows, tmp_path, model=model, size=size)
        for size in (24, 12)
    )
    metrics, mode = whole._metrics, whole.model.training
    memory = Memory(now=5 * GB, peak=0.0, available=8 * GB)
    large, small_ = predict(whole, memory), predict(half, memory)
    weights = sum(w.numel() for w in model.parameters())
    assert large.states == small_.states == 5 * GB + STATE_BYTES * weights
    kept, less = large.peak - large.states, small_.peak - small_.states
    assert 1.6 * less < kept < 2.2 * less  # twice the prompts, of about the same length
    assert (whole._metrics, whole.model.training) == (metrics, mode)
    assert all(w.grad is None for w in model.parameters())
    lora = trainer(PackedDPOTrainer, tokenizer, rows, tmp_path, size=24, lora=True)
    assert predict(lora, memory).states < large.states
    assert predict(whole, replace(memory, peak=7 * GB)).peak == 7 * GB


def test_what_layers_that_are_computed_twice_keep_is_not_claimed(tokenizer, tmp_path):
    made = trainer(
        PackedDPOTrainer, tokenizer, pairs_of_titles(), tmp_path, gradient_checkpointing=True
    )
    predicted = predict(made, Memory(now=GB, peak=0.0, available=2 * GB))
    assert predicted.peak == predicted.states
    assert predicted.sentence().startswith("Memory: at least 1.0 GB")


@pytest.mark.parametrize(
    ("peak", "states", "parts", "says"),
    [
        (4.0, 2.0, 1, None),
        (4.1, 2.0, 1, "add --accumulate 2"),
        (4.1, 2.0, 8, "Use --method lora"),  # a part is one pair already
        (4.5, 4.2, 1, "Use --method lora"),  # smaller parts would not help
    ],
)
def test_advice_where_memory_may_run_out(peak, states, parts, says):
    said = Prediction(peak * GB, states * GB, 4 * GB).advice(replace(RECIPE, accumulate=parts))
    assert (said is None) if says is None else (says in said)


def test_the_machine_tells_its_memory():
    memory = Memory.of_machine()
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0.1 * GB < memory.now < memory.available < 1.1 * pages  # it has imported torch
    assert memory.peak > 0.9 * memory.now
    assert Prediction(3 * GB, 2 * GB, 4 * GB).outcome(2.9) == (
        "Memory: 2.9 GB at the peak; predicted 3.0 GB"
    )
