"""A model's card: from its `run.json`, `verdict.json`, `judge.json` and `check.json` alone."""

import json
import re
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

from palate.check.losses import FILE as CHECK_FILE
from palate.check.losses import CheckReport
from palate.core import hub
from palate.core.errors import BadInput, UsageError
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.schema import Config
from palate.evaluate.judging import JudgeReport
from palate.evaluate.pictures import verdict_pictures
from palate.evaluate.verdict import Verdict
from palate.generate.samples import Example
from palate.report import plots
from palate.report.cards import (
    Files,
    document,
    hub_license,
    push,
    result_notes,
    results_file,
    shorten,
    with_pictures,
)
from palate.train.records.record import DPORecord, KTORecord, RunRecord, SFTRecord, parse
from palate.train.trainers import losses

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData

Run = DPORecord | SFTRecord
Report = TypeVar("Report", Verdict, JudgeReport, CheckReport)
ADAPTERS = ("lora", "qlora")
MIN_SHARED_CHARACTERS = 40  # of all prompts: fewer are not worth leaving out
RULES = {
    "bag of words": "a bag of words (logistic regression on one- and two-word phrases)",
    "length": "a rule by length alone",
}


def push_model_card(project_id: str) -> str:
    """Render the card of the project's model and push it; return the model's URL.

    Commits only what differs. Raises UsageError if no model has been trained yet.
    """
    repo = Project.load(project_id).model_repo

    def render(sha: str, have: Sequence[str]) -> Files:
        if "run.json" not in have:
            raise UsageError(
                f"The model repo {repo} has no run.json, which the card is made from."
                f" Train with: palate train {project_id}"
            )
        run = _read_run(repo, sha)
        verdict = judge = checked = None
        if "verdict.json" in have:
            stored = _read_json(repo, sha, "verdict.json")
            verdict = _of_this_round(repo, run, Verdict.from_json(stored, f"{repo}/verdict.json"))
        if "judge.json" in have:
            stored = _read_json(repo, sha, "judge.json")
            judge = _of_this_round(repo, run, JudgeReport.from_json(stored, f"{repo}/judge.json"))
        if CHECK_FILE in have:
            stored = _read_json(repo, sha, CHECK_FILE)
            checked = CheckReport.from_json(stored, f"{repo}/{CHECK_FILE}")
            checked = _of_this_round(repo, run, checked)
        return model_files(run, verdict, judge, checked)

    return push(repo, "model", render)


def _of_this_round(repo: str, run: Run, report: Report) -> Report | None:
    """Return the report, or None where it is about the weights of an earlier round."""
    return report if _read_run(repo, report.tuned.revision) == run else None


def _read(repo: str, revision: str, path: str) -> str:
    return hub.fetch(repo, "model", revision, [path])[0].read_text("utf-8")


def _read_run(repo: str, revision: str) -> Run:
    run = parse(_read(repo, revision, "run.json"), f"{repo}/run.json")
    if isinstance(run, KTORecord):
        raise UsageError(f"{repo} holds a model of `palate kto`, whose card that command writes.")
    return run


def _read_json(repo: str, revision: str, path: str) -> object:
    try:
        return json.loads(_read(repo, revision, path))
    except json.JSONDecodeError as error:
        raise BadInput(f"{repo}/{path}", f"not JSON: {error}") from None


def model_files(
    run: Run,
    verdict: Verdict | None = None,
    judge: JudgeReport | None = None,
    checked: CheckReport | None = None,
) -> Files:
    """Return README.md and plots/*.svg of a model. Pure.

    A `judge` is shown only if people voted on the same pairs. The card of a warm start (SFT) has
    neither.
    """
    if isinstance(run, SFTRecord):
        return _sft_files(run)
    adapter = run.method in ADAPTERS
    sft_weight = float(run.arguments.get("sft_weight") or 0.0)
    loss = str(run.arguments.get("loss") or "sigmoid")
    curves = plots.curves_of(losses.named(loss, sft_weight))
    pictures = plots.training_curves(run.history, curves)
    if verdict:
        pictures |= verdict_pictures(verdict)
    readme = document(
        head(run, "dpo", adapter=adapter, results=_eval_results(run, verdict)),
        "model.md.j2",
        run=run,
        verdict=verdict,
        judge=judge if judge and judge.agreement.n else None,
        checked=checked,
        pictures=set(pictures),
        adapter=adapter,
        loss=loss,
        sft_weight=sft_weight,
        free=losses.parse(loss).free,
        shown=examples(run.samples.examples),
        baselines=RULES,
    )
    return with_pictures(readme, pictures) | results_file(_entries(run, verdict, checked))


