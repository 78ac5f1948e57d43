"""Chat messages as a model's template writes them: text, tokens, and batches of tokens.

transformers types the result of a template as all that it may be; these functions say which it is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from palate.core.schema import Message

if TYPE_CHECKING:
    import torch
    from transformers import BatchEncoding, PreTrainedTokenizerBase


def render(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], *, ask: bool = False
) -> str:
    """Return the chat as text; `ask` adds what comes before an answer."""
    return cast(
        "str",
        tokenizer.apply_chat_template(_plain(messages), tokenize=False, add_generation_prompt=ask),
    )


def encode(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], *, ask: bool = False
) -> list[int]:
    """Return the chat in tokens; `ask` adds what comes before an answer."""
    encoded = tokenizer.apply_chat_template(
        _plain(messages), add_generation_prompt=ask, return_dict=True
    )
    return list(cast("BatchEncoding", encoded)["input_ids"])


def encode_batch(
    tokenizer: "PreTrainedTokenizerBase",
    chats: Sequence[Sequence[Message]],
    device: "torch.device | str",
) -> "BatchEncoding":
    """Return padded tensors of chats that ask for an answer, on the device."""
    encoded = tokenizer.apply_chat_template(
        [_plain(messages) for messages in chats],
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
        return_dict=True,
    )
    return cast("BatchEncoding", encoded).to(device)


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return cast("list[dict[str, str]]", list(messages))
