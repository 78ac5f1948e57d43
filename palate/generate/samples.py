"""Completions of base and tuned model on test prompts: lengths, examples, the divergence."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from palate.core.rounds import asked
from palate.core.schema import Message
from palate.core.similar import spoken_words
from palate.generate.chats import encode
from palate.generate.generation import Completion, Sampling, complete, end_tokens, seed_of
from palate.generate.models import Loaded

EXAMPLES = 10  # prompts whose answers are on the card
PROMPTS = 32  # on which lengths and the divergence are measured
BATCH = 16
LEAST_TOKENS, MOST_TOKENS = 32, 200  # of an answer, before it is cut off


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


# of a round that another one follows: nobody reads its answers
NOTHING = Samples(0, 0, False, 0.0, BaseAndTuned(0, 0), BaseAndTuned(0, 0), 0.0, ())


def tokens_enough(loaded: Loaded, answers: Iterable[str]) -> int:
    """Return after how many tokens to cut: twice the longest answer that people were asked about.

    What is longer does not end as it should, and writing it would take most of a small training.
    """
    longest = max(answers, key=len, default="")
    return min(MOST_TOKENS, max(LEAST_TOKENS, 2 * len(loaded.tokenizer(longest)["input_ids"])))


def compare(
    base: Callable[[], AbstractContextManager[Loaded]],
    tuned: Loaded,
    prompts: Sequence[list[Message]],
    seed: int,
    longest: int,
    *,
    held_out: bool,
) -> Samples:
    """Return what both models write on up to `PROMPTS` prompts, with the same seeds.

    `base` is a context manager that yields the base model, which may be the tuned one with its
    adapter off.
    """
    prompts = list(prompts)[:PROMPTS]
    sampling = Sampling(temperature=1.0, max_new_tokens=longest)
    tuned_texts = _write(tuned, prompts, seed, sampling)
    tuned_scores = _score(tuned, prompts, tuned_texts)
    with base() as loaded:
        base_texts = _write(loaded, prompts, seed, sampling)
        base_scores = _score(loaded, prompts, tuned_texts)
    drift = [t - b for t, b in zip(tuned_scores, base_scores, strict=True)]
    both = (base_texts, tuned_texts)
    return Samples(
        prompts=len(prompts),
        longest=longest,
        held_out=held_out,
        kl=_mean(drift),
        length=BaseAndTuned(*(_mean([len(c.text) for c in texts]) for texts in both)),
        unended=BaseAndTuned(*(_mean([not c.ended for c in texts]) for texts in both)),
        same_opening=most_frequent_opening([c.text for c in tuned_texts]),
        examples=tuple(
            Example(prompt[-1]["content"], b.text, t.text)
            for prompt, b, t in list(zip(prompts, *both, strict=True))[:EXAMPLES]
        ),
    )


def _write(
    loaded: Loaded, prompts: Sequence[list[Message]], seed: int, sampling: Sampling
) -> list[Completion]:
    seeds = [seed_of(seed, str(i), 0) for i in range(len(prompts))]
    return [
        completion
        for start in range(0, len(prompts), BATCH)
        for completion in complete(
            loaded, prompts[start : start + BATCH], seeds[start : start + BATCH], sampling
        )
    ]


def _score(
    loaded: Loaded, prompts: Sequence[list[Message]], texts: Sequence[Completion]
) -> list[float]:
    return [_log_probability(loaded, p, c) for p, c in zip(prompts, texts, strict=True)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def most_frequent_opening(texts: Sequence[str]) -> float:
    """Return the share of texts that begin with the most frequent first three words."""
    openings = [" ".join(spoken_words(text.casefold())[:3]) for text in texts]
    return max(openings.count(o) for o in openings) / len(openings)


def _log_probability(loaded: Loaded, prompt: list[Message], completion: Completion) -> float:
    """Return the log-probability of a completion, including its end token if it ended."""
    import torch

    tokenizer = loaded.tokenizer
    prompt = asked(prompt, loaded.condition)
    before = encode(tokenizer, prompt, ask=True)
    after = tokenizer(completion.text, add_special_tokens=False)["input_ids"]
    if completion.ended:
        after = [*after, min(end_tokens(loaded) & {tokenizer.eos_token_id} or end_tokens(loaded))]
    if not after:
        return 0.0
    ids = torch.tensor([before + after], device=loaded.model.device)
    with torch.inference_mode():
        logits = loaded.model(input_ids=ids).logits[0, len(before) - 1 : -1].float()
    per_token = logits.log_softmax(-1).gather(-1, ids[0, len(before) :, None])
    return float(per_token.sum())
