"""The arguments of `palate candidates` and `palate completions`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from palate.generate.filters import Filters
from palate.terminal.flags import Count, ProjectId, Words, Writers, flag

SERVER_KEY = "SERVER_API_KEY"  # environment variable with the key of the server in --engine


@dataclass(frozen=True)
class CandidatesArguments:
    """The arguments of `palate candidates`."""

    project: ProjectId
    """Project, such as me/titles."""
    model: Writers = ()
    """Model that writes; repeat it for several. Default: base; from round 2, the newest model."""
    per_prompt: int = 4
    """Different completions per prompt, of each model."""
    temperature: tuple[float, ...] = (0.9,)
    """Sampling temperature. Higher is more varied. Several are taken in turn, such as 0.7 1.0."""
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
    shortest: int = 0
    """Leave out completions with fewer characters."""
    longest: Count = None
    """Leave out completions with more characters. Default: no limit."""
    forbid: Words = ()
    """Leave out completions with this word or phrase; repeat it for several. Default: none."""
    match: Annotated[str | None, flag("REGEX")] = None
    """Leave out completions that do not match this as a whole. Default: any format."""
    distinct: bool = False
    """Leave out completions that are much like another one of the same prompt."""

    rule: Annotated[str | None, flag("FILE.py:FUNCTION")] = None
    """Leave out texts for which this function of (prompt, text) returns False or a reason."""

    @property
    def filters(self) -> Filters:
        return Filters(self.shortest, self.longest, self.forbid, self.match, self.distinct)


@dataclass(frozen=True)
class CompletionsArguments:
    """The arguments of `palate completions`."""

    project: ProjectId
    """Project, such as me/titles."""
    model: Writers = ()
    """Model that answers; repeat it for several. Default: the project's newest tuned model."""
    per_prompt: int = 1
    """Completions of each model per prompt, which is also the number of pairs to vote on."""
    temperature: tuple[float, ...] = (0.7,)
    """Sampling temperature. Higher is more varied. Several are taken in turn, such as 0.7 1.0."""
    top_p: float = 0.95
    """Sample from the likeliest tokens that together have this probability."""
    max_new_tokens: int = 256
    """Longest completion, in tokens. Longer completions are cut, and counted."""
    batch_size: int = 32
    """Completions written at once. Lower it when memory runs out."""
    seed: int = 0
    """Another seed gives other completions."""
    engine: Annotated[str, tyro.conf.arg(metavar="transformers|vllm|URL")] = "transformers"
    """What computes. A server (key: SERVER_API_KEY) is for models neither base nor tuned."""
