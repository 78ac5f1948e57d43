"""Base and tuned model side by side on test prompts: completions, lengths, the divergence."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from palate.core.schema import Message
from palate.generate.generation import Completion, Sampling, complete, end_tokens, seed_of
from palate.generate.models import Loaded

SHOWN = 10  # prompts with both answers on the card
PROMPTS = 32  # that lengths and the divergence are measured on
BATCH = 8


def compare(
    base: Callable[[], AbstractContextManager[Loaded]],
    tuned: Loaded,
    prompts: Sequence[list[Message]],
    seed: int,
    longest: int = 200,
) -> dict[str, Any]:
    """Return what both models make of up to `PROMPTS` prompts, with the same luck.

    `base` gives the base model for a while: it may be the tuned one without its adapter.
    `kl` is the mean over tuned completions of log p_tuned - log p_base, in nats a completion: an
    unbiased estimate of the divergence from the base model (J. Schulman, "Approximating KL
    divergence", 2020, k1). Lengths are mean characters, `unended` the share that was cut off.
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
    return {
        "prompts": len(asked),
        "longest": longest,
        "kl": sum(drift) / len(drift),
        "length": {name: _mean([len(c.text) for c in cs]) for name, cs in texts.items()},
        "unended": {name: _mean([not c.ended for c in cs]) for name, cs in texts.items()},
        "same_opening": _repeated([c.text for c in texts["tuned"]]),
        "examples": [
            {"prompt": prompt[-1]["content"], "base": b.text, "tuned": t.text}
            for prompt, b, t in list(zip(asked, texts["base"], texts["tuned"], strict=True))[:SHOWN]
        ],
    }


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
