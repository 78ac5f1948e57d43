"""The card of a model that learned from a reward: from its `run.json` alone."""

from typing import TYPE_CHECKING

from palate.core.markdown import count
from palate.report import plots
from palate.report.cards import Files, document, result_notes, results_file, with_pictures
from palate.report.model_card import ADAPTERS, examples, head
from palate.reward.record import RLRecord
from palate.train.records import rl_results

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry


def rl_files(run: RLRecord) -> Files:
    """Return README.md, plots/*.svg and the results. Pure."""
    pictures = plots.training_curves(run.history, plots.RL_CURVES)
    adapter = run.method in ADAPTERS
    readme = document(
        head(run, "rloo", adapter=adapter),
        "rl.md.j2",
        run=run,
        gap=rl_results.gap(run.results, run.held_out),
        pictures=set(pictures),
        adapter=adapter,
        shown=examples(run.samples.examples),
    )
    return with_pictures(readme, pictures) | results_file(_entries(run))


def _entries(run: RLRecord) -> "list[EvalResultEntry]":
    """Return the change of both rewards on test prompts."""
    from huggingface_hub import EvalResultEntry

    results = run.results
    changes = {"reward_change": results.reward, "held_out_reward_change": results.held_out}
    return [
        EvalResultEntry(
            dataset_id=run.project,
            task_id=name,
            value=round(gap.change.mean, 4),
            dataset_revision=run.data_revision,
            date=run.started,
            notes=result_notes(
                gap.change.interval, count(results.prompts, "test prompt"), "from the base model"
            ),
        )
        for name, gap in changes.items()
        if gap
    ]
