"""How many tokens of an answer a model's window leaves room for."""

import sys
from collections.abc import Iterable, Sequence

from palate.core.errors import UsageError
from palate.core.rounds import asked
from palate.core.schema import Message, Prompt
from palate.generate.chats import encode
from palate.generate.models import Loaded


def rooms(loaded: Loaded, prompts: Sequence[list[Message]], lengths: Sequence[int]) -> list[int]:
    """Return the tokens that are left for an answer to each prompt, whose tokens are `lengths`.

    Raises UsageError for a prompt that leaves none.
    """
    window = _tokens(loaded)
    for prompt, length in zip(prompts, lengths, strict=True):
        if length >= window:
            raise UsageError(
                f"The prompt {prompt[-1]['content'][:60]!r} has {length:,} tokens with its chat"
                f" template, and {loaded.repo} reads at most {window:,}. Shorten the prompt, or"
                " choose another model."
            )
    return [window - length for length in lengths]


def _tokens(loaded: Loaded) -> int:
    config = loaded.model.config.get_text_config()
    return getattr(config, "max_position_embeddings", None) or sys.maxsize


def fitting(loaded: Loaded, prompts: Iterable[list[Message]]) -> list[list[Message]]:
    """Return the prompts that leave room for an answer."""

    def length(prompt: list[Message]) -> int:
        return len(encode(loaded.tokenizer, asked(prompt, loaded.condition), ask=True))

    return [prompt for prompt in prompts if length(prompt) < _tokens(loaded)]


def check(loaded: Loaded, prompts: Iterable[Prompt]) -> None:
    """Raise UsageError if a prompt leaves no room, before any is answered; not for a server's."""
    if loaded.model is not None:
        chats = [p.prompt for p in prompts]
        asks = [asked(chat, loaded.condition) for chat in chats]
        rooms(loaded, chats, [len(encode(loaded.tokenizer, ask, ask=True)) for ask in asks])


def batches(left: Sequence[int], longest: int) -> list[list[int]]:
    """Return the places of the answers that are computed together, by the tokens that are `left`.

    An answer that may meet the end of the window before it is `longest` is computed alone.
    """
    wide = [i for i, tokens in enumerate(left) if tokens >= longest]
    tight = [[i] for i, tokens in enumerate(left) if tokens < longest]
    return [*tight, *([wide] if wide else [])]
