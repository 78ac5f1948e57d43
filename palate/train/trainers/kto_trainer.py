"""TRL's KTO on answers that people called good or bad; the reference is where it starts from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback
from trl import KTOConfig, KTOTrainer

from palate.core.schema import Message, Unpaired
from palate.generate.models import Loaded
from palate.train.config import KTOArguments
from palate.train.recipes.recipe import Recipe
from palate.train.records.choice import KEEPS
from palate.train.rows.data import Rows
from palate.train.rows.unpaired import Weights
from palate.train.trainers.trainer import ReproducibleTrainerMixin, adapter, schedule

Answer = tuple[list[Message], list[Message]]  # prompt and completion


class AnswerKTOTrainer(ReproducibleTrainerMixin, KTOTrainer):
    """KTOTrainer whose reference log-probabilities are in memory, and which keeps the last step."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        # the divergence is estimated on each answer's neighbours: rows keep their order
        return KTOTrainer._get_train_sampler(self, train_dataset)

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        assert self.model
        model = self.model.eval()
        parts = [self.compute_ref_log_probs(model, b) for b in self._batches(dataset, batch_size)]
        own, mismatched = (
            torch.cat(part).float().cpu().tolist() for part in zip(*parts, strict=True)
        )
        return dataset.add_column("ref_logps", own).add_column("ref_KL_logps", mismatched)

    def _batches(self, dataset: Any, size: int) -> Iterator[dict[str, torch.Tensor]]:
        """Yield the collated rows in order: all of them in every process."""
        loader = DataLoader(dataset, batch_size=size, collate_fn=self.data_collator)
        return (send_to_device(batch, self.accelerator.device) for batch in loader)

    def log_probs(self, answers: Sequence[Answer]) -> list[float]:
        """Return the log-probability of each answer under the model as it is now."""
        if not answers:
            return []
        rows = [{"prompt": p, "completion": c, "label": True} for p, c in answers]
        args: Any = self.args
        tokenizer: Any = self.processing_class
        tokens = self._prepare_dataset(Dataset.from_list(rows), tokenizer, args, "answers")
        assert self.model
        model = self.model.eval()
        found: list[float] = []
        for batch in self._batches(tokens, args.per_device_eval_batch_size):
            labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
            with torch.no_grad(), self.compute_loss_context_manager():
                out = model(
                    input_ids=batch["input_ids"],
                    attention_mask=batch["attention_mask"],
                    labels=labels,
                    fused_lm_head=True,
                )
            found += out.log_probs.float().sum(-1).tolist()
        return found

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "eval_loss" in logs:
            logs[KEEPS] = float(self.state.global_step)
        super().log(logs, start_time)


def make_kto_trainer(
    args: KTOArguments,
    recipe: Recipe,
    loaded: Loaded,
    rows: Rows[Unpaired],
    weights: Weights,
    folder: Path,
    callbacks: Sequence[TrainerCallback],
) -> AnswerKTOTrainer:
    """Return the trainer of KTO; the rows have an order that the seed decides."""
    last: dict[str, Any] = {"metric_for_best_model": KEEPS, "greater_is_better": True}
    trainer = AnswerKTOTrainer(
        model=loaded.model,
        args=KTOConfig(
            **(schedule(args, recipe, rows, folder) | (last if rows.test else {})),
            precompute_ref_log_probs=True,
            report_to="none",
            beta=args.beta,
            desirable_weight=weights.good,
            undesirable_weight=weights.bad,
        ),
        train_dataset=unpaired_dataset(rows.train, args.seed),
        eval_dataset=unpaired_dataset(rows.test, args.seed) if rows.test else None,
        processing_class=loaded.tokenizer,
        peft_config=adapter(recipe, loaded.revision),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def unpaired_dataset(rows: Sequence[Unpaired], seed: int) -> Dataset:
    """Return the rows in random order, so that neighbours are answers to different prompts."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    return Dataset.from_list(
        [
            {"prompt": r.prompt, "completion": r.completion, "label": r.label}
            for r in (rows[i] for i in order)
        ]
    )
