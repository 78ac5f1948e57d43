"""The figures of an audit: what the rows hold, what decides them, what a baseline makes of them.

Pure: no I/O. Every rate is a `Rate`: hits, count, Wilson interval, and p against one half.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from palate.audit import baselines
from palate.audit.baselines import Accuracy
from palate.audit.rows import Row, Rows
from palate.collect.splits import normal
from palate.core.stats import Rate, against_half, cyclic_triads
from palate.core.text import FORMATS

LEARNABLE = 60  # strict rows: fewer say nothing about a baseline


@dataclass(frozen=True)
class Leak:
    """Rows of a held-out split whose prompt, or whose two texts, the training split holds."""

    split: str
    rows: int
    prompts: int
    texts: int
    lookup: Accuracy | None  # of the training split's wins, on this split
    examples: list[str]


@dataclass(frozen=True)
class Fit:
    """What a named model's tokenizer makes of the rows; tokens, and row numbers."""

    model: str
    parameters: int
    sampled: int
    tokens: dict[str, int] = field(default_factory=dict)  # prompt_/completion_, _median/_longest
    max_length: int = 0
    overlong: list[int] = field(default_factory=list)
    changed_prompts: list[int] = field(default_factory=list)
    ends: bool = True  # whether the template closes an answer with the tokenizer's EOS
    positions: dict[str, int] = field(default_factory=dict)  # an epoch: trl's batches, tree's
    problem: str = ""


@dataclass
class Audit:
    """All figures of a source; `to_json` names those that a script asks for first."""

    source: str
    rows: int
    usable: int
    problems: dict[str, list[int]]
    kinds: dict[str, int]
    prompts: int
    texts: int
    candidates: Counter  # how many texts a prompt has → prompts
    annotators: int
    splits: dict[str, int]
    identical: list[int]
    duplicates: int  # rows that say again what an earlier row of that person says
    contradictions: int  # pairs on which somebody chose one text and somebody the other
    cycles: Rate
    leaks: list[Leak]
    longer: Rate
    second: Rate | None  # None where nothing says which side was shown first
    formats: dict[str, Rate]
    words: dict[str, float]
    lookup: dict[str, Accuracy] = field(default_factory=dict)  # by row, by prompt
    baseline: dict[str, Accuracy] = field(default_factory=dict)
    length_rule: Accuracy | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)
    doubling: float | None = None  # what twice the labels would bring, as a fraction
    sampled: int = 0  # rows that the baselines were made from
    learned: bool = True  # whether baselines were asked for
    fit: Fit | None = None


def measure(data: Rows, learn: bool = True) -> Audit:
    """Return the figures of the rows; `learn` also fits the baselines."""
    rows = data.rows
    strict = [r for r in rows if r.choice in ("left", "right") and r.left != r.right]
    texts: dict[str, set[str]] = defaultdict(set)
    for r in rows:
        texts[normal(r.prompt)] |= {r.left, r.right}
    unequal = [r for r in strict if len(r.left) != len(r.right)]
    sides = sum(r.choice == "right" for r in strict)
    lengths = [len(t.split()) for group in texts.values() for t in group]
    result = Audit(
        source=data.source,
        rows=data.total,
        usable=len(rows),
        problems=data.problems,
        kinds=dict(Counter(r.choice for r in rows)),
        prompts=len(texts),
        texts=sum(map(len, texts.values())),
        candidates=Counter(map(len, texts.values())),
        annotators=len({r.annotator for r in rows}),
        splits=dict(Counter(r.split for r in rows if r.split)),
        identical=[r.number for r in rows if r.left == r.right],
        duplicates=_duplicates(rows),
        contradictions=_contradictions(strict),
        cycles=cycles(strict),
        leaks=leaks(strict),
        longer=against_half(sum(len(r.winner) > len(r.loser) for r in unequal), len(unequal)),
        second=against_half(sides, len(strict)) if data.sided else None,
        formats=_formats(strict),
        words={"median": statistics.median(lengths), "longest": max(lengths)} if lengths else {},
    )
    result.learned = learn
    if learn and len(strict) >= LEARNABLE:
        _learn(result, strict)
    return result


