"""Prefix-shared packing: each distinct prompt and completion of a batch is computed once.

Knows nothing of tokenization or losses: it maps TRL's padded pairs to packed rows, and results
back.

A batch of P pairs has 2·P rows in TRL, chosen then rejected, shape (2P, L). A packed row holds a
prompt without its last token, then for each distinct completion that last token and the completion
without its own last token, so that position t of a segment predicts the completion's token t:

    tokens     p0 p1 … pn-1 | pn c0 c1 … | pn d0 d1 …
    positions   0  1 …  n-1 |  n n+1 …   |  n n+1 …
    segments    0  0 …    0 |  1  1 …    |  2  2 …

A token attends to the prompt (segment 0) and to its own segment, up to itself. Nothing is predicted
from the last token of a completion, so a row is as long as prompt and completions together, less 1.
Where routers are balanced over all tokens, rows hold that token, too.
"""

import random
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from palate.train.config import BatchMode

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

CHECKED_PROMPTS, CHECKED_PAIRS = 2, 4  # of the first batch: prompts, and pairs of each
IGNORED = -100  # a label that is not scored
NAMES = ("ids", "positions", "segments", "labels", "counts", "source", "target")
PACKED_KEYS = tuple(f"packed_{name}" for name in NAMES)
MODES = {"tree": "one row per prompt", "rows": "one row per completion", "trl": "TRL's own batches"}
Pair = tuple[Sequence[int], Sequence[int], Sequence[int]]  # token ids: prompt, chosen, rejected


@dataclass(frozen=True)
class Positions:
    """Token positions computed per epoch, padding included: in palate's batches and in TRL's."""

    ours: int
    trl: int
    mode: BatchMode

    def sentence(self) -> str:
        return (
            f"An epoch is {self.ours:,} token positions, {self.trl:,} as TRL batches them"
            f" ({self.trl / self.ours:.1f} times as many): {MODES[self.mode]}"
        )


@dataclass
class PackedRow:
    """One row; `starts` maps each completion to where its segment begins.

    `uses` counts the sequences that hold a segment.
    """

    prompt: tuple[int, ...]
    ids: list[int]
    positions: list[int]
    segments: list[int]
    labels: list[int]
    starts: dict[tuple[int, ...], int] = field(default_factory=dict)
    uses: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, prompt: tuple[int, ...]) -> "PackedRow":
        n = len(prompt) - 1
        return cls(prompt, list(prompt[:-1]), list(range(n)), [0] * n, [IGNORED] * n)

    def add(self, completion: tuple[int, ...], *, whole: bool) -> int:
        """Return where the completion's segment begins; append it if it is new."""
        if completion not in self.starts:
            self.starts[completion] = len(self.ids)
            tokens = (
                (self.prompt[-1], *completion) if whole else (self.prompt[-1], *completion[:-1])
            )
            first = len(self.prompt) - 1
            self.ids += tokens
            self.positions += range(first, first + len(tokens))
            self.segments += [len(self.starts)] * len(tokens)
            self.labels += completion + (IGNORED,) * (len(tokens) - len(completion))
        start = self.starts[completion]
        self.uses.update((0, self.segments[start]))
        return start

    @property
    def counts(self) -> list[int]:
        """How many sequences hold each token."""
        return [self.uses[segment] for segment in self.segments]


def pack(
    sequences: Sequence[Sequence[int]],
    prompts: Sequence[int],
    share_prompt: bool,
    *,
    whole: bool = False,
) -> tuple[list[PackedRow], list[tuple[int, int]]]:
    """Return the packed rows, and for each sequence its row and where its completion begins there.

    `sequences` are prompt and completion in one, `prompts` the number of prompt tokens in each.
    With `share_prompt` a row is a prompt with all its completions, else a prompt with one of them.
    With `whole` it has the last tokens of completions.
    """
    rows: list[PackedRow] = []
    index: dict[object, int] = {}
    places = []
    for ids, n in zip(sequences, prompts, strict=True):
        prompt, completion = tuple(ids[:n]), tuple(ids[n:])
        key = prompt if share_prompt else (prompt, completion)
        if key not in index:
            index[key] = len(rows)
            rows.append(PackedRow.of(prompt))
        places.append((index[key], rows[index[key]].add(completion, whole=whole)))
    return rows, places


