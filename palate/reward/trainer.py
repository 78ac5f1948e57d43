"""TRL's reward trainer, begun with a probe; each distinct answer of a batch is computed once.

The head stays the probe's, and the layers below it learn. A new head would first pull them away
from what they know: A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution" (2022). benchmarks/README.md has what both gave on recorded labels.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from rich.console import Console
from transformers import PrinterCallback
from trl import RewardConfig, RewardTrainer

from palate.core.errors import PalateError
from palate.core.schema import Preference
from palate.generate import models
from palate.reward import classifier, features, probe
from palate.reward.config import RewardArguments
from palate.reward.record import ProbeFacts
from palate.reward.rows import MARGIN_SIZES, Answers
from palate.train import job
from palate.train.job import Job
from palate.train.records import facts
from palate.train.rows.data import Rows
from palate.train.trainers.callbacks import Start, run_trainer, start
from palate.train.trainers.trainer import LORA_RANK, ReproducibleTrainerMixin, schedule


class DistinctRewardTrainer(ReproducibleTrainerMixin, RewardTrainer):
    """RewardTrainer that computes equal texts of a batch once. Same arguments as RewardTrainer."""

    def groups(self, rows: Dataset) -> list[Hashable]:
        every = cast(
            "Dataset", self.train_dataset
        )  # `rows` has only the columns that a model is given
        return list(every["group"])

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], *args: Any, **kwargs: Any
    ) -> Any:
        return super().compute_loss(distinct(model), inputs, *args, **kwargs)

    def merge(self) -> None:
        """Merge an adapter, if there is one, so that plain transformers loads the model."""
        if isinstance(self.model, PeftModel):
            self.model = self.model.merge_and_unload()


def distinct(model: Any) -> Callable[..., Any]:
    """Return a forward that computes each distinct row once."""

    def forward(input_ids: torch.Tensor, attention_mask: torch.Tensor, **kwargs: Any) -> Any:
        kwargs.pop("margin", None)  # is for the loss alone
        both = torch.stack([input_ids, attention_mask], dim=1)
        rows, places = torch.unique(both, dim=0, return_inverse=True)
        out = model(input_ids=rows[:, 0], attention_mask=rows[:, 1], **kwargs)
        out.logits = out.logits[places]
        return out

    return forward


def train(
    console: Console, prepared: Job[RewardArguments, Preference]
) -> tuple[Start, models.Loaded, Rows[Preference], ProbeFacts | None, int]:
    """Train from the last checkpoint or the start, and save the classifier in `run_dir.model`.

    Returns the probe that it began with, if any, and the number of trained parameters, too.
    """
    begun = start(console, prepared)
    loaded, rows = job.load(console, prepared)
    torch.manual_seed(prepared.args.seed)  # of a new head
    model, first = begin(console, loaded, rows.train, prepared.args)
    trainer = make_trainer(prepared, loaded, model, rows, begun, probed=first is not None)
    run_trainer(console, trainer, begun, ("accuracy", "pairs right"))
    if begun.guard.failed_at is not None:
        raise PalateError(
            f"The loss was not a number at step {begun.guard.failed_at}. Nothing was pushed. Run"
            " again with a lower --learning-rate."
        )
    trainable = facts.trainable_parameters(trainer)
    trainer.merge()
    model: Any = trainer.model
    normalise(model, loaded, rows)
    trainer.save_model(str(prepared.run_dir.model))
    if job.is_main_process():
        loaded.tokenizer.padding_side = "right"
        loaded.tokenizer.save_pretrained(prepared.run_dir.model)
        (prepared.run_dir.model / "training_args.bin").unlink()
    return begun, loaded, rows, first, trainable


def begin(
    console: Console, loaded: models.Loaded, rows: Sequence[Preference], args: RewardArguments
) -> tuple[Any, ProbeFacts | None]:
    """Return the classifier of a probe on these rows; the layers below its head can learn.

    Where palate knows no layer that it could read, it is the whole model with a new head.
    """
    config = loaded.model.config.get_text_config()
    if features.final_norm(loaded.model.base_model) is None:
        console.print(f"  begins with a new head: {features.unknown(loaded)}")
        return classifier.empty(loaded, config.num_hidden_layers), None
    answers = Answers.of(rows)
    texts = features.chats(loaded.tokenizer, answers.chats)
    with console.status("Fitting the probe that the training begins with"):
        vectors = features.extract(loaded, texts, answers.prompts, [features.middle(config)])
    pairs = answers.pairs(rows, args.margin)
    choice = probe.choose(vectors, pairs, args.seed)
    model = classifier.with_head(loaded, probe.fitted(vectors, pairs, choice))
    known = {name for name, _ in loaded.model.base_model.named_parameters()}
    for name, weight in model.base_model.named_parameters():
        weight.requires_grad_(name in known)  # a layer that averages gives the others biases
    for name in classifier.head(model):
        model.get_submodule(name).requires_grad_(requires_grad=False)
    facts = ProbeFacts(choice.layer, config.num_hidden_layers, choice.penalty, tuple(vectors))
    console.print(f"  begins with a probe on layer {facts.layer} of {facts.layers}")
    return model, facts


def make_trainer(
    prepared: Job[RewardArguments, Preference],
    loaded: models.Loaded,
    model: Any,
    rows: Rows[Preference],
    begun: Start,
    *,
    probed: bool,
) -> DistinctRewardTrainer:
    """Return the trainer; nothing is chosen on test rows, so none are evaluated on the way.

    `probed` says whether the head is a probe's, which no adapter changes.
    """
    recipe, alone = prepared.recipe, replace(rows, test=[])
    held = classifier.head(model) if probed else ["score"]
    adapter = LoraConfig(
        r=LORA_RANK,
        lora_alpha=2 * LORA_RANK,
        target_modules="all-linear",
        exclude_modules="|".join(rf"{re.escape(name)}(\..+)?" for name in held),
        modules_to_save=None if probed else ["score"],
    )
    trainer = DistinctRewardTrainer(
        model=model,
        args=RewardConfig(
            **schedule(prepared.args, recipe, alone, prepared.run_dir.path),
            report_to="none",
        ),
        train_dataset=dataset(rows.train, prepared.args),
        processing_class=loaded.tokenizer,
        peft_config=adapter if recipe.method == "lora" else None,
        callbacks=begun.callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def dataset(rows: Sequence[Preference], args: RewardArguments) -> Dataset:
    """Return TRL's rows; a tie is two of them, either way round, without a margin."""
    numbers: dict[str, int] = {}
    return Dataset.from_list(
        [
            {
                "prompt": r.prompt,
                "chosen": better,
                "rejected": worse,
                "margin": r.margin * MARGIN_SIZES[args.margin],
                "group": numbers.setdefault(r.prompt_id, len(numbers)),
            }
            for r in rows
            for better, worse in (
                [(r.chosen, r.rejected), (r.rejected, r.chosen)]
                if r.source == "tie"
                else [(r.chosen, r.rejected)]
            )
        ]
    )


def normalise(model: Any, loaded: models.Loaded, rows: Rows[Preference]) -> None:
    """Change the head so that scores of the train answers have mean 0 and standard deviation 1.

    The head has no constant: what it loses is the part along the answers' mean features.
    """
    answers = Answers.of(rows.train)
    texts = features.chats(loaded.tokenizer, answers.chats)
    states: list[torch.Tensor] = []
    hook = model.score.register_forward_pre_hook(lambda _, args: states.append(args[0]))
    model.eval()
    classifier.scores(model, loaded.tokenizer.pad_token_id, texts)
    hook.remove()
    order = [i for batch in features.batches([len(t.ids) for t in texts]) for i in batch]
    flat = [state for batch in states for state in batch]
    pooled = torch.stack([s[texts[i].pooled] for s, i in zip(flat, order, strict=True)]).double()
    head = model.score.weight
    with torch.no_grad():
        weights, mean = head[0].double(), pooled.mean(0)
        weights = weights - (weights @ mean) / (mean @ mean) * mean
        spread = (pooled @ weights).std(correction=0)
        head.copy_((weights / spread if spread > 0 else weights)[None])
