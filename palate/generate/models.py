"""Models on the Hub: found at an exact commit, loaded from safetensors, with or without adapter."""

import math
import os
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from palate.core import hub
from palate.core.errors import BadInput, UsageError
from palate.core.rounds import condition_of
from palate.core.schema import Message
from palate.core.typed import read_object
from palate.generate import weights
from palate.generate.chats import render
from palate.terminal.ref import Ref

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
WIDTHS = ("vocab_size", "hidden_size", "n_embd", "intermediate_size", "n_inner")
PACKED = 16  # numbers in one number of quantized weights, with room
MOST_ADAPTERS = 4  # one on another
RUN = "run.json"  # what palate recorded of a model that it trained
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
    ref = Ref.parse(name)
    repo = ref.repo
    sha, files = hub.describe(repo, "model", ref.revision)
    if "adapter_config.json" in files:
        return peek(_base_of(hub.fetch(repo, "model", sha, ["adapter_config.json"])[0]))
    texts = [f for f in files if Path(f).suffix in _TEXT_FILES and "/" not in f]
    if not any(f.endswith(".safetensors") for f in files) or "config.json" not in texts:
        raise _no_weights(repo)
    folder = hub.fetch(repo, "model", sha, texts)[0].parent
    config = read_object(folder / "config.json", f"{repo}/config.json")
    positions = config.get("max_position_embeddings")
    window = positions if isinstance(positions, int) else None
    return Peek(repo, sha, read_tokenizer(folder), parameters(f"{repo}@{sha}"), window)


@cache
def parameters(name: str) -> int:
    """Return how many parameters `owner/name[@revision]` has, from its safetensors' headers."""
    ref = Ref.parse(name)
    repo = ref.repo
    sha, files = hub.describe(repo, "model", ref.revision)
    if "adapter_config.json" in files:
        return parameters(_base_of(hub.fetch(repo, "model", sha, ["adapter_config.json"])[0]))
    if not any(f.endswith(".safetensors") for f in files):
        raise _no_weights(repo)
    with hub.readable_errors(repo):
        counts = hub.retry(lambda: hub.api().get_safetensors_metadata(repo, revision=sha))
    return sum(counts.parameter_count.values())


def _base_of(file: Path) -> str:
    """Return the base model that an adapter_config.json names."""
    config = read_object(file, "adapter_config.json")
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or Path(base).exists():
        raise BadInput("adapter_config.json", f"expected the base model's repo, found {base!r}")
    return f"{base}@{config.get('revision') or 'main'}"


def find(name: str, above: int = 0) -> Source:
    """Download `owner/name[@revision]`: safetensors, configuration and tokenizer, nothing else.

    `above` counts the adapters on it. Raises UsageError for a repo without safetensors.
    """
    if above > MOST_ADAPTERS:
        raise UsageError(f"{name} is an adapter on an adapter, and so on, without a model below.")
    ref = Ref.parse(name)
    repo = ref.repo
    sha, files = hub.describe(repo, "model", ref.revision)
    tensors = [f for f in files if re.fullmatch(r"(adapter_)?model[^/]*\.safetensors", f)]
    if not tensors:
        raise _no_weights(repo)
    texts = [f for f in files if Path(f).suffix in _TEXT_FILES and "/" not in f]
    local = hub.fetch(repo, "model", sha, tensors + texts)
    folder = local[0].parent
    words = ""
    if RUN in files:
        words = condition_of(read_object(folder / RUN, f"{repo}/{RUN}"), f"{repo}/{RUN}")
    if "adapter_config.json" in files:
        base = find(_base_of(folder / "adapter_config.json"), above + 1)
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


def _no_weights(repo: str) -> UsageError:
    return UsageError(
        f"{repo} holds no model.safetensors or adapter_model.safetensors, and palate loads"
        " nothing else. Choose another model, or convert this one to safetensors."
    )


def load(source: Source, *, dtype: "torch.dtype | None" = None, four_bits: bool = False) -> Loaded:
    """Load model and tokenizer, on the GPU if there is one; an adapter is merged into its base.

    `four_bits` quantizes the weights, which needs bitsandbytes. `dtype` is bfloat16 on CUDA and
    float32 on a CPU unless given. No code from the repo is run.
    Raises UsageError for a tokenizer without a chat template or an EOS token.
    """
    import torch

    quiet()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    _check_architecture(source.base or source)
    tokenizer = read_tokenizer(source.folder)
    if tokenizer.chat_template is None:
        raise UsageError(
            f"{source.repo} has no chat template, so palate cannot prompt it."
            " Choose an instruction-tuned model, or add one to its tokenizer_config.json."
        )
    _check_template(source, tokenizer)
    if tokenizer.eos_token is None:
        raise UsageError(
            f"{source.repo} has no EOS token, so its answers would never end."
            " Name one as eos_token in its tokenizer_config.json, or choose another model."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    dtype = dtype or (torch.bfloat16 if device == "cuda" else torch.float32)
    if four_bits:
        model = weights.four_bits(source.repo, source.folder, dtype)
    else:
        model = _weights(source, dtype)
    # a config saved later names the Hub's repo, not a local folder
    model.name_or_path = model.config._name_or_path = source.repo
    placed = model if four_bits else model.to(device)
    return Loaded(source.repo, source.revision, placed, tokenizer, source.condition)


def _check_architecture(source: Source) -> None:
    """Raise UsageError for a model that only code of its repo could load."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = read_object(source.folder / "config.json", f"{source.repo}/config.json")
    if source.base is None and kind.get("model_type") not in CONFIG_MAPPING:
        raise UsageError(
            f"{source.repo} is of the type {kind.get('model_type')!r}, which transformers does not"
            " know. Only code of the repo could load it, and palate runs none."
        )


def _check_template(source: Source, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise UsageError for a chat template that fails, or that tries to leave jinja's sandbox."""
    from jinja2 import TemplateError

    try:
        render(tokenizer, [Message(role="user", content="Hello")])
    except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise UsageError(
            f"The chat template of {source.repo} fails on a message of one user: {error}. Correct"
            " it, or choose another model."
        ) from None


def read_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", trust_remote_code=False)
    return cast("PreTrainedTokenizerBase", tokenizer)


def _weights(source: Source, dtype: "torch.dtype") -> "PreTrainedModel":
    if source.base is None:
        return weights.of_folder(source.repo, source.folder, dtype)
    from peft import PeftModel

    base = _weights(source.base, dtype)
    with weights.readable(source.repo):
        return PeftModel.from_pretrained(base, str(source.folder)).merge_and_unload()


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
