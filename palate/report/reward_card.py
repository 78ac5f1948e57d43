"""A reward model's card: from its `run.json` alone."""

from typing import TYPE_CHECKING

from palate.core.markdown import count
from palate.report.cards import Files, document, hub_license, result_notes, results_file
from palate.report.model_card import RULES
from palate.reward.record import RewardRecord

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData


def reward_files(run: RewardRecord) -> Files:
    """Return README.md and the results of a reward model. Pure."""
    readme = document(_head(run), "reward.md.j2", run=run, baselines=RULES)
    return {"README.md": readme} | results_file(_entries(run))


def _entries(run: RewardRecord) -> "list[EvalResultEntry]":
    from huggingface_hub import EvalResultEntry

    accuracy = run.results.accuracy
    if accuracy.rate is None:
        return []
    return [
        EvalResultEntry(
            dataset_id=run.project,
            task_id="held_out_accuracy",
            value=round(accuracy.rate, 4),
            dataset_revision=run.data_revision,
            date=run.started,
            notes=result_notes(
                accuracy.interval,
                count(accuracy.n, "pair of held-out prompts", "pairs of held-out prompts"),
            ),
        )
    ]


def _head(run: RewardRecord) -> "ModelCardData":
    from huggingface_hub import ModelCardData

    license_id, license_name = hub_license(run.license)
    results = _eval_results(run)
    return ModelCardData(
        base_model=run.base_model,
        base_model_relation="finetune",
        datasets=[run.project],
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["palate", "reward-model", "preference", run.method],
        license=license_id,
        license_name=license_name,
        model_name=run.model.split("/")[-1] if results else None,
        eval_results=results or None,
    )


def _eval_results(run: RewardRecord) -> "list[EvalResult]":
    """Return the accuracy on held-out prompts, if it was measured."""
    from huggingface_hub import EvalResult

    accuracy = run.results.accuracy
    if accuracy.rate is None or accuracy.interval is None:
        return []
    return [
        EvalResult(
            task_type="text-classification",
            dataset_type=run.project,
            dataset_name=run.project,
            dataset_config="preferences",
            metric_type="accuracy",
            metric_name="Accuracy on pairs of held-out prompts",
            metric_value=round(accuracy.rate, 4),
            metric_args={
                "interval_95": [round(bound, 4) for bound in accuracy.interval],
                "rows": accuracy.n,
            },
            dataset_revision=run.data_revision,
        )
    ]
