"""TRL's SFT on the answers that people preferred, its loss on the answers alone."""

from collections.abc import Sequence
from typing import Any

import torch
from peft import PeftModel
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from palate.generate.models import Loaded
from palate.train import answers, data, setup
from palate.train.config import SFTArguments
from palate.train.facts import TokenFigures
from palate.train.sizes import Sizes
from palate.train.steady import Steady
from palate.train.workdir import WorkDir


class AnswerTrainer(Steady, SFTTrainer):
    """SFTTrainer whose look at the test rows is the mean over all their answers' tokens.

    Trainer averages the means of batches, which hold different numbers of tokens: its figure
    depends on the size of the batches and on how many processes share them.
    """

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        figures = self.look()
        metrics = {"eval_loss": figures.loss, "eval_mean_token_accuracy": figures.accuracy}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def look(self) -> TokenFigures:
        """Return loss and accuracy per token on the test rows, whatever the batches."""
        model: Any = self.model
        model.eval()
        rows = []
        for batch in self.get_eval_dataloader():
            with torch.no_grad(), self.compute_loss_context_manager():
                out = model(**batch, fused_lm_head=True)
            each = (-out.log_probs.float(), out.is_top1, out.label_mask)
            sums = torch.stack([x.sum(-1).double() for x in each], dim=1)
            rows.append(self.accelerator.gather_for_metrics(sums))
        loss, right, tokens = torch.cat(rows).sum(0).tolist()
        return TokenFigures(loss / tokens, right / tokens)

    def merge(self) -> None:
        """Put an adapter, if there is one, into the weights, for what is saved to be whole."""
        model: Any = self.model
        if isinstance(model, PeftModel):
            self.model = model.merge_and_unload()


def make_trainer(
    args: SFTArguments,
    sizes: Sizes,
    loaded: Loaded,
    rows: data.Rows,
    work: WorkDir,
    watching: Sequence[Any],
    *,
    fresh: bool,
) -> AnswerTrainer:
    """Return the trainer; a `fresh` one looks at the test rows before its first step, too."""
    trainer = AnswerTrainer(
        model=loaded.model,
        args=SFTConfig(
            **setup.schedule(args, sizes, rows, work.path),
            eval_on_start=fresh and bool(rows.test),
            report_to="none",
        ),
        train_dataset=answers.dataset(rows.train),
        eval_dataset=answers.dataset(rows.test) if rows.test else None,
        processing_class=loaded.tokenizer,
        peft_config=None if sizes.method == "full" else setup.adapter(loaded.revision),
        callbacks=setup.callbacks(watching, rows),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
