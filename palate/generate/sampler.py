"""How a token is drawn: from a random stream for each row, among its likeliest tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import LogitsProcessor


def sampler(
    temperature: float, top_p: float, longest: int, seeds: Sequence[int]
) -> "LogitsProcessor":
    """Return a logits processor that draws each row's token from the stream of the row's seed."""
    import torch
    from transformers import LogitsProcessor

    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    draws = torch.stack([torch.rand(longest, generator=g) for g in streams])

    class Sampler(LogitsProcessor):
        """Leaves one token possible per row: the one where the cumulative probability passes u."""

        step = 0

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            u = draws[:, self.step].to(scores.device)
            self.step += 1
            # double precision: the sum over a large vocabulary has to end at 1
            p = (scores.double() / temperature).softmax(-1)
            order = None
            if top_p < 1:
                p, order = nucleus(p, top_p)
            total = p.cumsum(-1)
            chosen = torch.searchsorted(total, (u.double() * total[:, -1])[:, None], right=True)
            chosen = chosen.clamp(max=p.shape[-1] - 1)
            token = chosen if order is None else order.gather(-1, chosen)
            return torch.full_like(scores, -torch.inf).scatter(-1, token, 0)

    return Sampler()


def nucleus(p: "torch.Tensor", top_p: float, head: int = 1024) -> "tuple[torch.Tensor, ...]":
    """Return probabilities from high to low, 0 after those that reach `top_p`, and their ids.

    The `head` likeliest of each row are enough in most cases, and sorting a whole vocabulary takes
    as long as a small model does. Equal ones come in the order of their ids, either way.
    """
    values, order = p.topk(min(head, p.shape[-1]), dim=-1)
    order, by_id = order.sort(dim=-1)
    values, ranks = values.gather(-1, by_id).sort(dim=-1, descending=True, stable=True)
    beyond = values.cumsum(-1) - values >= top_p
    # of equal ones at the end of the head, others may lie outside it
    falls_short = (~beyond & (values == values[:, -1:])).any()
    if falls_short and values.shape[-1] < p.shape[-1]:
        return nucleus(p, top_p, p.shape[-1])
    return values.masked_fill(beyond, 0), order.gather(-1, ranks)
