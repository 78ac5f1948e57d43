"""TRL's DPO on packed batches, in which every distinct prompt and completion is computed once.

Batches and the forward are palate's; tokens, losses, metrics and the reference are TRL's. Some
pairs are computed both ways first, and where they differ palate does what TRL does.
"""

import copy
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from rich.console import Console
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from palate.core.schema import Preference
from palate.generate.models import Loaded
from palate.train.config import BatchMode, DPOArguments
from palate.train.packed import attention, packed_forward, packing
from palate.train.packed.agreement import AgreementMixin
from palate.train.packed.references import Batch, MarginsMixin, with_references
from palate.train.recipes.recipe import Recipe
from palate.train.records.choice import KEEPS
from palate.train.rows.data import Rows, preference_dataset
from palate.train.trainers import losses
from palate.train.trainers.losses import FreeLoss
from palate.train.trainers.trainer import (
    ReproducibleTrainerMixin,
    adapter,
    schedule,
)

Warn = Callable[[str], None]


class WeightedCollator(DataCollatorForPreference):
    """TRL's collator, which also carries each pair's weight."""

    def torch_call(self, examples: list[Batch]) -> Batch:
        batch = super().torch_call(examples)
        if "weight" in examples[0]:
            batch["weights"] = torch.tensor([e["weight"] for e in examples])
        return batch