def packed_inputs(
    batch: "Mapping[str, torch.Tensor]",
    share_prompt: bool,
    *,
    whole: bool = False,
    multiple: int = 1,
) -> "dict[str, torch.Tensor]":
    """Return TRL's batch as tensors of packed rows, under `PACKED_KEYS`.

    ids, positions, segments (-1 is padding), labels and counts have shape (rows, T); a count is how
    many of TRL's tokens are computed as one. source holds flat indices of scored positions in the
    rows, target their flat indices in (2P, L - 1); both have one entry for each completion token of
    each pair. T is a `multiple`.
    """
    import torch

    length = batch["input_ids"].shape[1]
    mask, scored = batch["attention_mask"].tolist(), batch["completion_mask"].tolist()
    ends = [sum(m) for m in mask]
    ids = [ids[:n] for ids, n in zip(batch["input_ids"].tolist(), ends, strict=True)]
    # a first token has nothing before it to be predicted from: it counts as prompt
    prompts = [max(1, n - sum(s)) for n, s in zip(ends, scored, strict=True)]
    rows, places = pack(ids, prompts, share_prompt, whole=whole)
    width = max(len(row.ids) for row in rows)
    width += -width % multiple
    source, target = [], []
    for i, (r, start) in enumerate(places):
        n = ends[i] - prompts[i]
        source += range(r * width + start, r * width + start + n)
        target += range(i * (length - 1) + prompts[i] - 1, i * (length - 1) + prompts[i] - 1 + n)

    def padded(name: str, filler: int) -> torch.Tensor:
        values = [getattr(row, name) for row in rows]
        return torch.tensor([v + [filler] * (width - len(v)) for v in values])

    tensors = (
        padded("ids", 0),
        padded("positions", 0),
        padded("segments", -1),
        padded("labels", IGNORED),
        padded("counts", 0),
        torch.tensor(source, dtype=torch.long),
        torch.tensor(target, dtype=torch.long),
    )
    device = batch["input_ids"].device
    return {k: v.to(device) for k, v in zip(PACKED_KEYS, tensors, strict=True)}


def token_ids(dataset: "Dataset") -> list[Pair]:
    """Return the pairs of TRL's tokenized rows."""
    columns = (dataset[name][:] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    return list(zip(*columns, strict=True))


def of_first(prompts: Sequence[Hashable], count: int = CHECKED_PROMPTS) -> list[int]:
    """Return the places of some pairs of the first prompts: both ways of computing them are small.

    `prompts` names the prompt of each pair.
    """
    first = list(dict.fromkeys(prompts))[:count]
    places = [[i for i, p in enumerate(prompts) if p == one][:CHECKED_PAIRS] for one in first]
    return sorted(i for part in places for i in part)


def packed_shapes(
    pairs: Sequence[Pair], size: int, share_prompt: bool = True
) -> Iterator[tuple[int, int]]:
    """Yield rows and length of each packed batch of `size` pairs."""
    for start in range(0, len(pairs), size):
        batch = pairs[start : start + size]
        sequences = [[*p, *c] for p, c, _ in batch] + [[*p, *r] for p, _, r in batch]
        rows, _ = pack(sequences, [len(p) for p, _, _ in batch] * 2, share_prompt)
        yield len(rows), max(len(row.ids) for row in rows)


def count_positions(pairs: Sequence[Pair], size: int, share_prompt: bool = True) -> int:
    """Return the positions that packed batches of `size` pairs take in an epoch, with padding."""
    return sum(rows * length for rows, length in packed_shapes(pairs, size, share_prompt))


def largest_rows(pairs: Sequence[Pair], size: int) -> tuple[int, int]:
    """Return rows and length of the packed batch of `size` pairs with the largest mask."""
    return max(packed_shapes(pairs, size), key=lambda shape: shape[0] * shape[1] ** 2)


def batch_positions(pairs: Sequence[Pair], mode: BatchMode) -> int:
    """Return the positions that these pairs take in one batch, with padding."""
    if mode == "trl":
        return 2 * len(pairs) * max(len(p) + max(len(c), len(r)) for p, c, r in pairs)
    ((rows, length),) = packed_shapes(pairs, len(pairs), mode == "tree")
    return rows * length


def count_trl_positions(pairs: Sequence[Pair], size: int) -> int:
    """Return the positions that TRL's shuffled batches of `size` pairs take, with padding."""
    order = list(pairs)
    random.Random(0).shuffle(order)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    return sum(batch_positions(batch, "trl") for batch in batches)
