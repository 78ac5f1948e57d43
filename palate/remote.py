"""A job on HF Jobs: what it will take and cost, its code in the project's repo, its start.

jobs/<version>-<hash>/   in the project's dataset repo
    palate-….whl         the palate that started the job
    dpo.py               the job's file, its header with the versions that are installed here

The job runs from there, at the very commit. uv sends HF_TOKEN along to huggingface.co, so a private
repo will do; the token is one of the job's secrets, and stands in no command and no address.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console

from palate import __version__, forecast, hub, wheel
from palate.errors import PalateError, Unreachable, UsageError
from palate.forecast import Flavor, Load
from palate.launch import MALLOC, arguments_of
from palate.paths import shipped
from palate.project import Project

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"  # huggingface_hub's own choice for uv
ATTEMPTS = 3  # of a job whose machine is lost: each goes on where the one before stood
LABEL = "palate-project"
_DEPENDENCY = re.compile(r'(?m)^#   "([\w-]+)[^"]*",\n')
_SOURCES = re.compile(r"(?m)^# \[tool\.uv\.sources\]\n(?:# \w+ = .*\n)+")


@dataclass(frozen=True)
class Plan:
    """A job that has not been started: its words, what it asks for and where it would run."""

    command: str  # as a person types it: train
    job: str  # its file in jobs/: dpo
    argv: tuple[str, ...]
    arguments: Any
    project: Project
    load: Load
    flavor: Flavor

    @property
    def keeps(self) -> bool:
        """Whether a training's checkpoints go to the Hub: they are asked for, or worth it."""
        asked = getattr(self.arguments, "checkpoint_to_hub", False)
        return self.job == "dpo" and (asked or self.load.keep(self.flavor))

    @property
    def seconds(self) -> float:
        saving = self.load.saved / forecast.TRANSFER if self.keeps else 0
        return self.load.seconds(self.flavor) + saving

    def sentences(self) -> list[str]:
        """Return what a person should know before it spends money."""
        limit = forecast.timeout(self.seconds)
        cost, most = (forecast.money(s / 3600 * self.flavor.price) for s in (self.seconds, limit))
        lines = [
            f"{self.command} {self.project.id} on HF Jobs: {self.load.what}",
            f"  machine: {self.flavor.name} ({self.flavor.describe()})",
            f"  about {forecast.duration(self.seconds)} and {cost}, within a factor of two or so;"
            f" an attempt is stopped after {forecast.duration(limit)} ({most})",
        ]
        if self.job == "dpo" and not self.keeps:
            lines.append(
                "  a lost run starts over: that is quicker than keeping checkpoints of this size"
                " (--checkpoint-to-hub keeps them)"
            )
        if not self.load.fits(self.flavor):
            needed = self.load.gpu_memory if self.flavor.gpu else self.load.cpu_memory
            lines.append(
                f"  it would need about {needed / 1e9:.0f} GB of memory, more than this machine has"
            )
        return lines


def plan(command: str, job: str, argv: Sequence[str], flavor: str | None) -> Plan:
    """Return what would be started, or raise UsageError for what cannot work."""
    arguments = arguments_of(job, argv)
    id, _, revision = arguments.project.partition("@")
    project = Project.load(id, revision or "main")
    load = load_of(job, arguments, project)
    with job_errors(project.id):
        flavors = [Flavor.of(info) for info in hub.retry(hub.api().list_jobs_hardware)]
    chosen = forecast.choose(flavors, load, flavor)
    if job == "dpo":
        check_training(arguments, project, chosen)
    return Plan(command, job, tuple(argv), arguments, project, load, chosen)


def check_training(arguments: Any, project: Project, flavor: Flavor) -> None:
    """Raise here and now what the training would raise after its machine was paid for."""
    from palate.training import check, data, sizes

    rows = data.read(project, implied=not arguments.no_implied)
    check.audit(Console(quiet=True), project, rows, ignore=arguments.ignore_audit)
    cuda = flavor.gpu is not None
    machine = sizes.Machine(flavor.name, flavor.memory, cuda, cuda and flavor.gpu != "T4", cuda)
    size = parameters(arguments.base_model or project.settings.base_model)
    sizes.choose(arguments, size, [r.prompt_id for r in rows.train], machine)


def load_of(job: str, arguments: Any, project: Project) -> Load:
    """Return what a job asks of a machine; the Hub is asked for the model's size alone."""
    if job == "dpo":
        from palate.training import data

        rows = data.read(project, implied=not arguments.no_implied)
        pairs = [["\n".join(m["content"] for m in t) for t in _texts(row)] for row in rows.train]
        size = parameters(arguments.base_model or project.settings.base_model)
        return forecast.training(arguments, size, pairs)
    if job == "judge":
        from palate.contest import contest

        pairs = arguments.pairs or len(contest(project).pairs)
        if arguments.endpoint or arguments.provider:
            return forecast.asking()
        return forecast.writing(2 * pairs, arguments.batch_size, 6, parameters(arguments.model))
    prompts = [p.split for p in project.rows("prompts")]
    blind, models = prompts.count("eval"), 1
    texts = (len(prompts) - blind) * arguments.per_prompt
    if job == "completions":
        models, texts = 2, 2 * blind * arguments.per_prompt
    named = job == "candidates" and arguments.model
    size = parameters(named or project.settings.base_model)
    longest = arguments.max_new_tokens
    return forecast.writing(texts, arguments.batch_size, longest, size, models)


