"""A reward as plain transformers loads it: a sequence classifier with one label.

A probe becomes a model with only the layers below it, and a head that is its direction. Where a
probe reads the mean over all tokens, one more layer computes that: it attends to all tokens alike,
and writes the mean score, and a large constant, into two channels of the last token. The final norm
divides by the constant, and the head multiplies by it.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from palate.core.errors import PalateError, UsageError
from palate.core.schema import Message
from palate.generate.models import Loaded, quiet
from palate.reward.features import Chat, averages, batches, chats
from palate.reward.probe import Probe

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

CHECKED = 32  # texts on which the saved model has to agree with the probe
ROUNDING = {"torch.float32": 1e-4, "torch.bfloat16": 0.1, "torch.float16": 0.02}
LOUD = 1e8  # times as large as what other layers write, which is lost in it
CONSTANT = 1e3  # of a score's size: the norm is constant up to the square of its inverse
ANOTHER = "Choose another --base-model."


def check_base(repo: str, kind: object, architectures: Sequence[str]) -> None:
    """Raise UsageError for a base that scores texts already, or whose type has no classifier."""
    from transformers.models.auto import modeling_auto

    for name in architectures:
        if "ForSequenceClassification" in name or "ForTokenClassification" in name:
            raise UsageError(
                f"{repo} is a classifier already ({name}). A reward starts from a model that writes"
                " text, such as the project's base model: leave --base-model out."
            )
    if str(kind) not in modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        raise UsageError(
            f"transformers has no classifier for {repo}, a model of the type {kind!r}. {ANOTHER}"
        )


def empty(loaded: Loaded, layers: int, *, average: bool = False) -> Any:
    """Return a classifier with the model's first layers and a head that has learned nothing.

    With `average`, a layer that does nothing follows.
    """
    from transformers import AutoModelForSequenceClassification

    model = loaded.model
    check_base(loaded.repo, model.config.model_type, ())
    config = _config(loaded, layers, average=average)
    classifier = AutoModelForSequenceClassification.from_config(config, dtype=model.dtype)
    _check_head(classifier)
    weights, own = model.base_model.state_dict(), classifier.base_model.state_dict()
    added = f"layers.{layers}."
    for name, values in own.items():
        if average and (name.startswith(added) or (name not in weights and "bias" in name)):
            values.zero_()
        elif name in weights:
            values.copy_(weights[name])
        else:
            raise UsageError(f"{loaded.repo} lacks a classifier's weight {name}. {ANOTHER}")
    classifier.name_or_path = classifier.config._name_or_path = loaded.repo
    return classifier.to(model.device)


def _config(loaded: Loaded, layers: int, *, average: bool) -> "PreTrainedConfig":
    config = copy.deepcopy(loaded.model.config)
    text = config.get_text_config()
    config.num_labels = 1
    config.pad_token_id = text.pad_token_id = loaded.tokenizer.pad_token_id
    text.num_hidden_layers = layers + average
    if getattr(text, "layer_types", None):
        text.layer_types = [*text.layer_types[:layers], *["full_attention"] * average]
    if average:
        text.attention_bias = True
    return config


def _check_head(classifier: object) -> None:
    import torch

    head = getattr(classifier, "score", None)
    if not isinstance(head, torch.nn.Linear) or head.bias is not None:
        raise UsageError(
            f"{type(classifier).__name__} has no linear head named score, which a reward needs."
            f" {ANOTHER}"
        )


def with_head(loaded: Loaded, probe: Probe) -> Any:
    """Return the classifier that scores as the probe does."""
    import torch

    average = averages(loaded.model.config.get_text_config())
    classifier = empty(loaded, probe.layer, average=average)
    weights = torch.from_numpy(probe.weights).to(classifier.device)
    with torch.no_grad():
        if average:
            _average(classifier, weights)
        else:
            classifier.score.weight.copy_(weights[None])
    return classifier


def _average(classifier: Any, weights: "torch.Tensor") -> None:
    """Let the last layer compute the mean score over all tokens, and the head read it."""
    backbone = classifier.base_model
    layer = backbone.layers[-1]
    layer.input_layernorm.weight.fill_(1)
    layer.self_attn.v_proj.weight[0] = LOUD * weights
    layer.self_attn.v_proj.bias[1] = LOUD * CONSTANT
    for channel in (0, 1):
        layer.self_attn.o_proj.weight[channel, channel] = 1
    backbone.norm.weight.fill_(1)
    classifier.score.weight.zero_()
    classifier.score.weight[0, 0] = CONSTANT / len(weights) ** 0.5


def head(classifier: Any) -> list[str]:
    """Return the modules of a probe's classifier that are no layer of the base model's.

    The embedding is among them: it has a row for each word, and a training sees few of them.
    """
    backbone = classifier.base_model
    apart = [classifier.score, classifier.get_input_embeddings()]
    if averages(classifier.config.get_text_config()):
        apart += [backbone.layers[-1], backbone.norm]
    return [name for name, module in classifier.named_modules() if any(module is a for a in apart)]


def load(folder: Path) -> "tuple[Any, PreTrainedTokenizerBase]":
    """Return model and tokenizer of a saved reward, by plain transformers."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    quiet()
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device).eval(), cast("PreTrainedTokenizerBase", tokenizer)


def scores(model: Any, pad: int, texts: Sequence[Chat]) -> np.ndarray:
    """Return the reward of each text, computed in padded batches."""
    import torch

    result = np.zeros(len(texts))
    with torch.inference_mode():
        for batch in batches([len(t.ids) for t in texts]):
            ids = [list(texts[i].ids) for i in batch]
            width = max(map(len, ids))
            tokens = torch.tensor([row + [pad] * (width - len(row)) for row in ids])
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
            logits = model(
                input_ids=tokens.to(model.device),
                attention_mask=mask.to(model.device),
                use_cache=False,
            ).logits
            result[batch] = logits[:, 0].float().cpu().numpy()
    return result


def check_saved(folder: Path, conversations: Sequence[list[Message]], expected: np.ndarray) -> None:
    """Raise PalateError unless the saved model gives these scores by plain transformers."""
    model, tokenizer = load(folder)
    some = range(0, len(conversations), max(1, len(conversations) // CHECKED))
    texts = chats(tokenizer, [conversations[i] for i in some])
    off = float(np.abs(scores(model, tokenizer.pad_token_id, texts) - expected[some]).max())
    if not off <= ROUNDING.get(str(model.dtype), 1e-4):
        raise PalateError(
            f"Loaded by plain transformers, the reward differs by {off:.2g} from the probe: it"
            f" computes {type(model).__name__} or its tokens in another way. Use --method lora, or"
            " another --base-model."
        )
