"""The arguments of `palate pack`."""

from dataclasses import dataclass
from typing import Literal

from palate.terminal.flags import ModelRef, ProjectId

Gguf = Literal["q8_0", "q4_k_m"]


@dataclass(frozen=True)
class PackArguments:
    """The arguments of `palate pack`."""

    project: ProjectId
    """Project, such as me/titles."""
    model: ModelRef = None
    """Tuned model. Default: the project's newest."""
    gguf: Gguf = "q8_0"
    """How the weights are stored: q8_0 in 8 bits, q4_k_m in 4 to 6, which needs llama-quantize."""
    merged: bool = False
    """Also push an adapter merged into its base model, as safetensors."""
