"""A batch of pairs as rows without repeats: each distinct prompt and completion stands once.

Knows nothing of tokenization or losses: it maps TRL's padded pairs to rows and results back.

A pair view has 2·P rows, chosen then rejected, shape (2P, L). A tree row holds a prompt but for its
last token, then for each distinct completion that last token and the completion but for its own
last token, so that position t of a segment predicts the completion's token t:

    tokens     p0 p1 … pn-1 | pn c0 c1 … | pn d0 d1 …
    positions   0  1 …  n-1 |  n n+1 …   |  n n+1 …
    segments    0  0 …    0 |  1  1 …    |  2  2 …

A token sees the prompt (segment 0) and its own segment, up to itself. Nothing is predicted from the
last token of a completion, so a row is as long as prompt and completions together, less one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from palate.train.config import BatchMode

IGNORED = -100  # a label that is not scored
TREE_KEYS = ("tree_ids", "tree_positions", "tree_segments", "tree_labels", "tree_from", "tree_to")

MODES = {"tree": "a row for each prompt", "rows": "a row for each completion"}


@dataclass(frozen=True)
class Positions:
    """Token positions computed per epoch, padding included: in palate's batches and in TRL's."""

    ours: int
    trl: int
    mode: BatchMode

    def sentence(self) -> str:
        rows = MODES.get(self.mode, "TRL's own batches")
        return (
            f"An epoch is {self.ours:,} token positions, {self.trl:,} as TRL batches them"
            f" ({self.trl / self.ours:.1f} times as many): {rows}"
        )


@dataclass
class Row:
    """One row: `starts` tells where each completion's segment begins."""

    prompt: tuple[int, ...]
    ids: list[int]
    positions: list[int]
    segments: list[int]
    labels: list[int]
    starts: dict[tuple[int, ...], int] = field(default_factory=dict)

    def add(self, completion: tuple[int, ...]) -> int:
        """Return where the completion's segment begins, appended if it is new."""
        if completion not in self.starts:
            self.starts[completion] = len(self.ids)
            first = len(self.prompt) - 1
            self.ids += (self.prompt[-1], *completion[:-1])
            self.positions += range(first, first + len(completion))
            self.segments += [len(self.starts)] * len(completion)
            self.labels += completion
        return self.starts[completion]


def rows_of(
    sequences: Sequence[Sequence[int]], prompts: Sequence[int], share_prompt: bool
) -> tuple[list[Row], list[tuple[int, int]]]:
    """Return the rows, and for each sequence its row and where its completion begins there.

    `sequences` are prompt and completion in one, `prompts` how many tokens of each are the prompt.
    With `share_prompt` a row is a prompt with all its completions, else a prompt with one of them.
    """
    rows: dict[Any, Row] = {}
    places = []
    order: list[Row] = []
    index: dict[int, int] = {}
    for ids, n in zip(sequences, prompts, strict=True):
        prompt, completion = tuple(ids[:n]), tuple(ids[n:])
        key = prompt if share_prompt else (prompt, completion)
        row = rows.get(key)
        if row is None:
            before = list(prompt[:-1])
            row = Row(prompt, before, list(range(n - 1)), [0] * (n - 1), [IGNORED] * (n - 1))
            rows[key] = row
            index[id(row)] = len(order)
            order.append(row)
        places.append((index[id(row)], row.add(completion)))
    return order, places


def tree_inputs(batch: dict[str, Any], share_prompt: bool) -> dict[str, Any]:
    """Return the tensors of the row view of TRL's batch, under `TREE_KEYS`.

    ids, positions, segments (-1 is padding) and labels have shape (rows, T). `tree_from` are flat
    indices of scored positions in the rows, `tree_to` their places in the flat (2P, L - 1) of
    the pair view; both have one entry for each completion token of each pair.
    """
    import torch

    length = batch["input_ids"].shape[1]
    mask, scored = batch["attention_mask"].tolist(), batch["completion_mask"].tolist()
    ends = [sum(m) for m in mask]
    ids = [ids[:n] for ids, n in zip(batch["input_ids"].tolist(), ends, strict=True)]
    # a first token has nothing before it to be predicted from: it counts as prompt
    prompts = [max(1, n - sum(s)) for n, s in zip(ends, scored, strict=True)]
    rows, places = rows_of(ids, prompts, share_prompt)
    width = max(len(row.ids) for row in rows)
    source, target = [], []
    for i, (r, start) in enumerate(places):
        n = ends[i] - prompts[i]
        source += range(r * width + start, r * width + start + n)
        target += range(i * (length - 1) + prompts[i] - 1, i * (length - 1) + prompts[i] - 1 + n)

    def padded(name: str, filler: int) -> Any:
        values = [getattr(row, name) for row in rows]
        return torch.tensor([v + [filler] * (width - len(v)) for v in values])

    made = (
        padded("ids", 0),
        padded("positions", 0),
        padded("segments", -1),
        padded("labels", IGNORED),
        torch.tensor(source, dtype=torch.long),
        torch.tensor(target, dtype=torch.long),
    )
    device = batch["input_ids"].device
    return {k: v.to(device) for k, v in zip(TREE_KEYS, made, strict=True)}


def tree_mask(segments: Any, dtype: Any = None) -> Any:
    """Return who sees whom, shape (rows, 1, T, T): causal, and within the segment or the prompt.

    True is seen; with `dtype` 0 is seen and its minimum is not, as eager attention wants it.
    Padding sees itself, since a row of nothing but minima is no number.
    """
    import torch

    size = segments.shape[1]
    query, key = segments[:, :, None], segments[:, None, :]
    one = torch.ones(size, size, dtype=torch.bool, device=segments.device)
    seen = ((query == key) | ((key == 0) & (query > 0))) & one.tril()
    seen = (seen | torch.eye(size, dtype=torch.bool, device=segments.device))[:, None]
    if dtype is None:
        return seen
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(
        ~seen, torch.finfo(dtype).min
    )


def to_pairs(values: Any, labels: Any, inputs: dict[str, Any]) -> Any:
    """Return what the rows gave, (rows, T), in the pair view, (2P, L - 1); 0 elsewhere."""
    import torch

    if values is None:
        return None
    flat = values.reshape(-1)[inputs["tree_from"]]
    shape = (labels.shape[0], labels.shape[1] - 1)
    empty = torch.zeros(shape[0] * shape[1], dtype=flat.dtype, device=flat.device)
    return empty.index_put((inputs["tree_to"],), flat).view(shape)


def positions(
    pairs: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]],
    size: int,
    share_prompt: bool = True,
) -> int:
    """Return the positions that batches of `size` pairs process in an epoch, padding included.

    `pairs` are token ids of prompt, chosen and rejected, in the order of the batches.
    """
    total = 0
    for start in range(0, len(pairs), size):
        batch = pairs[start : start + size]
        sequences = [[*p, *c] for p, c, _ in batch] + [[*p, *r] for p, _, r in batch]
        rows, _ = rows_of(sequences, [len(p) for p, _, _ in batch] * 2, share_prompt)
        total += len(rows) * max(len(row.ids) for row in rows)
    return total
