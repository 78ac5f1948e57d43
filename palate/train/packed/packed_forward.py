"""The forward of packed rows: masks for each type of layer, and results in TRL's shape."""

import functools
import types
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from palate.train.config import BatchMode
from palate.train.packed import attention
from palate.train.packed.packing import IGNORED, PACKED_KEYS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

T = TypeVar("T")
OUTPUTS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
MASKED_LAYERS = {"full_attention", "sliding_attention"}  # whose masks palate makes


def allowed_mode(mode: BatchMode, config: "PreTrainedConfig") -> tuple[BatchMode, str]:
    """Return the highest mode that an architecture is known to allow, and why none is higher."""
    text = config.get_text_config()
    name = f"{text.model_type} models"
    layers = set(getattr(text, "layer_types", None) or [])
    if mode != "tree":
        return mode, ""
    if layers - MASKED_LAYERS:
        kinds = ", ".join(sorted(layers - MASKED_LAYERS))
        return "rows", f"{name} have layers of {kinds}: prompts are not shared."
    recurrent = ("ssm_cfg", "state_size", "rwkv_version", "linear_num_value_heads", "mamba_d_state")
    if any(getattr(text, key, None) is not None for key in recurrent):
        return "rows", f"Some layers of {name} are not attention: prompts are not shared."
    kind = getattr(text, "_attn_implementation", None)
    if kind not in ("sdpa", "eager"):
        return "rows", f"The attention {kind!r} takes no mask: prompts are not shared."
    return mode, ""


def attention_masks(
    config: "PreTrainedConfig",
    packed: "Mapping[str, torch.Tensor]",
    dtype: "torch.dtype",
    *,
    flex: bool = False,
) -> Any:
    """Return the mask of packed rows as the model takes it: one, or one for each type of layer."""
    segments, positions = packed["packed_segments"], packed["packed_positions"]
    if not flex and int(segments.max()) <= 1:  # one completion in a row
        return (segments >= 0).long()
    eager = getattr(config, "_attn_implementation", None) == "eager"

    def mask(*near: Any) -> Any:
        if flex:
            return attention.block_mask(segments, *near)
        return attention_mask(segments, dtype, *near, eager=eager)

    window = getattr(config, "sliding_window", None)
    if not getattr(config, "use_sliding_window", True):
        window = None
    layers = set(getattr(config, "layer_types", None) or [])
    if not window or layers == {"full_attention"}:
        return mask()
    sliding = mask(positions, window)
    if not layers:
        return sliding
    return {"full_attention": mask(), "sliding_attention": sliding}


def attention_mask(
    segments: "torch.Tensor", dtype: "torch.dtype", *near: Any, eager: bool = False
) -> "torch.Tensor":
    """Return a dense mask as an attention of this type takes it.

    Eager attention adds it. So does PyTorch's, which would make it of booleans for every layer, and
    keep each for the backward pass. Where its type is not known, it gets booleans.
    """
    import torch

    seen = attention.dense_mask(segments, *near)
    if eager:
        return attention.added_mask(seen, dtype, torch.finfo(dtype).min)
    device = seen.device.type
    if torch.is_autocast_enabled(device):
        return attention.added_mask(seen, torch.get_autocast_dtype(device))
    return attention.added_mask(seen, dtype) if dtype == torch.float32 else seen


def unpack(
    values: "torch.Tensor | None", labels: "torch.Tensor", packed: "Mapping[str, torch.Tensor]"
) -> "torch.Tensor | None":
    """Return results of packed rows, (rows, T), in TRL's shape, (2P, L - 1); 0 elsewhere."""
    import torch

    if values is None:
        return None
    flat = values.reshape(-1)[packed["packed_source"]]
    shape = (labels.shape[0], labels.shape[1] - 1)
    empty = torch.zeros(shape[0] * shape[1], dtype=flat.dtype, device=flat.device)
    return empty.index_put((packed["packed_target"],), flat).view(shape)


def add_packed_forward(
    model: Any,
    observe: Callable[[Any], None] = lambda out: None,
    uses_flex: Callable[[], bool] = lambda: False,
) -> None:
    """Let TRL's fused forward compute packed rows, where `packed_inputs` come with the batch.

    `observe` gets each output, in TRL's shape; `uses_flex` tells whether FlexAttention computes the
    batch. It stays the model's attention until the next forward: gradient checkpointing computes
    layers again in the backward pass.
    """
    from trl.trainer import utils

    # without a Triton kernel TRL scores every position; packed rows have few to score
    setattr(utils, "_use_triton", lambda device: True)  # noqa: B010
    fused = model.forward
    config = model.config.get_text_config()
    usual = config._attn_implementation
    attention.register()

    @functools.wraps(type(model).forward)  # generate checks its arguments against this
    def forward(
        self: "PreTrainedModel",
        *args: Any,
        weights: "torch.Tensor | None" = None,
        labels: Any = None,
        **kwargs: Any,
    ) -> Any:
        packed = {k: kwargs.pop(k) for k in PACKED_KEYS if k in kwargs}
        flex = bool(packed) and uses_flex()
        config._attn_implementation = attention.FLEX if flex else usual
        if not packed:
            given = kwargs if labels is None else {**kwargs, "labels": labels}
            out = fused(*args, **given)
            observe(out)
            return out if weights is None else weigh(out, weights)
        kwargs |= {
            "input_ids": packed["packed_ids"],
            "position_ids": packed["packed_positions"],
            # by which TRL weighs the tokens in the loss of routers
            "attention_mask": packed["packed_counts"],
        }
        with backbone_mask(self, attention_masks(config, packed, self.dtype, flex=flex)):
            out = fused(*args, shift_labels=packed["packed_labels"], **kwargs)
        for name in OUTPUTS:
            setattr(out, name, unpack(getattr(out, name), labels, packed))
        out.label_mask = labels[:, 1:] != IGNORED
        observe(out)
        return out if weights is None else weigh(out, weights)

    model.forward = types.MethodType(forward, model)


@contextmanager
def backbone_mask(model: Any, mask: "torch.Tensor | dict[str, torch.Tensor]") -> Generator[None]:
    """Give the layers of a model this attention mask, whatever the head's is."""

    def replace(_: object, args: T, kwargs: dict[str, object]) -> tuple[T, dict[str, object]]:
        return args, {**kwargs, "attention_mask": mask}

    hook = model.base_model.register_forward_pre_hook(replace, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def sequence_log_probs(
    per_token: "torch.Tensor", mask: "torch.Tensor", ld_alpha: float | None
) -> "torch.Tensor":
    """Return the log-probability of each completion, shape (2P,), as TRL's loss takes it.

    With `ld_alpha`, tokens beyond the length of the pair's shorter completion count that much.
    """
    if ld_alpha is None:
        return per_token.sum(1)
    place, length = mask.cumsum(1), mask.sum(1)
    shared = length.view(2, -1).amin(0).repeat(2)
    return per_token.where(place <= shared[:, None], ld_alpha * per_token).sum(1)


def weigh(out: Any, weights: "torch.Tensor") -> Any:
    """Return the output such that the WPO term of TRL's loss is each pair's weight.

    That term is exp(mean over the completion of log_probs - log_sum_sq_probs), chosen's times
    rejected's; weights have shape (pairs,).
    """
    per_sequence = weights.clamp(min=1e-6).log().repeat(2) / 2
    out.log_sum_sq_probs = out.log_probs.detach() - per_sequence[:, None].to(out.log_probs)
    return out
