"""Training that starts when enough new labels are there: a webhook of the Hub, and its small job.

Each change of the project starts the job (`jobs/watch.py`) on the cheapest machine. It counts the
labels since the last training, and starts `palate train` when there are enough. A file in the
project says that a training was started, so that two jobs at once start one.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from rich.console import Console

from palate.core import hub, typed
from palate.core.errors import UsageError
from palate.core.ledger import now, standing_judgements
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rounds import trained_in
from palate.report.export import export
from palate.run import forecast, hf
from palate.run.hf_jobs import ENDED, job_errors
from palate.run.jobs import job_named
from palate.run.spec import JobSpec
from palate.terminal.asking import ask
from palate.terminal.console import PlainConsole
from palate.terminal.flags import ProjectId, flag
from palate.train.records import record
from palate.train.records.record import DPORecord

if TYPE_CHECKING:
    from huggingface_hub import JobInfo, WebhookInfo

Start = Callable[[Project, str | None], "JobInfo"]
CLAIM = timedelta(minutes=10)  # after which a claim without a job counts for nothing
TRIES = 2  # of a training that fails


@dataclass(frozen=True)
class WatchArguments:
    """The arguments of `jobs/watch.py`."""

    project: ProjectId
    """Project, such as me/titles."""
    labels: int = 200
    """New labels after which a training starts."""
    flavor: Annotated[str | None, flag("NAME")] = None
    """Machine of the training. Default: what `palate train` would choose."""
    dry_run: bool = False
    """Only say how many new labels there are."""


@dataclass(frozen=True)
class Started:
    """A file in the project: a training that a number of labels has started."""

    labels: int
    time: str
    job: str | None = None  # None until it has been started
    tries: int = 1


WATCH = JobSpec(
    name="watch",
    script="watch",
    arguments=WatchArguments,
    help="start a training when enough new labels are there",
    load=lambda args, project: forecast.asking(),
)


def start_training(project: Project, flavor: str | None) -> "JobInfo":
    export(project.id)  # so that labels since the last export are trained on
    return hf.start(hf.plan(job_named("train"), [project.id], flavor))


def watch(args: WatchArguments, start: Start = start_training) -> None:
    """Start a training if there are enough new labels, and nobody has started it."""
    console = PlainConsole()
    project = Project.load(args.project)
    before = trained_labels(project)
    labels = sum(e.kind == "label" for e in standing_judgements(project.labels))
    new = max(0, labels - before)
    console.print(f"{count(new, 'new label')} of {args.labels:,} in {project.id}")
    if args.dry_run or new < args.labels:
        return
    path = f"started/round-{project.settings.round}-after-{before}.json"
    claimed = claim(project, path, labels, args.labels)
    if claimed is None:
        console.print("a training of these labels was started already")
        return
    # a start that fails leaves the claim: to delete it would be a change, which fires the webhook
    job = start(project, args.flavor)
    done = replace(claimed, time=now(), job=job.id)
    hub.commit(project.id, "dataset", {path: _text(done)}, "Start a training")
    console.print(f"started: {job.url}")


def trained_labels(project: Project) -> int:
    """Return how many labels the newest model was trained on; 0 without one."""
    for number in range(project.settings.round, 0, -1):
        if sha := trained_in(project, number):
            file = hub.fetch(project.model_repo, "model", sha, ["run.json"])[0]
            run = record.parse(file.read_text("utf-8"), f"{project.model_repo}/run.json")
            return run.data.labels if isinstance(run, DPORecord) else 0
    return 0


def claim(project: Project, path: str, labels: int, wanted: int) -> Started | None:
    """Commit that a training is being started; None if it was, and is not to be started again."""

    def build(sha: str, paths: list[str]) -> hub.Change[Started | None]:
        claimed = Started(labels, now())
        if path in paths:
            file = hub.fetch(project.id, "dataset", sha, [path])[0]
            before = typed.read(Started, json.loads(file.read_text("utf-8")), path)
            again = _again(project, before, many_more=labels >= before.labels + wanted)
            if not again:
                return hub.Change(None)
            claimed = replace(claimed, labels=labels if again == 1 else before.labels, tries=again)
        files = {path: _text(claimed)}
        return hub.Change(claimed, "Claim the start of a training", files)

    # against the commit that was read: of two that claim at once, one reads the other's claim
    return hub.update(project.id, "dataset", build)[1]


def _again(project: Project, started: Started, *, many_more: bool) -> int:
    """Return which try of the training is to begin now; 0 for none.

    None begins while one runs, and none after one that finished well. One that somebody cancelled,
    or that failed too often, begins again when there are `many_more` labels.
    """
    if started.job is None:
        age = datetime.now(UTC) - datetime.fromisoformat(started.time)
        return started.tries if age >= CLAIM else 0
    with job_errors(project.id):
        job = hub.api().inspect_job(job_id=started.job, namespace=project.id.partition("/")[0])
    stage = job.status.stage
    if stage not in ENDED or stage == "COMPLETED":
        return 0
    if stage == "ERROR" and started.tries < TRIES:
        return started.tries + 1
    return 1 if many_more else 0


def _text(started: Started) -> str:
    return json.dumps(asdict(started), indent=2) + "\n"


def begin(console: Console, project_id: str, labels: int, flavor: str | None, *, yes: bool) -> None:
    """Start the small job once, and make the webhook that starts it after each change.

    What a training costs is shown and agreed to now, since nobody is there later.
    """
    from huggingface_hub import get_token

    project = Project.load(project_id)
    if labels < 1:
        raise UsageError("--when is a number of labels, such as 200.")
    words = [project.id, "--labels", str(labels), *(["--flavor", flavor] if flavor else [])]
    small = hf.plan(WATCH, words, "cpu-basic")
    project, preferences = export(project_id)
    console.print(f"After {labels:,} new labels, a training starts.")
    if preferences.rows["train"]:
        console.print("With today's labels:")
        for sentence in hf.plan(job_named("train"), [project.id], flavor).sentences():
            console.print(sentence)
    else:
        console.print("There are no labels yet, so what it will cost is not known.")
    console.print(
        f"Each change of the project starts a check on {small.flavor.name}, which takes seconds at"
        f" {forecast.money(small.flavor.price)} an hour."
    )
    ask("Make the webhook?", yes=yes, why="What it starts costs money", otherwise="None was made.")
    end(project_id)
    job = hf.start(small)
    watched = [{"type": "dataset", "name": project.id}]
    with job_errors(project.id):
        hook = hub.api().create_webhook(
            job_id=job.id,
            watched=watched,
            domains=["repo"],
            secrets={"HF_TOKEN": get_token() or ""},
        )
    console.print(f"webhook {hook.id[:8]}: watching {project.id}. To end it:")
    console.print(f"  palate round {project.id} --when 0")


def end(project_id: str) -> int:
    """Delete the project's webhooks that palate made; return how many there were."""
    with job_errors(project_id):
        hooks = [hook for hook in hub.api().list_webhooks() if _is_ours(hook, project_id)]
        for hook in hooks:
            hub.api().delete_webhook(hook.id)
    return len(hooks)


def _is_ours(hook: "WebhookInfo", project_id: str) -> bool:
    words = (hook.job.command or []) if hook.job else []
    script = any(word.partition("?")[0].endswith(f"/{WATCH.script}.py") for word in words)
    return script and project_id in words
