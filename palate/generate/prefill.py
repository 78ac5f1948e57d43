"""The prompts of a batch, computed once for all answers that begin with them."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, PreTrainedModel


def parameters(model: "PreTrainedModel") -> Mapping[str, inspect.Parameter]:
    """Return what the model's forward takes, by name."""
    return inspect.signature(getattr(model, "get_base_model", lambda: model)().forward).parameters


def shared_prefill(
    model: "PreTrainedModel", input_ids: "torch.Tensor", attention_mask: "torch.Tensor"
) -> "DynamicCache | None":
    """Return what `generate` takes as `past_key_values`: each prompt but its last token.

    None where all prompts differ, or where the model takes no positions or keeps something else
    than keys and values.
    """
    import torch
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    taken = parameters(model)
    if "position_ids" not in taken:
        return None
    both = torch.stack([input_ids, attention_mask.to(input_ids.dtype)], dim=2)
    distinct, row = torch.unique(both, dim=0, return_inverse=True)
    if len(distinct) == len(row) or distinct.shape[1] < 2:
        return None
    cache = DynamicCache(config=model.config)
    if {type(layer) for layer in cache.layers} - {DynamicLayer, DynamicSlidingWindowLayer}:
        return None
    ids, mask = distinct[:, :-1].unbind(2)
    model(
        input_ids=ids,
        attention_mask=mask.to(attention_mask.dtype),
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        **({"logits_to_keep": 1} if "logits_to_keep" in taken else {}),
    )
    cache.batch_select_indices(row)
    return cache
