"""Pairs into rows without repeats, and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trl.trainer.dpo_trainer import DataCollatorForPreference

from palate.train.packed.attention import added_mask, dense_mask
from palate.train.packed.packed_forward import unpack
from palate.train.packed.packing import count_positions, pack, packed_inputs

TOKENS = st.lists(st.integers(1, 9), min_size=1, max_size=5)
PAIRS = st.lists(st.tuples(TOKENS, TOKENS, TOKENS), min_size=1, max_size=6)


def batch(pairs, **kwargs):
    collate = DataCollatorForPreference(pad_token_id=0, **kwargs)
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    return collate([dict(zip(names, map(list, p), strict=True)) for p in pairs])


def test_a_prompt_and_each_completion_stand_once():
    sequences = [[1, 2, 3, 4], [1, 2, 5, 6], [1, 2, 3, 4]]
    (row,), places = pack(sequences, [2, 2, 2], share_prompt=True)
    assert row.ids == [1, 2, 3, 2, 5]
    assert row.positions == [0, 1, 2, 1, 2]
    assert row.segments == [0, 1, 1, 2, 2]
    assert row.labels == [-100, 3, 4, 5, 6]
    assert places == [(0, 1), (0, 3), (0, 1)]


def test_without_sharing_a_row_is_a_prompt_with_one_completion():
    rows, places = pack([[1, 2, 3], [1, 2, 4], [1, 2, 3]], [2, 2, 2], share_prompt=False)
    assert [row.ids for row in rows] == [[1, 2], [1, 2]]
    assert places == [(0, 1), (1, 1), (0, 1)]


def test_a_token_sees_its_prompt_and_its_own_completion():
    seen = dense_mask(torch.tensor([[0, 1, 1, 2, -1]]))[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
    ]


def test_the_mask_of_eager_attention_adds_its_minimum():
    least = torch.finfo(torch.float32).min
    mask = added_mask(dense_mask(torch.tensor([[0, 1]])), torch.float32, least)
    assert mask[0, 0].tolist() == [[0, least], [0, 0]]


@settings(deadline=None, max_examples=60)
@given(PAIRS, st.booleans(), st.sampled_from([None, 4, 7]), st.sampled_from(["start", "end"]))
def test_what_is_scored_in_the_rows_is_what_trl_scores_in_the_pairs(pairs, share, longest, keep):
    whole = batch(pairs, max_length=longest, truncation_mode=f"keep_{keep}")
    inputs = packed_inputs(whole, share)
    labels = whole["input_ids"].masked_fill(whole["completion_mask"] == 0, -100)
    back = unpack(inputs["packed_labels"].float(), labels, inputs)
    expected = labels[:, 1:].clamp(min=0)
    assert torch.equal(back.long(), expected)


@settings(deadline=None, max_examples=60)
@given(PAIRS, st.booleans())
def test_a_scored_position_sees_exactly_what_comes_before_it(pairs, share):
    whole = batch(pairs)
    inputs = packed_inputs(whole, share)
    mask = dense_mask(inputs["packed_segments"])[:, 0]
    width, length = inputs["packed_ids"].shape[1], whole["input_ids"].shape[1] - 1
    for place, target in zip(
        inputs["packed_source"].tolist(), inputs["packed_target"].tolist(), strict=True
    ):
        row, column = divmod(place, width)
        i, k = divmod(target, length)
        seen = mask[row, column].nonzero().flatten()
        assert inputs["packed_ids"][row, seen].tolist() == whole["input_ids"][i, : k + 1].tolist()
        assert inputs["packed_positions"][row, seen].tolist() == list(range(k + 1))


def test_no_position_is_computed_twice():
    pairs = [([1, 2, 3], [4, 5], [6]), ([1, 2, 3], [4, 5], [7, 8, 9])]
    ids = packed_inputs(batch(pairs), True)["packed_ids"]
    assert ids.numel() == 3 - 1 + 2 + 1 + 3
    assert count_positions(pairs, 2) == ids.numel()
    assert count_positions(pairs, 1) == 5 + 7


@pytest.mark.parametrize("share", [True, False])
def test_the_seed_of_padding_is_never_scored(share):
    inputs = packed_inputs(batch([([1], [2], [3]), ([1, 4, 5], [2, 2], [3])]), share)
    scored = inputs["packed_labels"].flatten()[inputs["packed_source"]]
    assert (scored != -100).all()
