"""Lengths in tokens, and what a chat template does to prompts. Pure: no I/O."""

import statistics
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from palate.audit.baselines import sample
from palate.audit.measure import Fit
from palate.audit.rows import Row
from palate.core.schema import Message
from palate.core.splits import normal
from palate.generate.chats import render
from palate.generate.models import Peek

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TRL_BATCH = 8  # pairs in TRL's default batch
PEAK_FRACTION = 0.3  # of a GPU's peak that training usually reaches
A10G_PEAK = 125e12  # operations per second in bfloat16


def fit(rows: Sequence[Row], model: Peek, max_length: int) -> Fit:
    """Return lengths in tokens, rows that are too long and prompts that the template changes."""
    kept, tokenizer = sample(rows), model.tokenizer
    if tokenizer.chat_template is None or not kept:
        problem = "" if kept else "no row can be read"
        problem = problem or "has no chat template, so it cannot be prompted"
        return Fit(model.repo, model.parameters, len(kept), problem=problem)
    prompts = {_key(r): _messages(r) for r in kept}
    texts = list(dict.fromkeys((_key(r), text) for r in kept for text in (r.left, r.right)))
    rendered = {key: render(tokenizer, m, ask=True) for key, m in prompts.items()}
    whole = [
        render(tokenizer, [*prompts[key], Message(role="assistant", content=text)])
        for key, text in texts
    ]
    before = dict(zip(rendered, _lengths(tokenizer, list(rendered.values())), strict=True))
    total = dict(zip(texts, _lengths(tokenizer, whole), strict=True))
    completions = [max(n - before[key], 0) for (key, _), n in total.items()]
    pairs = [(before[k := _key(r)], total[k, r.left], total[k, r.right]) for r in kept]
    eos = tokenizer.eos_token
    return Fit(
        model=model.repo,
        parameters=model.parameters,
        sampled=len(kept),
        tokens={
            "prompt_median": round(statistics.median(before.values())),
            "prompt_longest": max(before.values()),
            "completion_median": round(statistics.median(completions)),
            "completion_longest": max(completions),
        },
        max_length=max_length,
        overlong=[
            r.number for r, (_, *sides) in zip(kept, pairs, strict=True) if max(sides) > max_length
        ],
        changed_prompts=[
            r.number
            for r in kept
            if not all(m["content"] in rendered[_key(r)] for m in prompts[_key(r)])
        ],
        ends=bool(eos)
        and all(eos in w[len(rendered[k]) :] for w, (k, _) in zip(whole, texts, strict=True)),
        positions=_positions(pairs, before, completions),
    )


def _key(row: Row) -> str:
    return normal(row.prompt)


def _messages(row: Row) -> list[Message]:
    if isinstance(row.messages, list) and row.messages:
        return row.messages
    return [Message(role="user", content=row.prompt)]


def _lengths(tokenizer: "PreTrainedTokenizerBase", texts: list[str]) -> list[int]:
    encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return [len(ids) for ids in encoded]


def _positions(
    pairs: Sequence[tuple[int, int, int]], before: dict[str, int], completions: Sequence[int]
) -> dict[str, int]:
    """Return the token positions of an epoch in TRL's padded batches and in one row per prompt."""
    order = list(pairs)
    Random(0).shuffle(order)
    padded = 0
    for start in range(0, len(order), TRL_BATCH):
        batch = order[start : start + TRL_BATCH]
        padded += 2 * len(batch) * max(max(sides) for _, *sides in batch)
    return {"trl": padded, "tree": sum(before.values()) + sum(completions)}


def cost(fit: Fit, epochs: float) -> dict[str, float]:
    """Return the estimated operations of a training, and its minutes on an A10G.

    6 · parameters per position for forward and backward (J. Kaplan et al., "Scaling Laws for Neural
    Language Models", 2020), and a third of that, once, for the reference.
    """
    operations = fit.parameters * fit.positions["tree"] * (6 * epochs + 2)
    return {"operations": operations, "a10g_minutes": operations / (A10G_PEAK * PEAK_FRACTION) / 60}
