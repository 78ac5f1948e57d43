"""TRL's DPO on batches in which every distinct prompt and completion is computed once.

Batches and the forward are ours; tokens, losses, metrics and the reference are TRL's. The first
batch is computed both ways, and where they differ we do what TRL does.
"""

import functools
import types
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from trl import DPOTrainer
from trl.trainer import utils as trl_utils

from palate.train.batches import WeightedCollator
from palate.train.config import BatchMode
from palate.train.references import with_references
from palate.train.steady import Steady
from palate.train.view import TREE_KEYS, to_pairs, tree_inputs, tree_mask

Say = Callable[[str], None]
Probe = tuple[float, list[torch.Tensor]]  # loss and gradients
FIELDS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
SMALL = 100_000_000  # parameters: up to here all gradients of the first batch are compared
SAMPLED = 24  # tensors, whose gradients are compared in a larger model
# type of the forward → loss, and gradients relative to their norm: what rounding explains
TOLERANCE = {
    torch.float64: (1e-5, 1e-4),  # TRL scores in float32
    torch.float32: (1e-4, 1e-3),
    torch.float16: (0.02, 0.1),
    torch.bfloat16: (0.05, 0.15),
}


class TreeDPOTrainer(Steady, DPOTrainer):
    """DPOTrainer that computes each distinct token of a batch once. Same arguments as DPOTrainer.

    `mode` is `tree` (a row for each prompt), `rows` (a row for each prompt with one completion) or
    `trl`; a lower one is taken where the model does not allow the higher, and `say` is told why.
    A column `weight` of the training rows multiplies each pair's loss; a column `margin` is a
    reward margin that the chosen one has to have, an offset of the reference's. Reference
    log-probabilities that were computed beforehand are kept in the folder `references` under
    their tokens and `origin`, which names the weights.
    """

    def __init__(
        self,
        *args: Any,
        mode: BatchMode = "tree",
        say: Say = print,
        references: Path | None = None,
        origin: str = "",
        **kwargs: Any,
    ):
        self.mode, self._say, self._checked, self._installed = mode, say, False, False
        self._references, self._origin = references, origin
        super().__init__(*args, **kwargs)
        if self.precompute_ref_logps:
            self.ref_model = None  # it has been asked
        self._install()

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """Tokenize as TRL does, then bring the pairs of a prompt together."""
        made: Any = super()._prepare_dataset(dataset, *args, **kwargs)
        first: dict[tuple[int, ...], int] = {}
        order = [first.setdefault(tuple(ids), len(first)) for ids in made["prompt_ids"]]
        return made.select(sorted(range(len(order)), key=order.__getitem__))

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if "weight" not in (columns := self._signature_columns or []):
            self._signature_columns = [*columns, "weight"]

    def groups(self, rows: Any) -> list[Any]:
        return [tuple(ids) for ids in rows["prompt_ids"]]

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        self._install()  # comes while DPOTrainer is still being made
        return with_references(self, dataset, batch_size, self._references, self._origin)

    def _install(self) -> None:
        if self._installed:
            return
        self._installed = True
        c: Any = self.data_collator
        self.data_collator = WeightedCollator(
            c.pad_token_id, c.max_length, c.truncation_mode, c.pad_to_multiple_of
        )
        policy: Any = self.model
        model = policy.get_base_model() if hasattr(policy, "peft_config") else policy
        self.mode, why = allowed(self.mode, model.config, self.aux_loss_enabled)
        if why:
            self._say(why)
        # TRL scores every position where no Triton kernel spares the others; rows have few to score
        setattr(trl_utils, "_use_triton", lambda device: True)  # noqa: B010
        for each in (model, self.ref_model):
            if each is not None:
                add_tree_forward(each)

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
        inputs = {k: v for k, v in inputs.items() if k != "weights"}
        return super().compute_ref_log_probs(model, self._viewed(inputs))

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        weighted = "weights" in inputs
        # WPO's weights are the way by which TRL's loss takes a weight for each pair
        self.use_weighting = weighted
        try:
            return super()._compute_loss(model, self._viewed(inputs), return_outputs)
        finally:
            self.use_weighting = False

    def _viewed(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if self.mode == "trl":
            return inputs
        return {**inputs, **tree_inputs(inputs, share_prompt=self.mode == "tree")}

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._checked:
            self._checked = True
            self._check(model, self._prepare_inputs(inputs))
        return super().training_step(model, inputs, *args, **kwargs)

    def _check(self, model: Any, inputs: dict[str, Any]) -> None:
        """Compare loss and gradients with TRL's own, and take a lower mode until they agree."""
        if self.mode == "trl":
            return
        wanted, self.mode = self.mode, "trl"
        theirs = self._probe(model, inputs)
        for mode in ("tree", "rows"):
            if mode == "rows" or wanted == "tree":
                self.mode = mode
                difference = self._differences(theirs, self._probe(model, inputs))
                kind = _forward_type(self)
                if all(d <= t for d, t in zip(difference, TOLERANCE[kind], strict=True)):
                    return
                self._say(
                    f"Batches as {mode} differ from TRL's (loss by {difference[0]:.1e}, gradients"
                    f" by {difference[1]:.1e}), so they are not used for this model."
                )
        self.mode = "trl"

    def _probe(self, model: Any, inputs: dict[str, Any]) -> Probe:
        """Return loss and gradients of a batch, and leave the trainer as it was."""
        metrics, tokens = self._metrics, self._total_train_tokens
        self._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
        model.train()
        # FSDP 2 would keep what it has not reduced, and add it to the first step's gradients
        apart = nullcontext() if self.accelerator.is_fsdp2 else self.accelerator.no_sync(model)
        alone = self.is_deepspeed_enabled  # which keeps gradients to itself
        with apart, torch.set_grad_enabled(not alone), self.compute_loss_context_manager():
            loss = self.compute_loss(model, dict(inputs))
            if not alone:
                loss.backward()
        gradients = [_own(w.grad) for w in _some(model) if w.grad is not None]
        if not alone:
            model.zero_grad(set_to_none=True)
        self._metrics, self._total_train_tokens = metrics, tokens
        return loss.item(), gradients

    def _differences(self, one: Probe, other: Probe) -> tuple[float, float]:
        """Return by how much loss and gradients differ, over all processes: they decide alike."""
        squared = sum((a - b).square().sum() for a, b in zip(one[1], other[1], strict=True))
        norm = sum(a.square().sum() for a in one[1])
        here = torch.tensor([[abs(one[0] - other[0]), float(squared), float(norm)]])
        each = self.accelerator.gather(here.to(self.accelerator.device))
        loss, norm = float(each[:, 0].max()), float(each[:, 2].sum())
        return loss, (float(each[:, 1].sum()) / norm) ** 0.5 if norm > 0 else 0.0


def allowed(mode: BatchMode, config: Any, aux_loss: bool) -> tuple[BatchMode, str]:
    """Return the highest mode that a model's architecture is known to allow, and why no higher."""
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
        return "rows", f"Some layers of {name} are no attention: prompts are not shared."
    attention = getattr(text, "_attn_implementation", None)
    if attention not in ("sdpa", "eager"):
        return "rows", f"The attention {attention!r} takes no mask: prompts are not shared."
    return mode, ""


def add_tree_forward(model: Any) -> None:
    """Let TRL's fused forward compute a batch by its rows, where `tree_inputs` came with it."""
    fused = model.forward
    config = model.config.get_text_config()

    @functools.wraps(type(model).forward)  # generate checks its arguments against this
    def forward(
        self: Any, *args: Any, weights: Any = None, labels: Any = None, **kwargs: Any
    ) -> Any:
        tree = {k: kwargs.pop(k) for k in TREE_KEYS if k in kwargs}
        if not tree:
            out = (
                fused(*args, **kwargs) if labels is None else fused(*args, labels=labels, **kwargs)
            )
            return out if weights is None else weigh(out, weights)
        segments = tree["tree_segments"]
        mask = (segments >= 0).long()
        if int(segments.max()) > 1:  # several completions in a row
            eager = config._attn_implementation == "eager"
            mask = tree_mask(segments, self.dtype if eager else None)
        kwargs |= {
            "input_ids": tree["tree_ids"],
            "position_ids": tree["tree_positions"],
            "attention_mask": mask,
        }
        out = fused(*args, shift_labels=tree["tree_labels"], **kwargs)
        for name in FIELDS:
            setattr(out, name, to_pairs(getattr(out, name), labels, tree))
        out.label_mask = labels[:, 1:] != -100
        return out if weights is None else weigh(out, weights)

    model.forward = types.MethodType(forward, model)


def weigh(out: Any, weights: torch.Tensor) -> Any:
    """Return the output such that the WPO term of TRL's loss is each pair's weight.

    That term is exp(mean over the completion of log_probs - log_sum_sq_probs), chosen's times
    rejected's; weights have shape (pairs,).
    """
    each = weights.clamp(min=1e-6).log().repeat(2) / 2
    out.log_sum_sq_probs = out.log_probs.detach() - each[:, None].to(out.log_probs)
    return out


def _own(gradient: Any) -> torch.Tensor:
    """Return the gradient, or the part of it that this process holds."""
    local = gradient.to_local() if isinstance(gradient, DTensor) else gradient
    return local.detach().double().cpu()


def _some(model: Any) -> list[Any]:
    """Return the weights whose gradients are compared: all, or some of every depth."""
    weights = [w for w in model.parameters() if w.requires_grad]
    if sum(w.numel() for w in weights) <= SMALL:
        return weights
    small = sorted(range(len(weights)), key=lambda i: weights[i].numel())[: len(weights) // 2]
    step = max(1, len(small) // SAMPLED)
    return [weights[i] for i in sorted(small)[::step]]


def _forward_type(trainer: Any) -> torch.dtype:
    if trainer.args.bf16:
        return torch.bfloat16
    return torch.float16 if trainer.args.fp16 else trainer.model.dtype