def _texts(row: Any) -> tuple[list[dict], ...]:
    return row.prompt, row.chosen, row.rejected


@cache
def parameters(name: str) -> int:
    """Return how many parameters `owner/name[@revision]` has, from its safetensors' headers."""
    repo, _, revision = name.partition("@")
    sha, files = hub.describe(repo, "model", revision or "main")
    if "adapter_config.json" in files:
        file = hub.fetch(repo, "model", sha, ["adapter_config.json"])[0]
        return parameters(json.loads(file.read_text("utf-8"))["base_model_name_or_path"])
    if not any(f.endswith(".safetensors") for f in files):
        raise UsageError(f"{repo} holds no safetensors, and palate loads nothing else.")
    with hub.readable_errors(repo):
        counts = hub.api().get_safetensors_metadata(repo, revision=sha).parameter_count
    return sum(counts.values())


def agree(plan: Plan, *, yes: bool) -> None:
    """Ask whether to spend money; raises UsageError where nobody can be asked."""
    if yes or not plan.flavor.price:
        return
    if not sys.stdin.isatty():
        raise UsageError("This costs money and there is nobody to ask: add --yes to start it.")
    try:
        answer = input("Start it? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise PalateError("Nothing was started.")


def ship(project: str, job: str) -> tuple[str, str]:
    """Put the job's code into the project's repo unless it is there.

    Return the addresses of wheel and file at the commit.
    """
    made, text = wheel.build(), portable((shipped("jobs") / f"{job}.py").read_text("utf-8"))
    folder = f"jobs/{__version__}-{hashlib.sha256(made).hexdigest()[:8]}"
    files = {f"{folder}/{wheel.NAME}": made, f"{folder}/{job}.py": text}
    sha, there = hub.describe(project, "dataset")
    new = {p for p in files if p not in there}
    if f"{folder}/{job}.py" not in new:  # written with other versions installed, perhaps
        old = hub.fetch(project, "dataset", sha, [f"{folder}/{job}.py"])[0].read_text("utf-8")
        new |= {f"{folder}/{job}.py"} if old != text else set()
    if new:
        message = f"The code of {job} on HF Jobs, palate {__version__}"
        sha = hub.commit(project, "dataset", {p: files[p] for p in new}, message)
    at = f"{hub.endpoint()}/datasets/{project}/resolve/{sha}"
    wheel_address, file_address = (f"{at}/{path}" for path in files)
    return wheel_address, file_address


def portable(script: str) -> str:
    """Return a job's file as it runs from an address: palate comes beside it, versions are ours."""

    def pinned(found: re.Match) -> str:
        name = found[1]
        if name == "palate":
            return ""
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            return found[0]
        released = re.fullmatch(r"\d+(\.\d+)*", installed)
        return f'#   "{name}=={installed}",\n' if released else found[0]

    head, end, rest = script.partition('\n"""')
    return _SOURCES.sub("", _DEPENDENCY.sub(pinned, head)) + end + rest


def start(plan: Plan) -> Any:
    """Ship the code and start the job; return huggingface_hub's `JobInfo`."""
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise Unreachable(f"No token for {hub.endpoint()}. Sign in with: hf auth login")
    secrets = {"HF_TOKEN": token}
    if plan.job == "judge" and "JUDGE_API_KEY" in os.environ:
        secrets["JUDGE_API_KEY"] = os.environ["JUDGE_API_KEY"]
    package, script = ship(plan.project.id, plan.job)
    # not run_uv_job: an argument that happens to name a file here would be uploaded
    words = ["uv", "run", "--with", package]
    wanted = {
        "bitsandbytes": getattr(plan.arguments, "method", None) == "qlora",
        "trackio": getattr(plan.arguments, "trackio", False),
    }
    words += [word for name, yes in wanted.items() if yes for word in ("--with", name)]
    words += [script, *plan.argv]
    if plan.keeps and not plan.arguments.checkpoint_to_hub:
        words.append("--checkpoint-to-hub")
    quiet = {"UV_NO_PROGRESS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONUNBUFFERED": "1"}
    with job_errors(plan.project.id):
        return hub.api().run_job(
            image=IMAGE,
            command=words,
            env=quiet | (MALLOC if plan.flavor.gpu is None else {}),
            secrets=secrets,
            flavor=plan.flavor.name,
            timeout=forecast.timeout(plan.seconds),
            attempts=ATTEMPTS,
            labels={LABEL: label(plan.project.id), "palate-job": plan.command},
            namespace=plan.project.id.partition("/")[0],
        )


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


def run(
    console: Console, command: str, job: str, argv: Sequence[str], flavor: str | None, yes: bool
) -> None:
    """Plan, ask, start and follow a job; raises PalateError if it fails."""
    from palate.running import follow

    planned = plan(command, job, argv, flavor)
    for sentence in planned.sentences():
        console.print(sentence, markup=False)
    agree(planned, yes=yes)
    started = start(planned)
    console.print(f"started: [bold cyan]{started.url}[/]")
    follow(console, planned.project.id, started)
