"""The recipe for each model and device."""

from dataclasses import replace

import pytest

from palate.core.errors import UsageError
from palate.train.config import DPOArguments, SFTArguments
from palate.train.recipes.recipe import Machine, choose_recipe, choose_sft_recipe, halved

GB = 2**30
LAPTOP = Machine("CPU", 24 * GB, cuda=False, bf16=False, quantizes=False)
T4 = Machine("Tesla T4", 16 * GB, cuda=True, bf16=False, quantizes=True)
A10G = Machine("NVIDIA A10G", 24 * GB, cuda=True, bf16=True, quantizes=True)
H200 = Machine("NVIDIA H200", 139 * GB, cuda=True, bf16=True, quantizes=False)
TITLES = [f"p{i}" for i in range(92) for _ in range(10)]


def asked(**given):
    return DPOArguments("me/titles", **given)


def sft(**given):
    return SFTArguments("me/titles", **given)


@pytest.mark.parametrize(
    ("parameters", "machine", "method", "checkpointing"),
    [
        (25_000_000, LAPTOP, "full", False),
        (494_000_000, LAPTOP, "full", False),
        (494_000_000, T4, "full", False),
        (494_000_000, A10G, "full", False),
        (1_540_000_000, A10G, "lora", True),
        (1_540_000_000, H200, "full", True),
        (7_600_000_000, H200, "lora", True),
        (7_600_000_000, T4, "qlora", True),
    ],
)
def test_the_method_follows_model_and_device(parameters, machine, method, checkpointing):
    recipe = choose_recipe(asked(), parameters, TITLES, machine)
    assert (recipe.method, recipe.gradient_checkpointing) == (method, checkpointing)
    size = max(1.0, parameters / 135e6) ** 0.75
    expected = {"full": 3e-5}.get(method, 2e-4) / size
    assert recipe.learning_rate == pytest.approx(expected, rel=0.35)  # one digit
    assert recipe.bf16 == machine.bf16
    assert len(recipe.reasons) == 4
    assert machine.device in recipe.reasons[0] or machine is H200


@pytest.mark.parametrize(
    ("prompts", "batch"),
    [
        (TITLES, 40),  # four prompts of ten
        (["one"] * 45 + ["two"] * 45, 45),  # no more than 64, and whole prompts
        ([f"p{i}" for i in range(900)], 8),
        ([f"p{i}" for i in range(5) for _ in range(3)], 12),
    ],
)
def test_a_batch_is_four_prompts_or_more(prompts, batch):
    assert choose_recipe(asked(), 10**6, prompts, LAPTOP).batch_size == batch


def test_several_processes_share_a_batch():
    several = Machine("NVIDIA A10G", 24 * GB, cuda=True, bf16=True, quantizes=True, processes=3)
    recipe = choose_recipe(asked(), 10**6, TITLES, several)
    assert (recipe.batch_size, recipe.part) == (42, 14)
    smaller = halved(recipe)
    assert smaller is not None
    assert (smaller.accumulate, smaller.part) == (2, 7)
    with pytest.raises(UsageError, match="by 3 processes"):
        choose_recipe(asked(batch_size=40), 10**6, TITLES, several)


@pytest.mark.parametrize(
    ("parameters", "machine", "method", "rate"),
    [
        (25_000_000, LAPTOP, "full", 1e-5),
        (494_000_000, A10G, "full", 1e-5),
        (7_600_000_000, H200, "lora", 1e-4),
        (7_600_000_000, T4, "lora", 1e-4),  # never in four bits, which cannot be merged
    ],
)
def test_sft_takes_larger_steps_and_eight_answers(parameters, machine, method, rate):
    recipe = choose_sft_recipe(sft(), parameters, machine)
    assert (recipe.method, recipe.learning_rate) == (method, rate)
    assert (recipe.batch_size, recipe.unit) == (8, "answer")
    assert "batches of 8 answers" in recipe.reasons
    several = choose_sft_recipe(sft(), parameters, replace(machine, processes=3))
    assert (several.batch_size, several.part) == (9, 3)


def test_what_is_asked_for_is_taken():
    recipe = choose_recipe(
        asked(
            method="lora",
            learning_rate=1e-5,
            batch_size=12,
            accumulate=3,
            gradient_checkpointing=True,
        ),
        10**6,
        TITLES,
        LAPTOP,
    )
    assert (recipe.method, recipe.learning_rate, recipe.batch_size, recipe.accumulate) == (
        "lora", 1e-5, 12, 3,
    )  # fmt: skip
    assert recipe.gradient_checkpointing
    assert "as asked" in recipe.reasons[0]
    assert "as asked" in recipe.reasons[1]


def test_what_cannot_work_is_refused_with_what_can():
    with pytest.raises(UsageError, match="Choose a divisor"):
        choose_recipe(asked(batch_size=10, accumulate=4), 10**6, TITLES, LAPTOP)
    with pytest.raises(UsageError, match="pip install bitsandbytes"):
        choose_recipe(asked(method="qlora"), 10**9, TITLES, H200)
    with pytest.raises(UsageError, match="Use 4e-05, or add --reckless"):
        choose_recipe(asked(method="lora", learning_rate=2e-4), 10**9, TITLES, A10G)
    assert choose_recipe(
        asked(method="lora", learning_rate=2e-4, reckless=True), 10**9, TITLES, A10G
    ).learning_rate == pytest.approx(2e-4)


def test_a_batch_is_halved_until_a_part_is_one_pair():
    recipe, parts = choose_recipe(asked(), 10**6, TITLES, LAPTOP), []
    while recipe:
        assert recipe.batch_size == 40
        parts.append(recipe.accumulate)
        recipe = halved(recipe)
    assert parts == [1, 2, 4, 8, 20, 40]
