"""Weights from safetensors in a folder: what cannot be loaded, or would be random, is refused."""

import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.core.errors import PalateError, UsageError, is_out_of_memory

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PreTrainedModel

SHOWN = 200  # characters of what a library says


def check_trainable(repo: str, config: Mapping[str, object]) -> None:
    """Raise UsageError where a config.json says that the weights are quantized."""
    for part in (config, *(p for p in config.values() if isinstance(p, dict))):
        if quantized := part.get("quantization_config"):
            by = quantized.get("quant_method") if isinstance(quantized, dict) else None
            raise UsageError(
                f"The weights of {repo} are quantized{f' ({by})' if by else ''}, so they cannot be"
                " trained. Choose the model that they were made from; --method qlora trains it in"
                " four bits."
            )


@contextmanager
def readable(repo: str) -> Generator[None]:
    """Raise UsageError where a library cannot load the repo's files, whatever it raises."""
    try:
        yield
    except Exception as error:
        of_disk = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
        if is_out_of_memory(error) or of_disk or isinstance(error, PalateError):
            raise
        said = " ".join(str(error).split())[:SHOWN]
        raise UsageError(
            f"{repo} cannot be loaded as a model that writes text ({type(error).__name__}: {said})."
            " Choose a causal language model in safetensors, such as an instruction-tuned one."
        ) from error


def shapes(repo: str, file: Path) -> list[list[int]]:
    """Return the shapes of a file's tensors. Raises UsageError for a damaged file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as tensors:
            return [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
    except SafetensorError as error:
        raise UsageError(
            f"{repo}/{file.name} is damaged: {error}. Upload it again, or choose another model."
        ) from None


def of_folder(
    repo: str,
    folder: Path,
    dtype: "torch.dtype",
    quantized: "BitsAndBytesConfig | None" = None,
    placed: dict[str, int] | None = None,
) -> "PreTrainedModel":
    """Load a causal language model, with none of the repo's code.

    Raises UsageError where a tensor is missing, which transformers would fill with random numbers,
    where one is no number, and for a model that does not write.
    """
    from transformers import AutoModelForCausalLM

    with readable(repo):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,  # not None: transformers would ask at the terminal
            output_loading_info=True,
            quantization_config=quantized,
            device_map=placed,
        )
    model, info = loaded
    _check_kind(repo, model)
    if missing := sorted(info["missing_keys"]):
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise UsageError(
            f"{repo} has no {missing[0]}{more} among its weights, as a model that writes text has,"
            " so it would write with random numbers. Choose another model."
        )
    for name, tensor in model.named_parameters():
        has_values = tensor.is_floating_point() and not tensor.is_meta  # FSDP fills some later
        if has_values and not tensor.isfinite().all():
            raise UsageError(
                f"{repo} has values in {name} that are not numbers. Choose another model, or an"
                " earlier revision of this one."
            )
    return model


def with_adapter(repo: str, folder: Path, base: "PreTrainedModel") -> "PreTrainedModel":
    """Return the base with the folder's adapter merged into it.

    Raises UsageError where the adapter lacks a tensor, which peft would fill with random numbers.
    """
    from peft import PeftModel

    with readable(repo), warnings.catch_warnings():
        warnings.filterwarnings("error", "Found missing adapter keys")
        try:
            adapted = PeftModel.from_pretrained(base, str(folder))
        except UserWarning:
            raise UsageError(
                f"The adapter {repo} lacks weights that its adapter_config.json describes, so it"
                " would change nothing. Choose another model."
            ) from None
        return adapted.merge_and_unload()


def _check_kind(repo: str, model: "PreTrainedModel") -> None:
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    if type(model.config) in MODEL_FOR_MASKED_LM_MAPPING and not model.config.is_decoder:
        raise UsageError(
            f"{repo} is a {model.config.model_type} model, which fills gaps and does not write."
            " Choose a causal language model."
        )
    if any("Classification" in name for name in model.config.architectures or ()):
        raise UsageError(
            f"{repo} is a classifier, such as a reward model, and does not write. Choose the model"
            " that it was made from."
        )


def four_bits(repo: str, folder: Path, dtype: "torch.dtype") -> "PreTrainedModel":
    """Return the model in NF4, its arithmetic in `dtype`: T. Dettmers et al., "QLoRA" (2023)."""
    import torch
    from transformers import BitsAndBytesConfig

    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    # of several processes each has its own device
    placed = {"": torch.cuda.current_device()}
    return of_folder(repo, folder, dtype, quantized, placed)
