"""A project's jobs on HF Jobs: follow, list and cancel them."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.label.steps import ENDED, JOB_LABEL, cancel_job, hourly_price, job_errors, jobs_of
from palate.reward import record
from palate.run import forecast
from palate.run.jobs import JOBS
from palate.terminal.progress import Relay

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

ID_LETTERS = 8  # of a job's id, enough to tell it from others
WORDS = {
    "COMPLETED": "done",
    "ERROR": "failed",
    "CANCELED": "cancelled",
    "DELETED": "deleted",
    "SCHEDULING": "waiting",
    "RUNNING": "running",
}


def job_with(project: str, prefix: str) -> "JobInfo":
    """Return the job whose id starts with `prefix`, or raise UsageError."""
    jobs = [j for j in jobs_of(project) if j.id.startswith(prefix)]
    if len(jobs) != 1:
        how_many = f"{len(jobs)} jobs whose id starts with" if jobs else "no job"
        raise UsageError(f"{project} has {how_many} {prefix!r}. List them: palate jobs {project}")
    return jobs[0]


def follow(console: Console, project: str, job: "JobInfo") -> None:
    """Show a job's log until it ends; raise PalateError if it failed.

    Ctrl-C leaves it running, prints how to come back and is raised again.
    """
    back = how_to_follow(project, job)
    if job.status.stage == "SCHEDULING":
        console.print("waiting for a machine")
    console.print(f"Ctrl-C leaves it running. To come back: {back}", markup=False)
    try:
        with Relay(console) as relay, job_errors(project):
            logs = hub.api().fetch_job_logs(job_id=job.id, namespace=job.owner.name, follow=True)
            for line in logs:
                relay.show(line)
            ended = hub.api().wait_for_job(job.id, namespace=job.owner.name)
    except KeyboardInterrupt:
        console.print(
            f"The job keeps running. To follow it again: {back}; to cancel it:"
            f" palate jobs {project} --cancel {job.id[:ID_LETTERS]}",
            markup=False,
        )
        raise
    if ended.status.stage == "COMPLETED":
        console.print(f"done: {_spent(ended, prices(project))}")
        return
    why = f" ({ended.status.message})" if ended.status.message else ""
    attempts = f"{ended.retry + 1} attempts" if ended.retry else "1 attempt"
    how = {"ERROR": f"failed{why} after {attempts}"}
    raise PalateError(
        f"The job {how.get(ended.status.stage, f'was {WORDS[ended.status.stage]}')}."
        " The same command starts it again, and it continues from what it saved."
    )


def how_to_follow(project: str, job: "JobInfo") -> str:
    return f"palate jobs {project} --follow {job.id[:ID_LETTERS]}"


def cancel(project: str, prefix: str) -> str:
    """Cancel a job and return a sentence about it."""
    job = job_with(project, prefix)
    if job.status.stage in ENDED:
        return f"{job.id[:ID_LETTERS]} has already ended: {WORDS[job.status.stage]}"
    cancel_job(project, job.id)
    return f"{job.id[:ID_LETTERS]} is cancelled. What it saved is kept."


def prices(project: str) -> dict[str, float]:
    """Return dollars an hour by flavor."""
    with job_errors(project):
        hardware = hub.retry(hub.api().list_jobs_hardware)
    return {info.name: hourly_price(info) for info in hardware}


def table(project: str, jobs: "Sequence[JobInfo]") -> Table:
    """Return the jobs with start, machine, time, cost and result."""
    hourly = prices(project)
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("id", "job", "started UTC", "on", "took, cost", "result"):
        shown.add_column(title, overflow="fold", no_wrap=title != "result")
    for job in jobs:
        created = job.created_at.strftime("%m-%d %H:%M") if job.created_at else ""
        name = (job.labels or {}).get(JOB_LABEL, "?")
        result = WORDS.get(job.status.stage, job.status.stage) + _result(job, name, project)
        spent = _spent(job, hourly)
        shown.add_row(job.id[:ID_LETTERS], name, created, str(job.flavor), spent, result)
    return shown


def dollars(project: str, repo: str) -> float | None:
    """Return what all jobs cost whose output is this repo; None without any, or without a price."""
    hourly = prices(project)
    known = [
        (hourly.get(str(job.flavor)), job.durations.running_secs or 0)
        for job in jobs_of(project)
        if job.durations and _value(job.command or [], "--output") == repo
    ]
    costs = [price * seconds / 3600 for price, seconds in known if price is not None]
    return sum(costs) if costs and len(costs) == len(known) else None


def going_on(project: str, name: str, argv: Sequence[str]) -> "JobInfo | None":
    """Return a job that has not ended and does the same, at whatever state of the project.

    It has the same output. Jobs without one have the same words.
    """
    output = _value(argv, "--output")
    for job in jobs_of(project):
        words = job.command or []
        if output:
            is_same = _value(words, "--output") == output
        else:
            is_same = _without_revision(words[-len(argv) :]) == _without_revision(argv)
        is_of_name = (job.labels or {}).get(JOB_LABEL) == name
        if is_same and is_of_name and job.status.stage not in ENDED:
            return job
    return None


def _without_revision(argv: Sequence[str]) -> list[str]:
    return [argv[0].partition("@")[0], *argv[1:]] if argv else []


def _spent(job: "JobInfo", hourly: dict[str, float]) -> str:
    """Return "5 min, $0.08"; the Hub bills by the minute."""
    seconds = (job.durations.running_secs if job.durations else None) or 0
    dollars = hourly.get(str(job.flavor))
    cost = "" if dollars is None else f", {forecast.money(dollars * seconds / 3600)}"
    return f"{forecast.duration(seconds)}{cost}"


def _result(job: "JobInfo", name: str, project: str) -> str:
    """Return how a job failed, or what a training reached, from the record that it pushed."""
    if job.status.stage == "ERROR" and job.status.message:
        return f": {job.status.message.removeprefix('Job failed with ')}"
    spec = next((s for s in JOBS if s.name == name), None)
    if spec is None or not spec.training or job.status.stage != "COMPLETED":
        return ""
    if not job.created_at or not job.finished_at:
        return ""
    training = spec.training()
    words = job.command or []
    own = f"{project}{training.suffix}"
    if name == "reward" and (aspect := _value(words, "--aspect")):
        own = f"{own}-{aspect}"
    repo = _value(words, "--output") or own
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
                result = training.result(record.parse(file.read_text("utf-8"), f"{repo}/run.json"))
                return f"{f', {result}' if result else ''}, model {commit.commit_id[:7]}"
    return ""


def _value(words: Sequence[str], name: str) -> str | None:
    """Return what a job's command gives a flag, such as --output."""
    for word, following in pairwise([*words, ""]):
        flag, equals, value = word.partition("=")
        if flag == name:
            return value if equals else following
    return None
