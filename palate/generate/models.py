"""Models on the Hub: found at an exact commit, loaded from safetensors, with or without adapter."""

import math
import os
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.core import hub
from palate.core.errors import BadInput, UsageError
from palate.core.rounds import condition_of
from palate.core.typed import read_object
from palate.generate import tokenizers, weights
from palate.terminal.ref import Ref

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
WIDTHS = ("vocab_size", "hidden_size", "n_embd", "intermediate_size", "n_inner")
PACKED = 16  # numbers in one number of quantized weights, with room
MOST_ADAPTERS = 4  # one on another
ADAPTER = "adapter_config.json"
RUN = "run.json"  # what palate recorded of a model that it trained
ROOM = "Choose another model, or give this one room for the token: resize_token_embeddings."
_TEXT_FILES = {".json", ".txt", ".jinja", ".model"}


@dataclass(frozen=True)
class Source:
    """A model on the Hub at an exact commit, its files on this machine."""

    repo: str
    revision: str
    folder: Path
    parameters: int
    base: "Source | None" = None  # of an adapter
    condition: str = ""  # the words after each prompt that its run.json asks for

    @property
    def root(self) -> "Source":
        """The model below all adapters."""
        return self.base.root if self.base else self


@dataclass(frozen=True)
class Loaded:
    """A model in memory with its tokenizer, and where it came from."""

    repo: str
    revision: str
    model: Any
    tokenizer: Any
    condition: str = ""  # the words after each prompt under which it writes


@dataclass(frozen=True)
class Peek:
    """What is known of a model without its weights: tokenizer, size, context window."""

    repo: str
    revision: str
    tokenizer: "PreTrainedTokenizerBase"
    parameters: int
    window: int | None  # tokens


def peek(name: str) -> Peek:
    """Return what is known of `owner/name[@revision]` without downloading its weights."""
    repo, sha, files = _weights_of(name)
    texts = [f for f in files if Path(f).suffix in _TEXT_FILES and "/" not in f]
    folder = hub.fetch(repo, "model", sha, texts)[0].parent
    config = read_object(folder / "config.json", f"{repo}/config.json")
    positions = config.get("max_position_embeddings")
    window = positions if isinstance(positions, int) else None
    tokenizer = tokenizers.read(repo, folder)
    return Peek(repo, sha, tokenizer, parameters(f"{repo}@{sha}"), window)


@cache
def parameters(name: str) -> int:
    """Return how many parameters `owner/name[@revision]` has, from its safetensors' headers."""
    repo, sha, _ = _weights_of(name)
    with hub.readable_errors(repo):
        counts = hub.retry(lambda: hub.api().get_safetensors_metadata(repo, revision=sha))
    return sum(counts.parameter_count.values())


def trainable_parameters(name: str) -> int:
    """Return the same for a model to train. Raises UsageError where its weights are quantized."""
    repo, sha, _ = _weights_of(name)
    file = hub.fetch(repo, "model", sha, ["config.json"])[0]
    weights.check_trainable(repo, read_object(file, f"{repo}/config.json"))
    return parameters(name)


def _weights_of(name: str, above: int = 0) -> tuple[str, str, list[str]]:
    """Return repo, commit and files of the model, or of the base below its adapters.

    Raises UsageError where the repo lacks weights in safetensors or what describes them.
    """
    if above > MOST_ADAPTERS:
        raise _endless(name)
    ref = Ref.parse(name)
    sha, files = hub.describe(ref.repo, "model", ref.revision)
    if not any(f.endswith(".safetensors") for f in files):
        raise _no_weights(ref.repo)
    if ADAPTER in files:
        return _weights_of(_base_of(hub.fetch(ref.repo, "model", sha, [ADAPTER])[0]), above + 1)
    if "config.json" not in files:
        raise _no_config(ref.repo)
    return ref.repo, sha, files


def _base_of(file: Path) -> str:
    """Return the base model that an adapter_config.json names."""
    config = read_object(file, ADAPTER)
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or Path(base).exists():
        raise BadInput(ADAPTER, f"expected the base model's repo, found {base!r}")
    return f"{base}@{config.get('revision') or 'main'}"


def find(name: str, above: int = 0) -> Source:
    """Download `owner/name[@revision]`: safetensors, configuration and tokenizer, nothing else.

    `above` counts the adapters on it. Raises UsageError for a repo without safetensors.
    """
    if above > MOST_ADAPTERS:
        raise _endless(name)
    ref = Ref.parse(name)
    repo = ref.repo
    sha, files = hub.describe(repo, "model", ref.revision)
    tensors = [f for f in files if re.fullmatch(r"(adapter_)?model[^/]*\.safetensors", f)]
    if not tensors:
        raise _no_weights(repo)
    if not {"config.json", ADAPTER} & {*files}:
        raise _no_config(repo)
    texts = [f for f in files if Path(f).suffix in _TEXT_FILES and "/" not in f]
    local = hub.fetch(repo, "model", sha, tensors + texts)
    folder = local[0].parent
    words = ""
    if RUN in files:
        words = condition_of(read_object(folder / RUN, f"{repo}/{RUN}"), f"{repo}/{RUN}")
    if ADAPTER in files:
        base = find(_base_of(folder / ADAPTER), above + 1)
        return Source(repo, sha, folder, base.parameters, base, words)
    shapes = [s for file in local[: len(tensors)] for s in weights.shapes(repo, file)]
    source = Source(repo, sha, folder, sum(map(math.prod, shapes)), condition=words)
    _check_size(source, len(shapes))
    return source