class PackedDPOTrainer(AgreementMixin, MarginsMixin, ReproducibleTrainerMixin, DPOTrainer):
    """DPOTrainer that computes each distinct token of a batch once. Same arguments as DPOTrainer.

    `mode` is `tree` (one row per prompt), `rows` (one row per prompt and completion) or `trl`. A
    lower one is used where the model does not allow the higher, and `warn` gets the reason. A
    column `weight` of the training rows multiplies each pair's loss; a column `margin` is a reward
    margin that the chosen answer has to reach, an offset of the reference's. Reference
    log-probabilities are kept in the folder `references` under their tokens and `origin`, which
    names the weights.
    """

    def __init__(
        self,
        *args: Any,
        mode: BatchMode = "tree",
        warn: Warn = print,
        references: Path | None = None,
        origin: str = "",
        console: Console | None = None,
        **kwargs: Any,
    ):
        self._console = console  # for the bar of the reference pass
        self.mode, self.flex, self._warn = mode, False, warn
        self._installed, self._computed, self._checked = False, False, False
        self._references, self._origin = references, origin
        self.free_loss: FreeLoss | None = None
        self._outputs: list[Any] | None = None  # of the loss that is being computed
        super().__init__(*args, **kwargs)
        if self.precompute_ref_logps:
            self.ref_model = None  # its log-probabilities are in the rows
        self._install()

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """Tokenize as TRL does, then bring the pairs of a prompt together."""
        tokenized: Any = super()._prepare_dataset(dataset, *args, **kwargs)
        if "place" not in tokenized.column_names:
            tokenized = tokenized.add_column("place", list(range(len(tokenized))))
        first: dict[tuple[int, ...], int] = {}
        order = [first.setdefault(tuple(ids), len(first)) for ids in tokenized["prompt_ids"]]
        return tokenized.select(sorted(range(len(order)), key=order.__getitem__))

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if "weight" not in (columns := self._signature_columns or []):
            self._signature_columns = [*columns, "weight"]

    def groups(self, rows: Dataset) -> list[Hashable]:
        return [tuple(ids) for ids in rows["prompt_ids"]]

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        self._install()  # called while DPOTrainer is still being constructed
        if not self._computed:
            self._computed = True
            self.check_forward(dataset)
        return with_references(
            self, dataset, batch_size, self._references, self._origin, self._console
        )

    def _install(self) -> None:
        if self._installed:
            return
        self._installed = True
        collator: Any = self.data_collator
        self.data_collator = WeightedCollator(
            collator.pad_token_id,
            collator.max_length,
            collator.truncation_mode,
            collator.pad_to_multiple_of,
        )
        policy: Any = self.model
        model = policy.get_base_model() if hasattr(policy, "peft_config") else policy
        self.mode, why = packed_forward.allowed_mode(self.mode, model.config)
        if why:
            self._warn(why)
        for packable in (model, self.ref_model):
            if packable is not None:
                packed_forward.add_packed_forward(packable, self.observe, lambda: self.flex)

    def compute_ref_log_probs(self, model: torch.nn.Module, inputs: Batch) -> Any:
        inputs = {k: v for k, v in inputs.items() if k != "weights"}
        return super().compute_ref_log_probs(model, self._packed(inputs))

    def _compute_loss(self, model: torch.nn.Module, inputs: Batch, return_outputs: bool) -> Any:
        weighted = "weights" in inputs
        self._outputs = [] if self.free_loss else None
        # TRL's loss takes a weight for each pair through WPO's weights
        self.use_weighting = weighted
        try:
            loss = super()._compute_loss(model, self._packed(inputs), return_outputs)
        finally:
            self.use_weighting = False
        return self._free(model, inputs) if self._outputs else loss

    def _free(self, model: torch.nn.Module, inputs: Batch) -> torch.Tensor:
        """Return the loss without a reference, of the outputs that TRL measured."""
        assert self.free_loss
        assert self._outputs
        # the policy's output comes first; a reference model's may follow
        out, mask = self._outputs[0], inputs["completion_mask"][:, 1:]
        self._outputs = None
        log_probs = out.log_probs[:, -mask.shape[1] :]
        needs = self.free_loss.needs_prompt
        whole = self._whole(model, inputs, log_probs) if needs else None
        loss = self.free_loss(log_probs, mask, whole)
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * out.aux_loss
        return loss

    def _whole(
        self, model: torch.nn.Module, inputs: Batch, log_probs: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean negative log-probability of the chosen sequences, prompts included.

        `log_probs` has that of their answers. Each distinct prompt is computed once.
        """
        pairs = len(inputs["input_ids"]) // 2
        ids, seen = inputs["input_ids"][:pairs], inputs["attention_mask"][:pairs]
        answers = (inputs["completion_mask"][:pairs] == 1) | (seen == 0)
        answers[:, 0] = False  # nothing predicts a first token
        labels, times = ids.masked_fill(answers, packing.IGNORED).unique(dim=0, return_counts=True)
        known = labels != packing.IGNORED
        width = max(2, int(known.sum(1).max()))
        out = model(
            input_ids=labels[:, :width].clamp(min=0),
            attention_mask=known[:, :width].long(),
            labels=labels[:, :width],
            use_cache=False,
            fused_lm_head=True,
        )
        prompts = (out.log_probs.sum(1) * times).sum()
        return -(prompts + log_probs[:pairs].sum()) / seen[:, 1:].sum()

    def observe(self, out: Any) -> None:
        super().observe(out)
        if self._outputs is not None:
            self._outputs.append(out)

    def _packed(self, inputs: Batch) -> Batch:
        if self.mode == "trl":
            return inputs
        packed = packing.packed_inputs(
            inputs,
            share_prompt=self.mode == "tree",
            whole=self.aux_loss_enabled,
            multiple=self._multiple(inputs["input_ids"].device),
        )
        return {**inputs, **packed}

    def _multiple(self, device: torch.device) -> int:
        if self.flex:
            return attention.BLOCK
        return attention.ALIGNED if device.type == "cuda" else 1

    def training_step(
        self, model: torch.nn.Module, inputs: Batch, *args: Any, **kwargs: Any
    ) -> Any:
        if not self._checked:
            self._checked = True
            self.check_gradients(model, self._prepare_inputs(inputs))
        return super().training_step(model, inputs, *args, **kwargs)

    def positions(self) -> packing.Positions:
        """Return the token positions of an epoch, in these batches and in TRL's."""
        rows: Any = self.train_dataset
        size, pairs = self.args.per_device_train_batch_size, packing.token_ids(rows)
        ours = theirs = packing.count_trl_positions(pairs, size)
        if self.mode != "trl":
            ours = packing.count_positions(pairs, size, share_prompt=self.mode == "tree")
        return packing.Positions(ours, theirs, self.mode)


def make_dpo_trainer(
    args: DPOArguments,
    recipe: Recipe,
    loaded: Loaded,
    rows: Rows[Preference],
    folder: Path,
    callbacks: Sequence[TrainerCallback],
    warn: Warn,
    references: Path,
    console: Console | None = None,
) -> PackedDPOTrainer:
    """Return the trainer of DPO, whose reference is the very weights that it starts from."""
    train = preference_dataset(rows.train)
    for name, values in columns(rows.train, args, rows.weights).items():
        train = train.add_column(name, values)
    test = preference_dataset(rows.test).add_column("place", rows.places) if rows.test else None
    last: dict[str, Any] = {"metric_for_best_model": KEEPS, "greater_is_better": True}
    trainer = PackedDPOTrainer(
        model=loaded.model,
        ref_model=_reference(loaded, recipe),
        args=DPOConfig(
            **(schedule(args, recipe, rows, folder) | (last if rows.test else {})),
            # from the very weights that training starts from; TRL would load the repo's again
            precompute_ref_log_probs=True,
            report_to="trackio" if args.trackio else "none",
            **losses.options(args),
        ),
        train_dataset=train,
        eval_dataset=test,
        processing_class=loaded.tokenizer,
        peft_config=adapter(recipe, loaded.revision),
        callbacks=list(callbacks),
        mode=args.batches,
        warn=warn,
        references=references,
        console=console,
        origin=f"{loaded.repo}@{loaded.revision} {recipe.method} {loaded.model.dtype}",
    )
    trainer.free_loss = FreeLoss.of(args, trainer.accelerator)
    trainer.remove_callback(PrinterCallback)
    return trainer


def columns(
    rows: Sequence[Preference], args: DPOArguments, panel: Mapping[str, float] | None = None
) -> dict[str, list[float]]:
    """Return the columns of the training rows: those of `--strength`, and a judge's weight.

    `panel` has the weights of what several judges answered, by pair.
    """
    columns = losses.strength_columns(rows, args.strength)
    if any(r.source == "ai" for r in rows):
        own = columns.get("weight", [1.0] * len(rows))
        judged, panel = args.ai_weight or 0.0, panel or {}
        columns["weight"] = [
            w * (panel.get(r.pair_id, judged) if r.source == "ai" else 1.0)
            for w, r in zip(own, rows, strict=True)
        ]
    return columns


def _reference(loaded: Loaded, recipe: Recipe) -> PreTrainedModel | None:
    """Return a copy of the weights under FSDP with a full fine-tune, else None.

    TRL would load the repo's newest weights there. Elsewhere the model itself is the reference,
    before it is trained or with its adapter off.
    """
    sharded = os.environ.get("ACCELERATE_USE_FSDP", "false") == "true"
    return copy.deepcopy(loaded.model) if sharded and recipe.method == "full" else None
