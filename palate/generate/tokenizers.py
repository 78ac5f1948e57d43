"""The tokenizer of a model: what cannot ask, cannot end, or is another model's is refused."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

from palate.core.errors import UsageError
from palate.core.schema import Message
from palate.generate.chats import render
from palate.generate.weights import readable

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

VOCABULARY = re.compile(r"tokenizer\.json|tekken\.json|vocab\..*|.*\.model")  # names of files


def has_one(folder: Path) -> bool:
    return any(VOCABULARY.fullmatch(file.name) for file in folder.iterdir())


def read(repo: str, folder: Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer. Raises UsageError where there is none that could be read.

    Without its files, transformers would make one that knows no word.
    """
    from transformers import AutoTokenizer

    if not has_one(folder):
        raise UsageError(f"{repo} has no tokenizer, such as tokenizer.json. Choose another model.")
    with readable(repo):
        found = AutoTokenizer.from_pretrained(folder, padding_side="left", trust_remote_code=False)
    return cast("PreTrainedTokenizerBase", found)


def read_usable(repo: str, folder: Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a model that writes. Raises UsageError where it cannot ask or end."""
    tokenizer = read(repo, folder)
    if tokenizer.chat_template is None:
        raise UsageError(
            f"{repo} has no chat template, so palate cannot prompt it."
            " Choose an instruction-tuned model, or add one to its tokenizer_config.json."
        )
    _check_template(repo, tokenizer)
    if tokenizer.eos_token is None:
        raise UsageError(
            f"{repo} has no EOS token, so its answers would never end."
            " Name one as eos_token in its tokenizer_config.json, or choose another model."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _check_template(repo: str, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise UsageError for a chat template that fails, or that tries to leave jinja's sandbox."""
    from jinja2 import TemplateError

    try:
        render(tokenizer, [Message(role="user", content="Hello")])
    except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise UsageError(
            f"The chat template of {repo} fails on a message of one user: {error}. Correct"
            " it, or choose another model."
        ) from None


def check_tokens(
    repo: str, tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel", advice: str
) -> None:
    """Raise UsageError where texts could have tokens that the model does not know.

    Placeholders of pictures are allowed: Gemma 3 has one even where the model takes only text.
    """
    used = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token}
    placeholders = {
        token.content for token in tokenizer.added_tokens_decoder.values() if token.special
    } - used
    known = cast("int", model.get_input_embeddings().num_embeddings)
    beyond = {
        number: token
        for token, number in tokenizer.get_vocab().items()
        if number >= known and token not in placeholders
    }
    if beyond:
        first = min(beyond)
        raise UsageError(
            f"The tokenizer of {repo} has the token {beyond[first]!r} with number {first:,}, and"
            f" its model knows only the numbers below {known:,}: it is another model's. {advice}"
        )
