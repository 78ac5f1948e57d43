"""The arguments of `palate candidates` and `palate completions`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from palate.terminal.flags import ModelRef, ProjectId, flag

SERVER_KEY = "SERVER_API_KEY"  # environment variable with the key of the server in --engine


@dataclass(frozen=True)
class CandidatesArguments:
    """The arguments of `palate candidates`."""

    project: ProjectId
    """Project, such as me/titles."""
    model: ModelRef = None
    """Model that writes. Default: the project's base model."""
    per_prompt: int = 4
    """Different completions per prompt."""
    temperature: float = 0.9
    """Sampling temperature. Higher is more varied."""
    top_p: float = 1.0
    """Sample from the likeliest tokens that together have this probability."""
    max_new_tokens: int = 256
    """Longest completion, in tokens. Longer completions are dropped."""
    batch_size: int = 32
    """Completions written at once. Lower it when memory runs out."""
    seed: int = 0
    """Another seed gives other completions."""
    engine: Annotated[str, tyro.conf.arg(metavar="transformers|vllm|URL")] = "transformers"
    """What computes: transformers, vllm, or an OpenAI-compatible server (key: SERVER_API_KEY)."""
    tensor_parallel: int = 1
    """GPUs over which --engine vllm spreads the model. To use more, start one shard per GPU."""
    shard: Annotated[str | None, flag("K/N")] = None
    """Do only this part of a run that several jobs share, such as 3/16. Default: all of it."""


@dataclass(frozen=True)
class CompletionsArguments:
    """The arguments of `palate completions`."""

    project: ProjectId
    """Project, such as me/titles."""
    model: ModelRef = None
    """Tuned model. Default: the project's newest."""
    per_prompt: int = 1
    """Completions of each model per prompt, which is also the number of pairs to vote on."""
    temperature: float = 0.7
    """Sampling temperature. Higher is more varied."""
    top_p: float = 0.95
    """Sample from the likeliest tokens that together have this probability."""
    max_new_tokens: int = 256
    """Longest completion, in tokens. Longer completions are cut, and counted."""
    batch_size: int = 32
    """Completions written at once. Lower it when memory runs out."""
    seed: int = 0
    """Another seed gives other completions."""
