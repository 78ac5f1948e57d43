"""A reward as plain transformers loads it: a sequence classifier with one label.

A probe becomes a model with only the layers below it and a head that is its direction.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from palate.core.errors import PalateError, UsageError
from palate.generate.models import Loaded, quiet
from palate.reward.features import Chat, batches
from palate.reward.probe import Probe

if TYPE_CHECKING:
    pass

CHECKED = 32  # texts on which the saved model has to agree with the probe
ROUNDING = {"torch.float32": 1e-4, "torch.bfloat16": 0.1, "torch.float16": 0.02}
ANOTHER = "Choose another --base-model."


def check_base(repo: str, architectures: Sequence[str]) -> None:
    """Raise UsageError for a base that scores texts already, and so writes none."""
    for name in architectures:
        if "ForSequenceClassification" in name or "ForTokenClassification" in name:
            raise UsageError(
                f"{repo} is a classifier already ({name}). A reward starts from a model that writes"
                " text, such as the project's base model: leave --base-model out."
            )


def empty(loaded: Loaded, layers: int) -> Any:
    """Return a classifier with the model's first layers and a head that has learned nothing."""
    import torch
    from transformers import AutoModelForSequenceClassification

    model = loaded.model
    config = copy.deepcopy(model.config)
    config.num_labels = 1
    config.pad_token_id = config.get_text_config().pad_token_id = loaded.tokenizer.pad_token_id
    text = config.get_text_config()
    if layers < text.num_hidden_layers:
        text.num_hidden_layers = layers
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[:layers]
    try:
        classifier = AutoModelForSequenceClassification.from_config(config, dtype=model.dtype)
    except ValueError:
        raise UsageError(
            f"transformers has no classifier for {loaded.repo} ({type(model).__name__}). {ANOTHER}"
        ) from None
    if not isinstance(getattr(classifier, "score", None), torch.nn.Linear):
        raise UsageError(
            f"{type(classifier).__name__} has no linear head named score, which a reward needs."
            f" {ANOTHER}"
        )
    weights = model.base_model.state_dict()
    own = classifier.base_model.state_dict()
    if missing := [name for name in own if name not in weights]:
        raise UsageError(f"{loaded.repo} lacks weights of a classifier: {missing[0]}. {ANOTHER}")
    classifier.base_model.load_state_dict({name: weights[name] for name in own})
    classifier.name_or_path = classifier.config._name_or_path = loaded.repo
    return classifier.to(model.device)


def with_head(loaded: Loaded, probe: Probe) -> Any:
    """Return the classifier that scores as the probe does."""
    import torch

    classifier = empty(loaded, probe.layer)
    with torch.no_grad():
        weights = torch.from_numpy(probe.weights[None])
        classifier.score.weight.copy_(weights)
        if classifier.score.bias is not None:
            classifier.score.bias.zero_()
    return classifier


def load(folder: Path) -> tuple[Any, Any]:
    """Return model and tokenizer of a saved reward, by plain transformers."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    quiet()
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device).eval(), tokenizer


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


def check_saved(folder: Path, texts: Sequence[Chat], expected: np.ndarray) -> None:
    """Raise PalateError unless the saved model gives these scores by plain transformers."""
    model, tokenizer = load(folder)
    step = max(1, len(texts) // CHECKED)
    some = list(range(0, len(texts), step))
    found = scores(model, tokenizer.pad_token_id, [texts[i] for i in some])
    off = float(np.abs(found - expected[some]).max())
    if not off <= ROUNDING.get(str(model.dtype), 1e-4):
        raise PalateError(
            f"Loaded by plain transformers, the reward differs by {off:.2g} from the probe:"
            f" {type(model).__name__} does not compute its layers as the base model does. Use"
            " --method lora, or another --base-model."
        )
