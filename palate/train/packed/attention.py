"""How packed rows attend: with a dense mask, or with FlexAttention where that is too large.

A dense mask has an entry for every two tokens of a row. On CUDA, where the largest batch's mask and
what is computed on the way to it would take more than `FREE_SHARE` of the GPU's free memory,
FlexAttention computes the same from blocks of 128 tokens, and skips those that nothing attends to.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.nn.attention.flex_attention import BlockMask

FLEX = "palate_flex"  # the name of FlexAttention among the attentions of transformers
BLOCK = 128  # tokens in a block of FlexAttention
ALIGNED = 16  # tokens: PyTorch copies a dense mask of another length for every layer
FREE_SHARE = 0.25
STEPS_BYTES = 4  # for every two tokens, on the way to a dense mask
LATER_BYTES = 12  # per trained parameter: gradient and two moments, which come after the check
DROPOUTS = ("attention_dropout", "attn_pdrop", "attention_probs_dropout_prob")


def mask_bytes(rows: int, length: int, size: int) -> int:
    """Return the bytes that a dense mask of packed rows takes, of numbers of `size` bytes."""
    return rows * length**2 * (size + STEPS_BYTES)


def prefers_flex(mask: int, free: float, trainable: int) -> bool:
    """Tell whether a dense mask of so many bytes is too large for the memory that is free."""
    return mask > FREE_SHARE * max(0.0, free - LATER_BYTES * trainable)


def supports_flex(model: Any) -> bool:
    """Tell whether a model's code takes FlexAttention, which has no dropout."""
    config = model.config.get_text_config()
    dropout = any(getattr(config, name, None) for name in DROPOUTS)
    return bool(getattr(model, "_supports_flex_attn", False)) and not dropout


def dense_mask(
    segments: "torch.Tensor", positions: "torch.Tensor | None" = None, window: int = 0
) -> "torch.Tensor":
    """Return what each token attends to, shape (rows, 1, T, T): causal, own segment or prompt.

    With `positions`, only tokens less than `window` positions back. True is attended. Padding
    attends to itself, since a row of nothing would give NaN.
    """
    return _attended(segments, positions, window, 0, segments.shape[1])[:, None]


def _attended(
    segments: "torch.Tensor",
    positions: "torch.Tensor | None",
    window: int,
    first: int,
    end: int,
) -> "torch.Tensor":
    """Return which tokens those from `first` to `end` attend to, shape (rows, end - first, T)."""
    import torch

    place = torch.arange(segments.shape[1], device=segments.device)
    own, other = segments[:, first:end, None], segments[:, None, :]
    ahead = place[first:end, None] - place  # below 0 is the future
    seen = ((own == other) | ((other == 0) & (own > 0))) & (ahead >= 0)
    if positions is not None:
        seen = seen & (positions[:, first:end, None] - positions[:, None, :] < window)
    return seen | (ahead == 0)


def added_mask(
    seen: "torch.Tensor", dtype: "torch.dtype", least: float = float("-inf")
) -> "torch.Tensor":
    """Return the mask as attention adds it to its scores: 0 is attended, `least` is not."""
    import torch

    zero = torch.zeros((), dtype=dtype, device=seen.device)
    return torch.where(seen, zero, torch.full_like(zero, least))


def block_mask(
    segments: "torch.Tensor", positions: "torch.Tensor | None" = None, window: int = 0
) -> "BlockMask":
    """Return `dense_mask` as FlexAttention takes it: which blocks hold an entry, and which all.

    T is a multiple of BLOCK. The entries of one line of blocks at a time are computed.
    """
    import torch
    from torch.nn.attention.flex_attention import BlockMask

    size = segments.shape[1]
    lines = [
        _attended(segments, positions, window, first, first + BLOCK)
        .unflatten(2, (size // BLOCK, BLOCK))
        .sum(dim=(1, 3))
        for first in range(0, size, BLOCK)
    ]
    entries = torch.stack(lines, dim=1)[:, None]  # of all heads

    def ordered(held: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places = held.int().argsort(dim=-1, descending=True, stable=True)
        return held.sum(dim=-1).int(), places.int()

    where = segments if positions is None else positions
    reach = size if positions is None else window

    def seen(row: Any, _: Any, query: Any, key: Any) -> Any:
        own, other = segments[row, query], segments[row, key]
        shared = (own == other) | ((other == 0) & (own > 0))
        near = where[row, query] - where[row, key] < reach
        return (shared & near & (query >= key)) | (query == key)

    whole = entries == BLOCK**2
    return BlockMask.from_kv_blocks(
        *ordered((entries > 0) & ~whole),
        *ordered(whole),
        BLOCK_SIZE=BLOCK,
        mask_mod=seen,
        seq_lengths=(size, size),
    )


def flex_attention(
    module: Any,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: Any,
    **kwargs: Any,
) -> "tuple[torch.Tensor, torch.Tensor | None]":
    """Compute as transformers does, in the type of autocast, which does not reach FlexAttention."""
    import torch
    from transformers.integrations.flex_attention import flex_attention_forward

    device, dtype = query.device.type, value.dtype
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    return flex_attention_forward(module, query, key, value, attention_mask, **kwargs)


def register() -> None:
    """Let models of transformers use `flex_attention` under the name `FLEX`."""
    from transformers import AttentionInterface

    AttentionInterface.register(FLEX, flex_attention)
