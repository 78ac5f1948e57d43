"""Base and tuned model side by side, with a tiny Qwen2 that has learned to end a title."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from palate.core.schema import Prompt
from palate.generate import models, samples


@pytest.fixture(scope="module")
def source(tiny_folder) -> models.Source:
    return models.Source("me/tiny", "a" * 40, tiny_folder, 100_000, None)


PROMPTS = [Prompt.of(f"Name a film about bread, part {i}.").prompt for i in range(12)]


def compare(base, tuned):
    return samples.compare(
        lambda: nullcontext(base), tuned, PROMPTS, seed=0, held_out=True, longest=24
    )


def test_a_model_is_no_distance_from_itself(source):
    base = models.load(source)
    said = compare(base, models.load(source))
    assert said.kl == pytest.approx(0, abs=1e-4)
    assert said.length.base == said.length.tuned > 3
    assert said.unended.base == said.unended.tuned < 0.5
    assert len(said.examples) == 10
    assert all(e.base == e.tuned and e.base for e in said.examples)
    assert said == compare(base, base)  # the same luck every time


def test_a_model_that_moved_is_further_from_the_base_and_one_that_fell_silent_is_short(source):
    import torch

    base, near, far = (models.load(source) for _ in range(3))
    torch.manual_seed(0)
    noise = [torch.randn_like(w) for w in near.model.parameters()]
    for loaded, scale in ((near, 0.02), (far, 0.05)):
        for w, z in zip(loaded.model.parameters(), noise, strict=True):
            w.data += scale * z
    one, other = compare(base, near), compare(base, far)
    assert 0 < one.kl < other.kl
    end = base.tokenizer.eos_token_id
    silent = models.load(source)
    head = silent.model.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.full((head.out_features,), -1e4))
    head.bias.data[end] = 1e4
    said = compare(base, replace(silent))
    assert said.length.tuned == 0
    assert said.unended.tuned == 0
    assert said.kl > 1


def test_the_base_of_an_adapter_is_the_model_without_it(source):
    from contextlib import contextmanager

    from peft import LoraConfig, get_peft_model

    plain, adapted = models.load(source), models.load(source)
    config = LoraConfig(
        r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
    )
    model = get_peft_model(adapted.model, config)
    tuned = replace(adapted, model=model)

    @contextmanager
    def without():
        with model.disable_adapter():
            yield tuned

    one = samples.compare(without, tuned, PROMPTS, seed=0, held_out=True, longest=24)
    other = compare(plain, tuned)
    assert one.examples == other.examples
    assert one.kl == pytest.approx(other.kl, rel=1e-4)


def test_texts_that_start_alike_are_counted():
    assert (
        samples.most_frequent_opening(["Why do cats purr", "why do cats sleep", "How cats see"])
        == 2 / 3
    )


@pytest.mark.parametrize(("words", "tokens"), [([], 32), ([3], 32), ([3, 40], 80), ([500], 200)])
def test_answers_are_cut_at_twice_the_longest_that_people_saw(words, tokens):
    loaded = models.Loaded("me/tiny", "a" * 40, None, lambda text: {"input_ids": text.split()})
    assert samples.tokens_enough(loaded, [" ".join(["so"] * n) for n in words]) == tokens
