"""How far a model's answers are from the base model: the KL in nats, over the tokens of each."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from palate.core.rounds import asked
from palate.core.schema import Message
from palate.generate.generation import Completion, end_tokens
from palate.generate.models import Loaded

if TYPE_CHECKING:
    import torch

AT_ONCE = {"cuda": 32}  # answers; elsewhere fewer
FEW_AT_ONCE = 8


def divergences(
    loaded: Loaded, base: Loaded, prompts: Sequence[list[Message]], written: Sequence[Completion]
) -> list[float]:
    """Return the KL of the model from the base, summed over the tokens of each of its answers.

    Each token's is that of the two whole distributions, given what was written before.
    """
    answers = [
        answer_ids(base, p, c.text, ended=c.ended) for p, c in zip(prompts, written, strict=True)
    ]
    both = zip(log_probs(loaded, prompts, answers), log_probs(base, prompts, answers), strict=True)
    return [float((new.exp() * (new - old)).sum()) for new, old in both]


def answer_ids(loaded: Loaded, prompt: list[Message], text: str, *, ended: bool) -> list[int]:
    """Return the tokens of an answer, with its end if the model ended it."""
    chat = [*prompt, Message(role="assistant", content=text)]
    tokens = loaded.tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]
    answer = tokens[len(_prompt_ids(loaded, prompt)) :]
    ends = end_tokens(loaded)
    end = next((i for i, token in enumerate(answer) if token in ends), len(answer))
    return answer[: end + 1] if ended else answer[:end]


def _prompt_ids(loaded: Loaded, prompt: list[Message]) -> list[int]:
    return loaded.tokenizer.apply_chat_template(
        prompt, add_generation_prompt=True, return_dict=True
    )["input_ids"]


def log_probs(
    loaded: Loaded, prompts: Sequence[list[Message]], answers: Sequence[list[int]]
) -> "Iterator[torch.Tensor]":
    """Yield the log-probabilities of all tokens at each place of an answer, (length, vocabulary).

    The model is asked as it wants to be, with its condition after the prompt.
    """
    import torch

    model = loaded.model.eval()
    size = AT_ONCE.get(model.device.type, FEW_AT_ONCE)
    before = [_prompt_ids(loaded, asked(p, loaded.condition)) for p in prompts]
    rows = list(zip(before, answers, strict=True))
    for start in range(0, len(rows), size):
        part = rows[start:][:size]
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(a + b) for a, b in part], batch_first=True
        )
        seen = torch.tensor([[1] * len(a + b) + [0] * (ids.shape[1] - len(a + b)) for a, b in part])
        with torch.no_grad():  # not around the yield: it would hold for the caller, too
            logits = model(ids.to(model.device), attention_mask=seen.to(model.device)).logits
        for row, (a, b) in zip(logits, part, strict=True):
            yield row[len(a) - 1 : len(a) - 1 + len(b)].float().log_softmax(-1)
