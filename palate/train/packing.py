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
"""

import functools
import random
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from palate.train.config import BatchMode

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

IGNORED = -100  # a label that is not scored
NAMES = ("ids", "positions", "segments", "labels", "source", "target")
PACKED_KEYS = tuple(f"packed_{name}" for name in NAMES)
OUTPUTS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
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
    """One row; `starts` maps each completion to where its segment begins."""

    prompt: tuple[int, ...]
    ids: list[int]
    positions: list[int]
    segments: list[int]
    labels: list[int]
    starts: dict[tuple[int, ...], int] = field(default_factory=dict)

    @classmethod
    def of(cls, prompt: tuple[int, ...]) -> "PackedRow":
        n = len(prompt) - 1
        return cls(prompt, list(prompt[:-1]), list(range(n)), [0] * n, [IGNORED] * n)

    def add(self, completion: tuple[int, ...]) -> int:
        """Return where the completion's segment begins; append it if it is new."""
        if completion not in self.starts:
            self.starts[completion] = len(self.ids)
            first = len(self.prompt) - 1
            self.ids += (self.prompt[-1], *completion[:-1])
            self.positions += range(first, first + len(completion))
            self.segments += [len(self.starts)] * len(completion)
            self.labels += completion
        return self.starts[completion]


def pack(
    sequences: Sequence[Sequence[int]], prompts: Sequence[int], share_prompt: bool
) -> tuple[list[PackedRow], list[tuple[int, int]]]:
    """Return the packed rows, and for each sequence its row and where its completion begins there.

    `sequences` are prompt and completion in one, `prompts` the number of prompt tokens in each.
    With `share_prompt` a row is a prompt with all its completions, else a prompt with one of them.
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
        places.append((index[key], rows[index[key]].add(completion)))
    return rows, places


def packed_inputs(
    batch: "Mapping[str, torch.Tensor]", share_prompt: bool
) -> "dict[str, torch.Tensor]":
    """Return TRL's batch as tensors of packed rows, under `PACKED_KEYS`.

    ids, positions, segments (-1 is padding) and labels have shape (rows, T). source holds flat
    indices of scored positions in the rows, target their flat indices in (2P, L - 1); both have one
    entry for each completion token of each pair.
    """
    import torch

    length = batch["input_ids"].shape[1]
    mask, scored = batch["attention_mask"].tolist(), batch["completion_mask"].tolist()
    ends = [sum(m) for m in mask]
    ids = [ids[:n] for ids, n in zip(batch["input_ids"].tolist(), ends, strict=True)]
    # a first token has nothing before it to be predicted from: it counts as prompt
    prompts = [max(1, n - sum(s)) for n, s in zip(ends, scored, strict=True)]
    rows, places = pack(ids, prompts, share_prompt)
    width = max(len(row.ids) for row in rows)
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
        torch.tensor(source, dtype=torch.long),
        torch.tensor(target, dtype=torch.long),
    )
    device = batch["input_ids"].device
    return {k: v.to(device) for k, v in zip(PACKED_KEYS, tensors, strict=True)}


def attention_mask(segments: "torch.Tensor", dtype: "torch.dtype | None" = None) -> "torch.Tensor":
    """Return what each token attends to, shape (rows, 1, T, T): causal, own segment or prompt.

    True is attended; with `dtype`, 0 is attended and its minimum is not, as eager attention wants
    it. Padding attends to itself, since a row of minima alone would give NaN.
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


def unpack(
    values: "torch.Tensor | None", labels: "torch.Tensor", packed: "Mapping[str, torch.Tensor]"
) -> "torch.Tensor | None":
    """Return results of packed rows, (rows, T), in TRL's shape, (2P, L - 1); 0 elsewhere."""
    import torch

    if values is None:
        return None
    flat = values.reshape(-1)[packed["packed_source"]]
    shape = (labels.shape[0], labels.shape[1] - 1)
    empty = torch.zeros(shape[0] * shape[1], dtype=flat.dtype, device=flat.device)
    return empty.index_put((packed["packed_target"],), flat).view(shape)


def count_positions(pairs: Sequence[Pair], size: int, share_prompt: bool = True) -> int:
    """Return the positions that packed batches of `size` pairs take in an epoch, with padding."""
    total = 0
    for start in range(0, len(pairs), size):
        batch = pairs[start : start + size]
        sequences = [[*p, *c] for p, c, _ in batch] + [[*p, *r] for p, _, r in batch]
        rows, _ = pack(sequences, [len(p) for p, _, _ in batch] * 2, share_prompt)
        total += len(rows) * max(len(row.ids) for row in rows)
    return total


