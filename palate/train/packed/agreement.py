"""Whether a model computes packed rows as TRL computes its batches, and the highest mode that does.

Some pairs are computed both ways: log-probabilities before those of the reference are, then loss
and gradients before the first step.
"""

from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from accelerate.utils import send_to_device
from datasets import Dataset
from torch.distributed.tensor import DTensor
from trl import DPOTrainer

from palate.core.errors import is_out_of_memory
from palate.train.config import BatchMode
from palate.train.packed import attention
from palate.train.packed.packing import largest_rows, of_first, token_ids
from palate.train.packed.references import Batch, reference_model

T = TypeVar("T")
Probe = tuple[float, list[torch.Tensor]]  # loss and gradients
ALL_GRADIENTS_PARAMETERS = 100_000_000  # up to here all gradients of the first batch are compared
SAMPLED_TENSORS = 24  # whose gradients are compared in a larger model
# type of the forward → loss, and gradients relative to their norm: what rounding explains
TOLERANCE = {
    torch.float64: (1e-5, 1e-4),  # TRL scores in float32
    torch.float32: (1e-4, 1e-3),
    torch.float16: (0.02, 0.1),
    torch.bfloat16: (0.05, 0.15),
}


class AgreementMixin(DPOTrainer):
    """Lowers `mode` until results agree with TRL's; `_warn` gets the reason.

    `flex` tells whether FlexAttention computes packed rows. It comes before TRL's trainer among a
    class's bases.
    """

    mode: BatchMode
    flex: bool
    _warn: Callable[[str], None]
    _margins: list[float]

    def check_forward(self, dataset: Dataset) -> None:
        """Compare the log-probabilities of some rows with TRL's, before all are computed."""
        self.flex = self.prefers_flex(dataset)
        rows = [dataset[i] for i in of_first([tuple(ids) for ids in dataset["prompt_ids"]])]
        batch = send_to_device(self.data_collator(rows), self.accelerator.device)
        model = reference_model(self)
        tokens = batch["completion_mask"].sum(1)

        def compute() -> torch.Tensor:
            logps = torch.cat(self.compute_ref_log_probs(model, dict(batch)))
            return logps.float() / tokens

        model.eval()  # dropout would make both ways differ

        def disagree(ours: torch.Tensor, theirs: torch.Tensor) -> str | None:
            far = float((ours - theirs).abs().max())
            return (
                f"log-probabilities by {far:.1e}"
                if far > TOLERANCE[forward_type(self)][0]
                else None
            )

        self._use_agreeing(compute, disagree)

    def prefers_flex(self, dataset: Dataset) -> bool:
        """Tell whether the dense mask of the largest batch would take too much of a GPU's memory.

        Processes decide alike: where one has too little, all use FlexAttention.
        """
        policy: Any = self.model
        device, args = self.accelerator.device, self.args
        if device.type != "cuda" or self.mode != "tree" or not attention.supports_flex(policy):
            return False
        size = max(args.per_device_train_batch_size, args.per_device_eval_batch_size)
        mask = attention.mask_bytes(
            *largest_rows(token_ids(dataset), size), forward_type(self).itemsize
        )
        cached = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        free = torch.cuda.mem_get_info()[0] + cached
        trainable = sum(w.numel() for w in policy.parameters() if w.requires_grad)
        alone = torch.tensor([attention.prefers_flex(mask, free, trainable)], device=device)
        chosen = bool(self.accelerator.gather(alone).any())
        if chosen:
            self._warn(
                f"A batch's attention mask would take up to {mask / 1e9:.1f} GB, and"
                f" {free / 1e9:.0f} GB are free: FlexAttention computes it in blocks."
            )
        return chosen

    def check_gradients(self, model: torch.nn.Module, inputs: Batch) -> None:
        """Compare loss and gradients of some of the first batch's pairs with TRL's own."""
        part = self._first_pairs(inputs)

        def disagree(ours: Probe, theirs: Probe) -> str | None:
            loss, gradients = self._differences(theirs, ours)
            most = TOLERANCE[forward_type(self)]
            if loss <= most[0] and gradients <= most[1]:
                return None
            return f"loss by {loss:.1e}, gradients by {gradients:.1e}"

        self._use_agreeing(lambda: self._probe(model, part), disagree)

    def _first_pairs(self, inputs: Batch) -> Batch:
        """Return some pairs of a batch, as many in each process: TRL gathers their figures.

        A batch's tensors have a row for each pair, or two (2P, L).
        """
        pairs = inputs["input_ids"].shape[0] // 2
        prompt = inputs["input_ids"][:pairs] * (inputs["completion_mask"][:pairs] == 0)
        rows = torch.tensor(of_first([tuple(ids) for ids in prompt.tolist()]))
        count = torch.tensor([len(rows)], device=self.accelerator.device)
        rows = rows[: int(self.accelerator.gather(count).min())]
        both = torch.cat([rows, rows + pairs])

        def part(tensor: torch.Tensor) -> torch.Tensor:
            return tensor[(both if tensor.shape[0] == 2 * pairs else rows).to(tensor.device)]

        return {k: part(v) if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}

    def _use_agreeing(
        self, compute: Callable[[], T], disagree: Callable[[T, T], str | None]
    ) -> None:
        """Use a lower mode until what it computes agrees with TRL's, or leave TRL's own."""
        wanted, flex = self.mode, self.flex
        self.mode, self.flex = "trl", False
        if wanted == "trl":
            return
        theirs = compute()
        modes: tuple[BatchMode, ...] = ("tree", "rows")
        ways = [(mode, False) for mode in modes[modes.index(wanted) :]]
        if flex:
            ways.insert(0, (wanted, True))
        for mode, flex in ways:
            self.mode, self.flex = mode, flex
            try:
                differences = disagree(compute(), theirs)
            except Exception as error:  # of whatever kind a model's own code raises
                if is_out_of_memory(error):
                    raise
                what = f"{type(error).__name__}: {error}".splitlines()[0][:120]
                self._warn(
                    f"FlexAttention cannot compute this model's batches ({what}), so a dense mask"
                    " is used."
                    if flex
                    else f"This model cannot compute batches as {mode} ({what}), so they are not"
                    " used."
                )
            else:
                if differences is None:
                    return
                self._warn(
                    f"FlexAttention differs from TRL's attention ({differences}), so a dense mask"
                    " is used."
                    if flex
                    else f"Batches as {mode} differ from TRL's ({differences}), so they are not"
                    " used for this model."
                )
        self.mode = "trl"

    def _probe(self, model: torch.nn.Module, inputs: Batch) -> Probe:
        """Return loss and gradients of a batch; the trainer's state does not change."""
        metrics, tokens = self._metrics, self._total_train_tokens
        self._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
        was_training, self._margins = model.training, []
        model.eval()  # dropout would make both ways differ
        # FSDP 2 would keep what it has not reduced, and add it to the first step's gradients
        unsynced = nullcontext() if self.accelerator.is_fsdp2 else self.accelerator.no_sync(model)
        backward = not self.is_deepspeed_enabled  # DeepSpeed does not expose gradients
        try:
            with unsynced, torch.set_grad_enabled(backward), self.compute_loss_context_manager():
                loss = self.compute_loss(model, dict(inputs))
                if backward:
                    loss.backward()
            gradients = [_local(w.grad) for w in _compared_weights(model) if w.grad is not None]
        finally:
            if backward:
                model.zero_grad(set_to_none=True)
            model.train(was_training)
            self._metrics, self._total_train_tokens = metrics, tokens
        return loss.item(), gradients

    def _differences(self, one: Probe, other: Probe) -> tuple[float, float]:
        """Return how much loss and gradients differ, over all processes: they decide alike."""
        pairs = zip(one[1], other[1], strict=True)
        squared = sum((a.double() - b.double()).square().sum() for a, b in pairs)
        norm = sum(a.double().square().sum() for a in one[1])
        here = torch.tensor([[abs(one[0] - other[0]), float(squared), float(norm)]])
        gathered = self.accelerator.gather(here.to(self.accelerator.device))
        loss, norm = float(gathered[:, 0].max()), float(gathered[:, 2].sum())
        return loss, (float(gathered[:, 1].sum()) / norm) ** 0.5 if norm > 0 else 0.0


def _local(gradient: torch.Tensor) -> torch.Tensor:
    """Return the gradient, or the part of it that this process holds."""
    local = gradient.to_local() if isinstance(gradient, DTensor) else gradient
    return local.detach().cpu()


def _compared_weights(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the weights whose gradients are compared: all, or some of every depth."""
    weights = [w for w in model.parameters() if w.requires_grad]
    if sum(w.numel() for w in weights) <= ALL_GRADIENTS_PARAMETERS:
        return weights
    small = sorted(range(len(weights)), key=lambda i: weights[i].numel())[: len(weights) // 2]
    step = max(1, len(small) // SAMPLED_TENSORS)
    return [weights[i] for i in sorted(small)[::step]]


def forward_type(trainer: Any) -> torch.dtype:
    """Return the type of the numbers that a trainer's forward computes with."""
    if trainer.args.bf16:
        return torch.bfloat16
    return torch.float16 if trainer.args.fp16 else trainer.model.dtype
