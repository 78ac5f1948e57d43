"""Push a trained model, or a verdict on it, to the Hub; renew the card."""

import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from palate.core import hub
from palate.core.errors import PalateError
from palate.core.project import Project
from palate.core.rounds import round_tag
from palate.evaluate.loading import project_verdict
from palate.evaluate.verdict import Verdict
from palate.report.cards import Files
from palate.report.dataset_card import push_dataset_card
from palate.report.kto_card import kto_files
from palate.report.model_card import model_files, push_model_card
from palate.report.reward_card import reward_files
from palate.report.rl_card import rl_files
from palate.reward import record
from palate.reward.record import RewardRecord, RLRecord
from palate.train.job import CHECKPOINT_BRANCH, Job
from palate.train.records.record import AnyRecord, KTORecord, SFTRecord

Run = AnyRecord | RewardRecord | RLRecord


def push_model(folder: Path, repo: str, *, public: bool) -> tuple[str, Run]:
    """Push a trained model in one commit and tag it `round-N`; return the commit and the record.

    Deletes all files of an earlier round, its verdict included: it is not about these weights.
    """
    run = replace(record.load(folder), model=repo)
    files: dict[str, bytes | str | Path] = {f.name: f for f in folder.iterdir() if f.is_file()}
    files |= {"run.json": run.text(), **_cards(run)}
    hub.create(repo, "model", private=not public)
    present = hub.describe(repo, "model")[1]
    stale = [f for f in present if f not in files and f != ".gitattributes"]
    message = f"Round {run.round}: {run.job} on {run.data.train} rows"
    sha = hub.commit(repo, "model", files, message, delete=stale)
    hub.tag(repo, "model", round_tag(run.round), sha)
    return sha, run


def _cards(run: Run) -> Files:
    if isinstance(run, RewardRecord):
        return reward_files(run)
    if isinstance(run, RLRecord):
        return rl_files(run)
    return kto_files(run) if isinstance(run, KTORecord) else model_files(run, None)


def publish_verdict(project: Project, result: Verdict) -> str:
    """Write the verdict to dataset and model, tag the judged revision, renew the model's card.

    Returns the model's URL.
    """
    text = json.dumps(result.to_json(), indent=2, ensure_ascii=False) + "\n"
    path = f"verdicts/{result.tuned.revision[:12]}.json"
    hub.commit(project.id, "dataset", {path: text}, "Add the blind verdict")
    hub.commit(project.model_repo, "model", {"verdict.json": text}, "Add the blind verdict")
    hub.tag(project.model_repo, "model", "judged", result.tuned.revision)
    push_dataset_card(project.id)
    return push_model_card(project.id)


def renew_verdict(project: Project) -> str:
    """Count the votes again where the model has a verdict; return what came of it.

    Where they can no longer be counted, such as without any vote, the verdict is removed.
    """
    repo = project.model_repo
    if "verdict.json" not in hub.describe(repo, "model")[1]:
        push_model_card(project.id)
        return ""
    (file,) = hub.fetch(repo, "model", "main", ["verdict.json"])
    stored = Verdict.from_json(json.loads(file.read_text("utf-8")), f"{repo}/verdict.json")
    try:
        result = project_verdict(project, stored.margin)
    except PalateError as error:
        path = f"verdicts/{stored.tuned.revision[:12]}.json"
        if path in project.files:
            hub.commit(project.id, "dataset", {}, "Remove the verdict", delete=[path])
        hub.commit(repo, "model", {}, "Remove the verdict", delete=["verdict.json"])
        push_dataset_card(project.id)
        push_model_card(project.id)
        return f"There is no verdict any more. {error}"
    publish_verdict(project, result)
    return f"The verdict is now: {result.sentence()}"


def push_trained(console: Console, job: Job, following: str) -> None:
    """Push the trained model, delete the run's folder, print the result and the next command."""
    folder = job.run_dir.model
    try:
        sha, run = push_model(folder, job.repo, public=job.args.public)
        if job.args.checkpoint_to_hub and CHECKPOINT_BRANCH in hub.branches(job.repo, "model"):
            hub.delete_branch(job.repo, "model", CHECKPOINT_BRANCH)
    except (PalateError, OSError, RuntimeError) as error:  # RuntimeError: an interrupted upload
        raise PalateError(
            f"{error} The trained model is in {folder}. To push it, run the same command again;"
            f" it will not train again: {job.args.command()}"
        ) from error
    job.run_dir.remove()
    for alarm in run.alarms:
        console.print(f"  alarm: {alarm}", style="yellow")
    console.print(run.sentence())
    for line in () if isinstance(run, SFTRecord) else run.comparisons():
        console.print(f"  {line}")
    console.print(f"model: {hub.endpoint()}/{job.repo} at {sha[:7]}")
    console.print(f"Next: {following}")
