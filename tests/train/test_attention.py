"""FlexAttention on packed rows: what a dense mask computes, when it is used, and when it is not.

PyTorch runs it on a CPU without gradients, here uncompiled; benchmarks/flex.py compares gradients
on a GPU.
"""

import pytest
import torch
from small_dpo import pairs_of_titles, small, trainer
from torch.nn.attention.flex_attention import create_mask
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from palate.demo import writer
from palate.train.packed.attention import (
    FREE_SHARE,
    block_mask,
    dense_mask,
    mask_bytes,
    prefers_flex,
    supports_flex,
)
from palate.train.trainers.dpo_trainer import PackedDPOTrainer

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning",
    "ignore:flex_attention called",
    "ignore:.*torch.jit.script_method:DeprecationWarning",  # in PyTorch's own compiler
)


@pytest.fixture(scope="module")
def tokenizer():
    return writer.make_tokenizer()


@pytest.fixture(autouse=True)
def uncompiled():
    with torch.compiler.set_stance("force_eager"):
        yield


def tree(length=640, prompt=100, each=150):
    """Return segments and positions of a prompt with three completions, and of one with none."""
    segments, positions = [0] * prompt, list(range(prompt))
    for n in (1, 2, 3):
        segments += [n] * each
        positions += range(prompt, prompt + each)
    rows = (segments, [0] * prompt), (positions, list(range(prompt)))
    padded = [
        torch.tensor([row + [filler] * (length - len(row)) for row in pair])
        for pair, filler in zip(rows, (-1, 0), strict=True)
    ]
    return padded[0], padded[1]


@pytest.mark.parametrize("window", [None, 24, 500])
def test_a_block_mask_has_the_entries_of_the_dense_one_and_skips_empty_blocks(window):
    segments, positions = tree()
    near = () if window is None else (positions, window)
    block, dense = block_mask(segments, *near), dense_mask(segments, *near)
    made = create_mask(block.mask_mod, 2, None, *dense.shape[-2:], device="cpu")
    assert torch.equal(made, dense)
    blocks = dense.unflatten(2, (5, 128)).unflatten(4, (5, 128)).any(dim=(3, 5)).sum(-1)
    assert torch.equal(block.kv_num_blocks + block.full_kv_num_blocks, blocks.int())
    assert blocks.sum() < 30  # which a causal mask of two rows has


@pytest.mark.parametrize(
    ("cls", "config", "changes"),
    [
        (LlamaForCausalLM, LlamaConfig, {}),
        (MistralForCausalLM, MistralConfig, {"sliding_window": 24}),
        (Gemma2ForCausalLM, Gemma2Config, {"sliding_window": 24, "head_dim": 8}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_log_probabilities_are_those_of_a_dense_mask(cls, config, changes, tokenizer, tmp_path):
    model = small(tokenizer, cls=cls, config=config, **changes)
    made = trainer(PackedDPOTrainer, tokenizer, pairs_of_titles(), tmp_path, model=model)
    made.model.float().eval()
    batch = made.data_collator([*made.train_dataset])

    def log_probs(flex):
        made.flex = flex
        with torch.no_grad():
            return torch.cat(made.compute_ref_log_probs(made.model, dict(batch)))

    dense, flex = log_probs(False), log_probs(True)
    assert made.model.config._attn_implementation == "palate_flex"
    assert flex.tolist() == pytest.approx(dense.tolist(), rel=1e-6)
    made.flex = False
    with torch.no_grad():
        made.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    assert made.model.config._attn_implementation in ("sdpa", "eager")


class Preferring(PackedDPOTrainer):
    """A trainer whose masks would take too much memory, on whatever device."""

    def prefers_flex(self, dataset):
        return True


def test_where_flex_attention_fails_a_dense_mask_is_used_with_a_sentence(tokenizer, tmp_path):
    said = []
    made = trainer(
        Preferring, tokenizer, pairs_of_titles(), tmp_path, num_train_epochs=1,
        precompute_ref_log_probs=True, extra={"warn": said.append},
    )  # fmt: skip
    assert (made.mode, made.flex, said) == ("tree", True, [])  # without gradients, it works here
    made.train()  # a CPU computes no gradients of it
    assert (made.mode, made.flex) == ("tree", False)
    assert len(said) == 1
    assert said[0].startswith("FlexAttention cannot compute this model's batches (")
    assert said[0].endswith("so a dense mask is used.")


def test_a_mask_is_too_large_from_a_quarter_of_what_stays_free():
    mask = mask_bytes(rows=4, length=10_000, size=2)
    assert mask == 4 * 10_000**2 * 6
    enough = mask / FREE_SHARE
    assert not prefers_flex(mask, enough, trainable=0)
    assert prefers_flex(mask, enough - 1, trainable=0)
    assert prefers_flex(mask, enough, trainable=1)  # gradients and moments are still to come
    assert prefers_flex(1, 0, trainable=1)


def test_a_model_with_dropout_in_attention_takes_no_flex_attention(tokenizer):
    assert supports_flex(small(tokenizer))
    assert not supports_flex(small(tokenizer, attention_dropout=0.1))
