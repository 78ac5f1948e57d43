"""The jobs of a project on HF Jobs: followed, listed with time, cost and result, and ended."""

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from palate.core import hub
from palate.core.errors import PalateError, Unreachable, UsageError
from palate.core.progress import Relay
from palate.run import forecast
from palate.run.forecast import Flavor
from palate.train import record
from palate.train.record import DPORecord

ENDED = ("COMPLETED", "ERROR", "CANCELED", "DELETED")
LABEL = "palate-project"
SHORT = 8  # letters of a job's id that tell it from others
WORDS = {
    "COMPLETED": "done",
    "ERROR": "failed",
    "CANCELED": "cancelled",
    "DELETED": "deleted",
    "SCHEDULING": "waiting",
    "RUNNING": "running",
}


def jobs_of(project: str) -> list[Any]:
    """Return the project's jobs, newest first."""
    owner = project.partition("/")[0]
    wanted = {"labels": {LABEL: label(project)}, "namespace": owner}
    with job_errors(project):
        found = hub.retry(lambda: list(hub.api().list_jobs(**wanted)))
    # two names can have one label
    return [j for j in found if any(f"{w}@".startswith(f"{project}@") for w in j.command or ())]


def named(project: str, id: str) -> Any:
    """Return the job whose id begins so, or raise UsageError."""
    found = [j for j in jobs_of(project) if j.id.startswith(id)]
    if len(found) != 1:
        problem = f"has no job {id!r}" if not found else f"has {len(found)} jobs that begin so"
        raise UsageError(f"{project} {problem}. All of them: palate jobs {project}")
    return found[0]


def follow(console: Console, project: str, job: Any) -> None:
    """Show what a job writes until it has ended; raises PalateError if it failed.

    Ctrl-C leaves it running, says how to come back and is raised again.
    """
    back = f"palate jobs {project} --follow {job.id[:SHORT]}"
    if job.status.stage == "SCHEDULING":
        console.print("waiting for a machine")
    console.print(f"Ctrl-C leaves it running; come back with: {back}", markup=False)
    try:
        with Relay(console) as relay, job_errors(project):
            logs = hub.api().fetch_job_logs(job_id=job.id, namespace=job.owner.name, follow=True)
            for line in logs:
                relay.show(line)
            ended = hub.api().wait_for_job(job.id, namespace=job.owner.name)
    except KeyboardInterrupt:
        console.print(
            f"The job goes on. To see it again: {back}; to end it:"
            f" palate jobs {project} --cancel {job.id[:SHORT]}",
            markup=False,
        )
        raise
    if ended.status.stage == "COMPLETED":
        console.print(f"done: {_spent(ended, prices(project))}")
        return
    why = f" ({ended.status.message})" if ended.status.message else ""
    attempts = f"{ended.retry + 1} attempts" if ended.retry else "1 attempt"
    how = {"ERROR": f"failed{why}; it had {attempts}"}
    raise PalateError(
        f"The job {how.get(ended.status.stage, f'was {WORDS[ended.status.stage]}')}."
        " The same command starts it again, and it goes on from what it had saved."
    )


def cancel(project: str, id: str) -> str:
    """End a job and return a sentence about it."""
    job = named(project, id)
    if job.status.stage in ENDED:
        return f"{job.id[:SHORT]} has ended already: {WORDS[job.status.stage]}"
    with job_errors(project):
        hub.api().cancel_job(job_id=job.id, namespace=job.owner.name)
    return f"{job.id[:SHORT]} is cancelled. What it had saved is kept."


def prices(project: str) -> dict[str, float]:
    """Return dollars an hour by flavour."""
    with job_errors(project):
        found = hub.retry(hub.api().list_jobs_hardware)
    return {f.name: f.price for f in map(Flavor.of, found)}


def table(project: str, jobs: Sequence[Any]) -> Table:
    """Return what ran, when, where, how long, at what cost and with which result."""
    hourly = prices(project)
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("id", "job", "started UTC", "on", "took, cost", "result"):
        shown.add_column(title, overflow="fold", no_wrap=title != "result")
    for job in jobs:
        created = job.created_at.strftime("%m-%d %H:%M") if job.created_at else ""
        name = (job.labels or {}).get("palate-job", "?")
        result = WORDS.get(job.status.stage, job.status.stage) + _result(job, name, project)
        spent = _spent(job, hourly)
        shown.add_row(job.id[:SHORT], name, created, str(job.flavor), spent, result)
    return shown


def _spent(job: Any, hourly: dict[str, float]) -> str:
    """Return "5 min, $0.08"; the Hub bills by the minute."""
    seconds = (job.durations and job.durations.running_secs) or 0
    dollars = hourly.get(str(job.flavor))
    cost = "" if dollars is None else f", {forecast.money(dollars * seconds / 3600)}"
    return f"{forecast.duration(seconds)}{cost}"


def _result(job: Any, name: str, project: str) -> str:
    """Return what a training reached, from the record that was pushed while it ran."""
    if job.status.stage == "ERROR" and job.status.message:
        return f": {job.status.message.removeprefix('Job failed with ')}"
    if name != "train" or job.status.stage != "COMPLETED" or not job.finished_at:
        return ""
    words = job.command
    repo = words[words.index("--output") + 1] if "--output" in words else f"{project}-dpo"
    if not hub.exists(repo, "model"):
        return ""
    early, late = job.created_at - timedelta(seconds=1), job.finished_at + timedelta(seconds=1)
    with hub.readable_errors(repo):
        commits = hub.retry(lambda: hub.api().list_repo_commits(repo, repo_type="model"))
    for commit in commits:
        if early <= commit.created_at <= late:
            _, files = hub.describe(repo, "model", commit.commit_id)
            if "run.json" in files:
                file = hub.fetch(repo, "model", commit.commit_id, ["run.json"])[0]
                run = record.parse(file.read_text("utf-8"), f"{repo}/run.json")
                known = ""
                if isinstance(run, DPORecord) and run.results.test_reward_accuracy is not None:
                    known = f", accuracy {100 * run.results.test_reward_accuracy:.1f} %"
                return f"{known}, model {commit.commit_id[:7]}"
    return ""


def label(project: str) -> str:
    """Return the project's name in the letters that a job's label may have."""
    return re.sub(r"[^\w-]", "-", project.replace("/", "--"), flags=re.ASCII)


@contextmanager
def job_errors(project: str) -> Generator[None]:
    """Say in one line what to do where the Hub will not run, show or end a job."""
    from huggingface_hub.errors import HfHubHTTPError

    owner = project.partition("/")[0]
    with hub.readable_errors(project):
        try:
            yield
        except HfHubHTTPError as error:
            said = (error.server_message or "").rstrip(".")
            status = error.response.status_code
            if status == 402:
                raise PalateError(
                    f"HF Jobs has to be paid in advance, and {owner}'s credit does not do"
                    f" ({said}). Add credit: {hub.endpoint()}/settings/billing; or run it here:"
                    " --on local"
                ) from None
            if status == 403:
                raise Unreachable(
                    f"The token may not use the jobs of {owner} ({said}). Use one with write access"
                    f" and the right to start jobs: hf auth login; or run it here: --on local"
                ) from None
            if status == 404:
                raise UsageError(
                    f"{hub.endpoint()} knows no such job of {owner} ({said})."
                    f" All of them: palate jobs {project}"
                ) from None
            raise