def _learn(result: Audit, strict: Sequence[Row]) -> None:
    rows = baselines.sample(strict)
    result.sampled = len(rows)
    held_out, words = baselines.held_out, baselines.bag_of_words
    result.lookup["by row"] = held_out(rows, baselines.lookup, by_prompt=False)
    result.baseline["by row"] = held_out(rows, words, by_prompt=False)
    prompts = len({normal(r.prompt) for r in rows})
    if prompts < 2:
        return
    result.lookup["by prompt"] = held_out(rows, baselines.lookup, by_prompt=True)
    result.length_rule = held_out(rows, baselines.longer, by_prompt=True)
    for share in baselines.SHARES:
        found = held_out(rows, words, by_prompt=True, share=share)
        labels = round(share * len(rows) * (1 - 1 / min(prompts, baselines.fold_count(len(rows)))))
        result.curve.append({"labels": labels, **found.to_json()})
        result.baseline["by prompt"] = found
    result.doubling = _slope([point["rate"] for point in result.curve])


def _slope(rates: Sequence[float]) -> float:
    """Return what a doubling brings: the least-squares slope over doublings of the labels."""
    middle = (len(rates) - 1) / 2
    spread = sum((i - middle) ** 2 for i in range(len(rates)))
    return sum((i - middle) * rate for i, rate in enumerate(rates)) / spread


def _duplicates(rows: Iterable[Row]) -> int:
    seen = Counter(
        (normal(r.prompt), frozenset((r.left, r.right)), _value(r), r.annotator) for r in rows
    )
    return sum(n - 1 for n in seen.values())


def _value(row: Row) -> str:
    return row.winner if row.choice in ("left", "right") else row.choice


def _contradictions(strict: Iterable[Row]) -> int:
    winners: dict[tuple[str, frozenset[str]], set[str]] = defaultdict(set)
    for r in strict:
        winners[normal(r.prompt), frozenset((r.left, r.right))].add(r.winner)
    return sum(len(w) > 1 for w in winners.values())


def cycles(strict: Iterable[Row]) -> Rate:
    """Return how many triads of texts are cyclic, by person; the last choice on a pair counts."""
    winners: dict[tuple[str, str], dict[tuple[str, str], str]] = defaultdict(dict)
    for r in strict:
        pair = min(r.left, r.right), max(r.left, r.right)
        winners[r.annotator, normal(r.prompt)][pair] = r.winner
    return cyclic_triads(winners.values())


def leaks(strict: Sequence[Row]) -> list[Leak]:
    """Return the held-out splits that share prompts or texts with the training split."""
    train = [r for r in strict if r.split == "train"]
    prompts = {normal(r.prompt) for r in train}
    texts = {t for r in train for t in (r.left, r.right)}
    found = []
    for split in sorted({r.split for r in strict if r.split and r.split != "train"}):
        rows = [r for r in strict if r.split == split]
        shared = [r for r in rows if normal(r.prompt) in prompts]
        seen = [r for r in rows if r.left in texts and r.right in texts]
        if shared or seen:
            found.append(
                Leak(
                    split=split,
                    rows=len(rows),
                    prompts=len(shared),
                    texts=len(seen),
                    lookup=baselines.tested(train, rows, baselines.lookup),
                    examples=list(dict.fromkeys(r.prompt[:80] for r in shared))[:3],
                )
            )
    return found


def _formats(strict: Sequence[Row]) -> dict[str, Rate]:
    """Return, for each feature, how often the text that has it won against one that has it not."""
    result = {}
    for name, has in FORMATS.items():
        hits = n = 0
        for r in strict:
            won = has(r.winner)
            if won != has(r.loser):
                n += 1
                hits += won
        if n:
            result[name] = against_half(hits, n)
    return result
