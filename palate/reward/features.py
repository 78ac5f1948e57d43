"""Frozen features of answers, and rewards by plain transformers.

A feature is what a sequence classifier with only the layers below can read: the mean over all
tokens of the normed hidden state, where one more layer can average (`averages`), and else that of
the last token that is no padding, after the final norm. Each distinct prompt and answer is computed
once, in packed rows.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from palate.core.errors import UsageError
from palate.core.schema import Message
from palate.generate.chats import encode
from palate.generate.models import Loaded
from palate.generate.prefill import parameters
from palate.train.packed import packed_forward
from palate.train.packed.packing import PackedRow, pack

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")  # a backbone's last one
ROW_TOKENS = 4096  # that are computed at once, padding included
# Of the layers: the head's. Chosen on folds of a few hundred pairs, it was another one each time.
DEPTH = 0.6
AVERAGING = ("llama", "qwen2", "qwen3")  # types whose attention can add a constant


@dataclass(frozen=True)
class Chat:
    """A prompt with an answer, as the chat template writes it, in tokens."""

    ids: tuple[int, ...]
    pooled: int  # the place of the last token that is no padding


def chats(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[list[Message]]
) -> list[Chat]:
    """Return the conversations in tokens."""
    pad = tokenizer.pad_token_id
    chats = []
    for messages in conversations:
        ids = tuple(encode(tokenizer, messages))
        chats.append(Chat(ids, max((i for i, t in enumerate(ids) if t != pad), default=0)))
    return chats


def averages(config: "PreTrainedConfig") -> bool:
    """Tell whether a layer that averages over all tokens can be put on top of this model's."""
    return config.model_type in AVERAGING


def middle(config: "PreTrainedConfig") -> int:
    """Return the number of the layer that is read: about 60% of the depth."""
    layers = config.num_hidden_layers
    # after the last layer comes a norm, whose input nobody is given
    most = max(1, layers - 1) if averages(config) and layers > 1 else layers
    return min(most, max(1, round(layers * DEPTH)))


def extract(
    loaded: Loaded, texts: Sequence[Chat], groups: Sequence[str], layers: Sequence[int]
) -> dict[int, np.ndarray]:
    """Return the features of each text by layer, shape (texts, width).

    `groups` names the prompt of each text; texts of one prompt share what they begin with.
    """
    import torch

    model, config = loaded.model, loaded.model.config.get_text_config()
    norm = final_norm(model.base_model)
    if norm is None:
        raise UsageError(
            f"{unknown(loaded)}, so it cannot put a head on one of them. Use --method lora, or"
            " another --base-model."
        )
    mode, _ = packed_forward.allowed_mode("tree", model.config)
    tree = mode == "tree" and "position_ids" in parameters(model)
    shared = shared_tokens(texts, groups)
    rows, places = pack([t.ids for t in texts], shared, tree, whole=True)
    features = {k: np.zeros((len(texts), config.hidden_size), np.float32) for k in layers}
    owners: dict[int, list[int]] = {}
    for text, (row, _) in enumerate(places):
        owners.setdefault(row, []).append(text)
    model.eval()
    with torch.inference_mode(), _only_below(model.base_model, max(layers)):
        for batch in batches([len(r.ids) for r in rows]):
            states = _hidden_states(model, [rows[i] for i in batch])
            for k, values in features.items():
                if averages(config):
                    state = _normed(states[k].float(), config.rms_norm_eps)
                else:  # the last state has the norm already
                    state = states[k] if k == config.num_hidden_layers else norm(states[k])
                for place, row in enumerate(batch):
                    for text in owners[row]:
                        # a segment repeats the prompt's last token, then has the answer
                        first, start = shared[text] - 1, places[text][1]
                        end = start + texts[text].pooled - first + 1
                        tokens = state[place, end - 1]
                        if averages(config):
                            both = (state[place, :first], state[place, start:end])
                            tokens = torch.cat(both).mean(0)
                        values[text] = tokens.float().cpu().numpy()
    return features


@contextmanager
def _only_below(backbone: "torch.nn.Module", layer: int) -> Generator[None]:
    """Leave out the layers above the next one, where their list has a known name.

    The next one stays, since the states after the last layer are normed.
    """
    layers = getattr(backbone, "layers", None)
    if layers is not None:
        backbone.layers = layers[: layer + 1]
    try:
        yield
    finally:
        if layers is not None:
            backbone.layers = layers


def _normed(states: "torch.Tensor", epsilon: float) -> "torch.Tensor":
    return states * (states.pow(2).mean(-1, keepdim=True) + epsilon).rsqrt()


def shared_tokens(texts: Sequence[Chat], groups: Sequence[str]) -> list[int]:
    """Return with how many tokens all texts of a group begin, 1 or more, for each text.

    What is pooled is not among them, so that each text has its own.
    """
    members: dict[str, list[Chat]] = {}
    for text, group in zip(texts, groups, strict=True):
        members.setdefault(group, []).append(text)
    shared = {group: _common(own) for group, own in members.items()}
    return [shared[group] for group in groups]


def _common(texts: Sequence[Chat]) -> int:
    most = min(t.pooled for t in texts)
    low, high = min(t.ids for t in texts), max(t.ids for t in texts)
    alike = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), most)
    return max(1, min(alike, most))


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of rows of similar length, at most `ROW_TOKENS` tokens in a batch."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[place] > ROW_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _hidden_states(model: Any, rows: Sequence[PackedRow]) -> "Sequence[torch.Tensor]":
    import torch

    width = max(len(row.ids) for row in rows)

    def padded(name: str, filler: int) -> torch.Tensor:
        values = [getattr(row, name) for row in rows]
        filled = [v + [filler] * (width - len(v)) for v in values]
        return torch.tensor(filled, device=model.device)

    packed = {
        "packed_segments": padded("segments", -1),
        "packed_positions": padded("positions", 0),
    }
    if "position_ids" in parameters(model):
        mask = packed_forward.attention_masks(model.config.get_text_config(), packed, model.dtype)
        how = {"attention_mask": mask, "position_ids": packed["packed_positions"]}
    else:
        how = {"attention_mask": (packed["packed_segments"] >= 0).long()}
    return model.base_model(
        input_ids=padded("ids", 0), output_hidden_states=True, use_cache=False, **how
    ).hidden_states


def final_norm(backbone: Any) -> Any:
    """Return the norm after the last layer; None where it has no known name."""
    return next((getattr(backbone, name) for name in NORMS if hasattr(backbone, name)), None)


def unknown(loaded: Loaded) -> str:
    """Return what to say of a model without a known norm."""
    return f"palate does not know the layers of {loaded.repo} ({type(loaded.model).__name__})"
