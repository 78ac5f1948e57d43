"""Base and tuned model side by side on test prompts: completions, lengths, the divergence."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from palate.core.schema import Message
from palate.generate.generation import Completion, Sampling, complete, end_tokens, seed_of
from palate.generate.models import Loaded

SHOWN = 10  # prompts with both answers on the card
PROMPTS = 32  # that lengths and the divergence are measured on
BATCH = 8
MAX_NEW_TOKENS = 200


@dataclass(frozen=True)
class BaseAndTuned:
    """One figure of both models."""

    base: float
    tuned: float


@dataclass(frozen=True)
class Example:
    """One prompt and both models' answers to it."""

    prompt: str
    base: str
    tuned: str


@dataclass(frozen=True)
class Samples:
    """What both models write on `prompts` prompts, as `run.json` has it.

    `kl` is the mean over tuned completions of log p_tuned - log p_base, in nats per completion: an
    unbiased estimate of the divergence from the base model (J. Schulman, "Approximating KL
    divergence", 2020, k1).
    """

    prompts: int
    longest: int  # tokens after which a completion was cut off
    held_out: bool  # whether the prompts are test prompts, else training prompts
    kl: float
    length: BaseAndTuned  # mean characters
    unended: BaseAndTuned  # share of completions that were cut off
    same_opening: float  # share of tuned completions with the most frequent first three words
    examples: tuple[Example, ...]


def compare(
    base: Callable[[], AbstractContextManager[Loaded]],
    tuned: Loaded,
    prompts: Sequence[list[Message]],
    seed: int,
    *,
    held_out: bool,
    longest: int = MAX_NEW_TOKENS,
) -> Samples:
    """Return what both models write on up to `PROMPTS` prompts, with the same seeds.

    `base` is a context manager that yields the base model, which may be the tuned one with its
    adapter off.
    """
    asked = list(prompts)[:PROMPTS]
    sampling = Sampling(temperature=1.0, max_new_tokens=longest)
    seeds = [seed_of(seed, str(i), 0) for i in range(len(asked))]

    def write(loaded: Loaded) -> list[Completion]:
        return [
            completion
            for start in range(0, len(asked), BATCH)
            for completion in complete(
                loaded, asked[start : start + BATCH], seeds[start : start + BATCH], sampling
            )
        ]

    def score(loaded: Loaded) -> list[float]:
        pairs = zip(asked, texts["tuned"], strict=True)
        return [_log_probability(loaded, prompt, c) for prompt, c in pairs]

    texts = {"tuned": write(tuned)}
    after = score(tuned)
    with base() as loaded:
        texts["base"] = write(loaded)
        before = score(loaded)
    drift = [x - y for x, y in zip(after, before, strict=True)]
    return Samples(
        prompts=len(asked),
        longest=longest,
        held_out=held_out,
        kl=sum(drift) / len(drift),
        length=BaseAndTuned(**{k: _mean([len(c.text) for c in cs]) for k, cs in texts.items()}),
        unended=BaseAndTuned(**{k: _mean([not c.ended for c in cs]) for k, cs in texts.items()}),
        same_opening=_repeated([c.text for c in texts["tuned"]]),
        examples=tuple(
            Example(prompt[-1]["content"], b.text, t.text)
            for prompt, b, t in list(zip(asked, texts["base"], texts["tuned"], strict=True))[:SHOWN]
        ),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _repeated(texts: Sequence[str]) -> float:
    """Return the share of texts that begin with the three words that most of them begin with."""
    openings = [" ".join(text.casefold().split()[:3]) for text in texts]
    return max(openings.count(o) for o in openings) / len(openings)


def _log_probability(loaded: Loaded, prompt: list[Message], completion: Completion) -> float:
    """Return the log-probability of a completion, its end included where it came to one."""
    import torch

    tokenizer = loaded.tokenizer
    asked = tokenizer.apply_chat_template([prompt], add_generation_prompt=True, return_dict=True)
    before = list(asked["input_ids"][0])
    after = tokenizer(completion.text, add_special_tokens=False)["input_ids"]
    if completion.ended:
        after = [*after, min(end_tokens(loaded) & {tokenizer.eos_token_id} or end_tokens(loaded))]
    if not after:
        return 0.0
    ids = torch.tensor([before + after], device=loaded.model.device)
    with torch.inference_mode():
        logits = loaded.model(input_ids=ids).logits[0, len(before) - 1 : -1].float()
    each = logits.log_softmax(-1).gather(-1, ids[0, len(before) :, None])
    return float(each.sum())
