"""The memory that a DPO training takes at its peak, predicted before its first step.

What is there already, gradients and AdamW's moments of the weights that are trained, and what a
step keeps for its backward pass. The last is measured on the pairs of one and of two prompts, and
grows with the token positions of a batch. Computes nothing else; `of_machine` asks the device.
"""

import os
import re
import resource
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palate.train.packed import packing
from palate.train.packed.packing import of_first
from palate.train.recipes.recipe import Recipe, halved

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from palate.train.trainers.dpo_trainer import PackedDPOTrainer

GB = 2**30
STATE_BYTES = 12  # of a trained parameter in float32: gradient and two moments
# what a batch takes, in terms of what it keeps: gradients and the allocator's gaps come on top.
# Measured on a CPU with models of 0.7, 20 and 135 M parameters; reckoned for a GPU
CPU_BATCH, GPU_BATCH = 2.25, 1.25
CGROUP = Path("/sys/fs/cgroup/memory.max")
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Memory:
    """Bytes of a device: in use, at most in use so far, and what this process can have."""

    now: float
    peak: float
    available: float

    @classmethod
    def of_machine(cls) -> "Memory":
        import torch

        if torch.cuda.is_available():
            now, free = torch.cuda.memory_allocated(), torch.cuda.mem_get_info()[0]
            cached = torch.cuda.memory_reserved() - now
            return cls(now, torch.cuda.max_memory_allocated(), now + cached + free)
        unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        pages, page = Path("/proc/self/statm"), os.sysconf("SC_PAGE_SIZE")
        now = int(pages.read_text("utf-8").split()[1]) * page if pages.exists() else peak
        return cls(now, peak, min(_free() + now, _limit()))


def _free() -> float:
    """Return the bytes of the machine that nobody uses, or all where it does not tell."""
    text = MEMINFO.read_text("utf-8") if MEMINFO.exists() else ""
    if match := re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE):
        return 1024.0 * int(match[1])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _limit() -> float:
    """Return the bytes that a container may have."""
    text = CGROUP.read_text("utf-8").strip() if CGROUP.exists() else "max"
    return float("inf") if text == "max" else float(text)


@dataclass(frozen=True)
class Prediction:
    """Bytes of the peak, of what the size of a batch does not change, and what is available.

    Where layers are computed twice, the peak is a lower bound: what a step keeps is not known.
    """

    peak: float
    states: float
    available: float
    least: bool = False

    def sentence(self) -> str:
        about = "at least" if self.least else "about"
        return (
            f"Memory: {about} {self.peak / GB:.1f} GB at the peak, {self.available / GB:.1f} GB"
            " available"
        )

    def outcome(self, peak_gb: float) -> str:
        """Return the peak that was measured, and the one that was predicted."""
        about = "at least " if self.least else ""
        return f"Memory: {peak_gb:.1f} GB at the peak; predicted {about}{self.peak / GB:.1f} GB"

    def advice(self, recipe: Recipe) -> str | None:
        """Return what to do where memory may run out; None where it will not."""
        if self.peak <= self.available:
            return None
        if self.states > self.available or (parts := halved(recipe)) is None:
            return (
                "Memory may run out. Use --method lora, a smaller base model or a machine with more"
                " memory."
            )
        return (
            "Memory may run out. To compute a batch in parts, stop with Ctrl-C and add --accumulate"
            f" {parts.accumulate}"
        )


def predict(trainer: "PackedDPOTrainer", memory: Memory) -> Prediction:
    """Return what the training will take; it computes a forward pass of a few pairs."""
    policy: Any = trainer.model
    trained = sum(w.numel() for w in policy.parameters() if w.requires_grad)
    states = memory.now + STATE_BYTES * trained
    if trainer.args.gradient_checkpointing:
        return Prediction(max(memory.peak, states), states, memory.available, least=True)
    always, each = _kept(trainer)
    factor = GPU_BATCH if trainer.accelerator.device.type == "cuda" else CPU_BATCH
    batch = factor * (always + each * _largest_batch(trainer))
    return Prediction(max(memory.peak, states + batch), states, memory.available)


def _kept(trainer: "PackedDPOTrainer") -> tuple[float, float]:
    """Return bytes that a step keeps for its backward pass: always, and for each position."""
    rows: Any = trainer.train_dataset
    prompts = [tuple(ids) for ids in rows["prompt_ids"]]
    (few, one), (many, two) = (
        _kept_of(trainer, rows.select(of_first(prompts, count))) for count in (1, 2)
    )
    if two == one:
        return 0.0, many / two
    each = max(0.0, (many - few) / (two - one))
    return max(0.0, few - each * one), each


def _kept_of(trainer: "PackedDPOTrainer", rows: "Dataset") -> tuple[int, int]:
    """Return the bytes that the backward pass of these rows needs, and their positions."""
    import torch

    policy: Any = trainer.model
    inputs: Any = trainer._prepare_inputs(trainer.data_collator([*rows]))
    own = {w.untyped_storage().data_ptr() for w in policy.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: "torch.Tensor") -> "torch.Tensor":
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    metrics, tokens, was_training = trainer._metrics, trainer._total_train_tokens, policy.training
    trainer._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
    policy.train()
    try:
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            trainer.compute_loss_context_manager(),
        ):
            trainer.compute_loss(policy, dict(inputs))
    finally:
        policy.train(was_training)
        trainer._metrics, trainer._total_train_tokens = metrics, tokens
    return sum(kept.values()), packing.batch_positions(packing.token_ids(rows), trainer.mode)


def _largest_batch(trainer: "PackedDPOTrainer") -> int:
    """Return the most token positions of a batch of the training."""
    rows: Any = trainer.train_dataset
    pairs = packing.token_ids(rows)
    size = trainer.args.per_device_train_batch_size
    batches = (pairs[start : start + size] for start in range(0, len(pairs), size))
    return max(packing.batch_positions(batch, trainer.mode) for batch in batches)