def local(folder: Path) -> Source:
    """Return a model whose files are on this machine, in no repo."""
    files = folder.glob("*.safetensors")
    shapes = [s for file in files for s in weights.shapes(str(folder), file)]
    return Source(str(folder), "local", folder, sum(map(math.prod, shapes)))


def _check_size(source: Source, tensors: int) -> None:
    """Raise UsageError where the configuration describes more than the weights hold.

    Loading would create what is missing, with random numbers, until the memory is full.
    """
    config = read_object(source.folder / "config.json", f"{source.repo}/config.json")
    for part in [config, *(part for part in config.values() if isinstance(part, dict))]:
        sizes = {name: n for name, n in part.items() if isinstance(n, int)}
        layers = max((sizes[name] for name in LAYERS if name in sizes), default=0)
        widths = sorted((sizes[name] for name in WIDTHS if name in sizes), reverse=True)
        if layers > tensors or math.prod(widths[:2]) > PACKED * source.parameters:
            raise UsageError(
                f"{source.repo}/config.json describes a model much larger than its weights, which"
                f" hold {source.parameters:,} numbers. Choose another model."
            )


def _endless(name: str) -> UsageError:
    return UsageError(f"{name} is an adapter on an adapter, and so on, without a model below.")


def _no_weights(repo: str) -> UsageError:
    return UsageError(
        f"{repo} holds no model.safetensors or adapter_model.safetensors, and palate loads"
        " nothing else. Choose another model, or convert this one to safetensors."
    )


def _no_config(repo: str) -> UsageError:
    return UsageError(
        f"{repo} has neither config.json nor {ADAPTER}, which say what its weights are. Choose"
        " another model."
    )


def load(source: Source, *, dtype: "torch.dtype | None" = None, four_bits: bool = False) -> Loaded:
    """Load model and tokenizer, on the GPU if there is one; an adapter is merged into its base.

    `four_bits` quantizes the weights, which needs bitsandbytes. `dtype` is bfloat16 on CUDA and
    float32 on a CPU unless given. No code from the repo is run.
    Raises UsageError for a tokenizer that cannot ask, cannot end, or is another model's.
    """
    import torch

    quiet()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    _check_architecture(source.root)
    tokenizer = tokenizer_of(source)
    dtype = dtype or (torch.bfloat16 if device == "cuda" else torch.float32)
    if four_bits:
        model = weights.four_bits(source.repo, source.folder, dtype)
    else:
        model = _weights(source, dtype)
    tokenizers.check_tokens(source.repo, tokenizer, model, ROOM)
    # a config saved later names the Hub's repo, not a local folder
    model.name_or_path = model.config._name_or_path = source.repo
    placed = model if four_bits else model.to(device)
    return Loaded(source.repo, source.revision, placed, tokenizer, source.condition)


def window(source: Source) -> int | None:
    """Return how many tokens the model reads at most, where its configuration says that."""
    from transformers import AutoConfig

    _check_architecture(source.root)
    with weights.readable(source.repo):
        config = AutoConfig.from_pretrained(source.root.folder, trust_remote_code=False)
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def _check_architecture(source: Source) -> None:
    """Raise UsageError for a model that only code of its repo could load."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = read_object(source.folder / "config.json", f"{source.repo}/config.json")
    if kind.get("model_type") not in CONFIG_MAPPING:
        raise UsageError(
            f"{source.repo} is of the type {kind.get('model_type')!r}, which transformers does not"
            " know. Only code of the repo could load it, and palate runs none."
        )


def tokenizer_of(source: Source) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a model that writes. Raises UsageError where it cannot ask or end."""
    owner = source
    while owner.base and not tokenizers.has_one(owner.folder):  # as adapters often have none
        owner = owner.base
    return tokenizers.read_usable(source.repo, owner.folder)


def _weights(source: Source, dtype: "torch.dtype") -> "PreTrainedModel":
    if source.base is None:
        return weights.of_folder(source.repo, source.folder, dtype)
    return weights.with_adapter(source.repo, source.folder, _weights(source.base, dtype))


def quiet() -> None:
    """Silence the libraries' progress bars and notices; a job has one bar."""
    import datasets
    from transformers.utils import logging

    os.environ["TQDM_DISABLE"] = "1"
    # meant for library authors; the tests turn warnings that matter here into errors
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl|peft")
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
