"""A job on HF Jobs: its time and cost before the start, and the start.

The token is one of the job's secrets; no command and no address contains it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from rich.console import Console

from palate.core import hub
from palate.core.errors import Unreachable
from palate.core.hub_errors import sign_in
from palate.core.project import Project
from palate.core.rounds import in_aspect
from palate.label.steps import JOB_LABEL, PROJECT_LABEL, job_errors, label_of
from palate.run import bundle, forecast
from palate.run.forecast import Flavor, Load
from palate.run.hf_jobs import follow, how_to_follow
from palate.run.local import CPU_SETTINGS
from palate.run.spec import JobArguments, JobSpec
from palate.terminal.asking import ask
from palate.terminal.ref import Ref
from palate.train.config import TrainArguments
from palate.train.rows import people

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

A = TypeVar("A", bound=JobArguments)
IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"  # huggingface_hub's own choice for uv
ATTEMPTS = 3  # for a job whose machine is lost; each continues from the last checkpoint


@dataclass(frozen=True)
class Plan(Generic[A]):
    """A job before its start: its arguments, what it needs and where it would run."""

    spec: JobSpec[A]
    argv: tuple[str, ...]
    arguments: A
    project: Project
    load: Load
    flavor: Flavor

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether a training's checkpoints go to the Hub: on request, or if they save time."""
        args = self.arguments
        return isinstance(args, TrainArguments) and (
            args.checkpoint_to_hub or self.load.keeps_checkpoints(self.flavor)
        )

    @property
    def seconds(self) -> float:
        saving = self.load.saved / forecast.HUB_BYTES_PER_SECOND if self.keeps_checkpoints else 0
        return self.load.seconds(self.flavor) + saving

    def sentences(self) -> list[str]:
        """Return what a person should know before spending money."""
        limit = forecast.timeout(self.seconds)
        cost, most = (forecast.money(s / 3600 * self.flavor.price) for s in (self.seconds, limit))
        lines = [
            f"{self.spec.name} {self.project.id} on HF Jobs: {self.load.what}",
            f"  machine: {self.flavor.name} ({self.flavor.describe()})",
            f"  about {forecast.duration(self.seconds)} and {cost}, within a factor of two or so;"
            f" an attempt is stopped after {forecast.duration(limit)} ({most})",
        ]
        if self.spec.training and not self.keeps_checkpoints:
            lines.append(
                "  a lost run starts over: that is quicker than saving checkpoints of this size"
                " (--checkpoint-to-hub saves them)"
            )
        if not self.load.fits(self.flavor):
            needed = self.load.gpu_memory if self.flavor.gpu else self.load.cpu_memory
            lines.append(
                f"  needs about {needed / 1e9:.0f} GB of memory, more than this machine has"
            )
        return lines


def plan(spec: JobSpec[A], argv: Sequence[str], flavor: str | None) -> Plan[A]:
    """Return what would be started, or raise UsageError for what cannot work."""
    arguments = spec.parse(argv)
    ref = Ref.parse(arguments.project)
    project = Project.load(ref.repo, ref.revision)
    if isinstance(arguments, TrainArguments):
        project = people.part(in_aspect(project, arguments.aspect), arguments)
    load = spec.load(arguments, project)
    with job_errors(project.id):
        flavors = [Flavor.of(info) for info in hub.retry(hub.api().list_jobs_hardware)]
    chosen = forecast.choose(flavors, load, flavor)
    if spec.training:
        spec.training().preflight(arguments, project, chosen)
    return Plan(spec, tuple(argv), arguments, project, load, chosen)


def agree(plan: Plan, *, yes: bool) -> None:
    """Ask whether to spend money; raises UsageError without a terminal."""
    ask(
        "Start it?",
        yes=yes or not plan.flavor.price,
        why="This costs money",
        otherwise="Nothing was started.",
    )


def start(plan: Plan) -> "JobInfo":
    """Ship the code and start the job."""
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise Unreachable(f"No token for {hub.endpoint()}. {sign_in()}")
    secrets = {"HF_TOKEN": token}
    if (key := plan.spec.key_variable) and key in os.environ:
        secrets[key] = os.environ[key]
    package, script = bundle.ship(plan.project.id, plan.spec.script)
    # not run_uv_job: it would upload an argument that happens to name a local file
    words = ["uv", "run", "--with", package]
    # uv installs these over the header's packages, so each may bring a different torch
    words += [word for name in plan.spec.packages(plan.arguments) for word in ("--with", name)]
    words += [script, *plan.argv]
    if plan.keeps_checkpoints and "--checkpoint-to-hub" not in plan.argv:
        words.append("--checkpoint-to-hub")
    quiet = {"UV_NO_PROGRESS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONUNBUFFERED": "1"}
    with job_errors(plan.project.id):
        return hub.api().run_job(
            image=IMAGE,
            command=words,
            env=quiet | (CPU_SETTINGS if plan.flavor.gpu is None else {}),
            secrets=secrets,
            flavor=plan.flavor.name,
            timeout=forecast.timeout(plan.seconds),
            attempts=ATTEMPTS,
            labels={PROJECT_LABEL: label_of(plan.project.id), JOB_LABEL: plan.spec.name},
            namespace=plan.project.id.partition("/")[0],
        )


def run(
    console: Console,
    spec: JobSpec,
    argv: Sequence[str],
    *,
    flavor: str | None,
    yes: bool,
    dry_run: bool = False,
    detach: bool = False,
) -> None:
    """Plan, ask, start and follow a job; raises PalateError if it fails."""
    planned = plan(spec, argv, flavor)
    for sentence in planned.sentences():
        console.print(sentence, markup=False)
    if dry_run:
        return
    agree(planned, yes=yes)
    started = start(planned)
    console.print(f"started: [bold cyan]{started.url}[/]", markup=True)
    if detach:
        console.print(f"To follow it: {how_to_follow(planned.project.id, started)}", markup=False)
        return
    follow(console, planned.project.id, started)