def count_trl_positions(pairs: Sequence[Pair], size: int) -> int:
    """Return the positions that TRL's shuffled batches of `size` pairs take, with padding."""
    order = list(pairs)
    random.Random(0).shuffle(order)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    return sum(2 * len(b) * max(len(p) + max(len(c), len(r)) for p, c, r in b) for b in batches)


def allowed_mode(
    mode: BatchMode, config: "PreTrainedConfig", aux_loss: bool
) -> tuple[BatchMode, str]:
    """Return the highest mode that an architecture is known to allow, and why none is higher."""
    text = config.get_text_config()
    name = f"{text.model_type} models"
    layers = set(getattr(text, "layer_types", None) or [])
    if mode != "trl" and aux_loss:
        return "trl", f"The routers of {name} are balanced over all tokens: batches are TRL's own."
    if mode != "tree":
        return mode, ""
    sliding = getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True)
    if layers - {"full_attention"} or (sliding and not layers):
        return "rows", f"Not every layer of {name} sees the whole text: prompts are not shared."
    recurrent = ("ssm_cfg", "state_size", "rwkv_version", "linear_num_value_heads", "mamba_d_state")
    if any(getattr(text, key, None) is not None for key in recurrent):
        return "rows", f"Some layers of {name} are not attention: prompts are not shared."
    attention = getattr(text, "_attn_implementation", None)
    if attention not in ("sdpa", "eager"):
        return "rows", f"The attention {attention!r} takes no mask: prompts are not shared."
    return mode, ""


def add_packed_forward(model: Any, observe: Callable[[Any], None] = lambda out: None) -> None:
    """Let TRL's fused forward compute packed rows, where `packed_inputs` come with the batch.

    `observe` gets each output, in TRL's shape.
    """
    fused = model.forward
    config = model.config.get_text_config()

    @functools.wraps(type(model).forward)  # generate checks its arguments against this
    def forward(
        self: "PreTrainedModel",
        *args: Any,
        weights: "torch.Tensor | None" = None,
        labels: Any = None,
        **kwargs: Any,
    ) -> Any:
        packed = {k: kwargs.pop(k) for k in PACKED_KEYS if k in kwargs}
        if not packed:
            given = kwargs if labels is None else {**kwargs, "labels": labels}
            out = fused(*args, **given)
            observe(out)
            return out if weights is None else weigh(out, weights)
        segments = packed["packed_segments"]
        mask = (segments >= 0).long()
        if int(segments.max()) > 1:  # several completions in a row
            eager = config._attn_implementation == "eager"
            mask = attention_mask(segments, self.dtype if eager else None)
        kwargs |= {
            "input_ids": packed["packed_ids"],
            "position_ids": packed["packed_positions"],
            "attention_mask": mask,
        }
        out = fused(*args, shift_labels=packed["packed_labels"], **kwargs)
        for name in OUTPUTS:
            setattr(out, name, unpack(getattr(out, name), labels, packed))
        out.label_mask = labels[:, 1:] != IGNORED
        observe(out)
        return out if weights is None else weigh(out, weights)

    model.forward = types.MethodType(forward, model)


def sequence_log_probs(
    per_token: "torch.Tensor", mask: "torch.Tensor", ld_alpha: float | None
) -> "torch.Tensor":
    """Return the log-probability of each completion, shape (2P,), as TRL's loss takes it.

    With `ld_alpha`, tokens beyond the length of the pair's shorter completion count that much.
    """
    if ld_alpha is None:
        return per_token.sum(1)
    place, length = mask.cumsum(1), mask.sum(1)
    shared = length.view(2, -1).amin(0).repeat(2)
    return per_token.where(place <= shared[:, None], ld_alpha * per_token).sum(1)


def weigh(out: Any, weights: "torch.Tensor") -> Any:
    """Return the output such that the WPO term of TRL's loss is each pair's weight.

    That term is exp(mean over the completion of log_probs - log_sum_sq_probs), chosen's times
    rejected's; weights have shape (pairs,).
    """
    per_sequence = weights.clamp(min=1e-6).log().repeat(2) / 2
    out.log_sum_sq_probs = out.log_probs.detach() - per_sequence[:, None].to(out.log_probs)
    return out
