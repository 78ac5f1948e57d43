"""A reward model's card: from its `run.json` alone."""

from typing import TYPE_CHECKING

from palate.report.cards import Files, document, hub_license
from palate.report.model_card import RULES
from palate.reward.record import RewardRecord

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData


def reward_files(run: RewardRecord) -> Files:
    """Return README.md of a reward model. Pure."""
    return {"README.md": document(_head(run), "reward.md.j2", run=run, baselines=RULES)}


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