def _entries(
    run: DPORecord, verdict: Verdict | None, checked: CheckReport | None
) -> "list[EvalResultEntry]":
    """Return the same results, and what tuning cost, in the format that replaces model-index."""
    from huggingface_hub import EvalResultEntry

    entry = partial(EvalResultEntry, dataset_id=run.project)
    results, test = [], run.results
    if test.test_reward_accuracy is not None:
        notes = result_notes(
            test.test_reward_accuracy_interval, count(test.test_rows, "held-out pair")
        )
        results.append(
            entry(
                task_id="test_reward_accuracy",
                value=round(test.test_reward_accuracy, 4),
                dataset_revision=run.data_revision,
                date=run.started,
                notes=notes,
            )
        )
    if verdict and verdict.known:
        against, votes = f"against {verdict.base.repo}", count(verdict.votes, "vote")
        notes = result_notes(verdict.interval, against, votes, count(verdict.ties, "tie"))
        value = round(verdict.win_rate, 4)
        results.append(entry(task_id="blind_win_rate", value=value, date=verdict.time, notes=notes))
    for ability in checked.abilities if checked else ():
        share = f"share of {ability.n:,} {ability.unit}, by palate check"
        results.append(
            entry(
                task_id="check_" + re.sub(r"\W+", "_", ability.name.casefold()),
                value=round(ability.tuned, 4),
                date=checked.time if checked else None,
                notes=result_notes(None, share, f"base model {ability.base:.4f}"),
            )
        )
    return results


def _sft_files(run: SFTRecord) -> Files:
    pictures = plots.training_curves(run.history, plots.SFT_CURVES)
    readme = document(
        head(run, "sft"),
        "best.md.j2" if run.best else "sft.md.j2",
        run=run,
        pictures=set(pictures),
        adapter=False,
        shown=examples(run.samples.examples),
    )
    return with_pictures(readme, pictures)


def examples(shown: Sequence[Example]) -> dict[str, object]:
    """Return base and tuned answers for the card's table.

    If all prompts fill in one template, what they share at both ends is left out.
    """
    prompts = [e.prompt for e in shown]
    start = _shared_characters(prompts)
    end = _shared_characters([p[start:][::-1] for p in prompts])
    cut = len(shown) > 2 and start + end >= MIN_SHARED_CHARACTERS
    if cut:
        prompts = [p[start : len(p) - end].strip() for p in prompts]
    rows = [shorten({**vars(e), "prompt": p}) for e, p in zip(shown, prompts, strict=True)]
    return {"cut": cut, "examples": rows}


def _shared_characters(texts: Sequence[str]) -> int:
    """Return the length of the texts' shared beginning, in whole words."""
    extremes = zip(min(texts, default=""), max(texts, default=""), strict=False)
    shared = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], extremes))
    return max((m.end() for m in re.finditer(r"\W", shared)), default=0)


def head(
    run: RunRecord, job: str, *, adapter: bool = False, results: "Sequence[EvalResult]" = ()
) -> "ModelCardData":
    from huggingface_hub import ModelCardData

    license_id, license_name = hub_license(run.license)
    extra: list[str] = [run.method] if adapter else []
    if isinstance(run, SFTRecord) and run.best:
        extra.append("rejection-sampling")
    return ModelCardData(
        base_model=run.base_model,
        base_model_relation="adapter" if adapter else "finetune",
        datasets=[run.project],
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["palate", job, "trl", "preference", *extra],
        license=license_id,
        license_name=license_name,
        model_name=run.model.split("/")[-1] if results else None,
        eval_results=list(results) or None,
    )


def _eval_results(run: DPORecord, verdict: Verdict | None) -> "list[EvalResult]":
    """Return test reward accuracy and win rate, as far as they were measured."""
    results, test = [], run.results
    if test.test_reward_accuracy is not None and test.test_reward_accuracy_interval is not None:
        results.append(
            _eval_result(
                run,
                "preferences",
                ("accuracy", "Test reward accuracy", test.test_reward_accuracy),
                test.test_reward_accuracy_interval,
                {"rows": test.test_rows},
                split="test",
                revision=run.data_revision,
            )
        )
    if verdict and verdict.known:
        results.append(
            _eval_result(
                run,
                "evaluations",
                ("win_rate", "Blind win rate against the base model", verdict.win_rate),
                verdict.interval,
                {"votes": verdict.votes, "ties": verdict.ties},
            )
        )
    return results


def _eval_result(
    run: DPORecord,
    config: Config,
    metric: tuple[str, str, float],
    interval: tuple[float, float],
    counts: dict[str, int],
    split: str | None = None,
    revision: str | None = None,
) -> "EvalResult":
    """Return a metric (type, name, value) with its 95% interval, as the Hub lists it."""
    from huggingface_hub import EvalResult

    kind, name, value = metric
    return EvalResult(
        task_type="text-generation",
        dataset_type=run.project,
        dataset_name=run.project,
        dataset_config=config,
        metric_type=kind,
        metric_name=name,
        metric_value=round(value, 4),
        metric_args={"interval_95": [round(bound, 4) for bound in interval], **counts},
        dataset_split=split,
        dataset_revision=revision,
    )
