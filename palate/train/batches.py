"""Which pairs come together in a batch, and what a batch has in addition to TRL's tensors."""

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any

import torch
from torch.utils.data import Sampler
from trl.trainer.dpo_trainer import DataCollatorForPreference


class GroupSampler(Sampler[int]):
    """Pairs of one prompt come together; the order of prompts is new in every epoch.

    The same seed and epoch give the same order, so that a resumed run goes on where it stopped.
    The last of an epoch's batches is filled up with the epoch's first pairs: a step is of `batch`
    pairs then, however many processes compute it.
    """

    def __init__(self, keys: Sequence[Any], seed: int, batch: int = 1):
        groups: dict[Any, list[int]] = {}
        for i, key in enumerate(keys):
            groups.setdefault(key, []).append(i)
        self._groups, self._seed, self._epoch = list(groups.values()), seed, 0
        self._rows = len(keys) + -len(keys) % batch

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[int]:
        random = torch.Generator().manual_seed(1_000_003 * self._seed + self._epoch)
        order = torch.randperm(len(self._groups), generator=random).tolist()
        pairs = [i for group in order for i in self._groups[group]]
        yield from islice(cycle(pairs), self._rows)


class WeightedCollator(DataCollatorForPreference):
    """TRL's collator, which also carries what weight each pair has."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super().torch_call(examples)
        if "weight" in examples[0]:
            batch["weights"] = torch.tensor([e["weight"] for e in examples])
        return batch
