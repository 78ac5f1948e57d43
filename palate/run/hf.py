"""A job on HF Jobs: what it will take and cost, and its start.

The token is one of the job's secrets, and stands in no command and no address.
"""

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from rich.console import Console

from palate.core import hub
from palate.core.errors import PalateError, Unreachable, UsageError
from palate.core.project import Project
from palate.core.ref import Ref
from palate.core.schema import Preference
from palate.evaluate.loading import pairs_to_compare
from palate.generate import engines
from palate.generate.shards import Shard
from palate.run import bundle, forecast, processes
from palate.run.forecast import Flavor, Load
from palate.run.hf_jobs import LABEL, follow, job_errors, label
from palate.run.local import MALLOC, arguments_of
from palate.train import answers, check, data, sizes

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"  # huggingface_hub's own choice for uv
ATTEMPTS = 3  # of a job whose machine is lost: each goes on where the one before stood
TRAININGS = ("dpo", "sft")
KEYS = {"judge": "JUDGE_API_KEY", "candidates": "SERVER_API_KEY"}  # of servers that a job asks


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
        return self.job in TRAININGS and (asked or self.load.keep(self.flavor))

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
        if self.job in TRAININGS and not self.keeps:
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
    check_arguments(job, arguments)
    ref = Ref.parse(arguments.project)
    project = Project.load(ref.repo, ref.revision)
    load = load_of(job, arguments, project)
    with job_errors(project.id):
        flavors = [Flavor.of(info) for info in hub.retry(hub.api().list_jobs_hardware)]
    chosen = forecast.choose(flavors, load, flavor)
    if job in TRAININGS:
        check_training(job, arguments, project, chosen)
    return Plan(command, job, tuple(argv), arguments, project, load, chosen)


def check_arguments(job: str, arguments: Any) -> None:
    """Raise UsageError for what could run on no machine."""
    if job in TRAININGS:
        processes.check(arguments.processes, arguments.accelerate)
    elif job == "candidates":
        engines.check(arguments.engine, arguments.tensor_parallel)


def check_training(job: str, arguments: Any, project: Project, flavor: Flavor) -> None:
    """Raise here and now what the training would raise after its machine was paid for."""

    if arguments.accelerate not in processes.names():
        raise UsageError(
            f"HF Jobs does not see the file {arguments.accelerate}; expected one of"
            f" {', '.join(processes.names())}."
        )
    if arguments.accelerate != processes.WHOLE and not flavor.gpus:
        raise UsageError(
            f"--accelerate {arguments.accelerate} parts a model between GPUs, and {flavor.name} has"
            " none. Choose another --flavor, or leave it out."
        )
    said, rows = rows_of(job, arguments, project)
    check.audit(Console(quiet=True), project, said, ignore=arguments.ignore_audit)
    cuda = flavor.gpu is not None
    bf16 = cuda and flavor.gpu != "T4"
    machine = sizes.Machine(
        flavor.name, flavor.memory, cuda, bf16, quantizes=cuda, processes=arguments.processes
    )
    size = parameters(arguments.base_model or project.settings.base_model)
    if job == "sft":
        method = sizes.choose_for_answers(arguments, size, machine).method
        check.mergeable(method, arguments.accelerate != processes.WHOLE)
    else:
        sizes.choose(arguments, size, [r.prompt_id for r in rows.train], machine)


def rows_of(job: str, arguments: Any, project: Project) -> tuple[Any, Any]:
    """Return the preferences that a training reads, and the rows that it makes of them."""

    if job == "sft":
        said = data.read(project, implied=False)
        return said, answers.preferred(project.id, said)
    rows = data.read(project, implied=not arguments.no_implied)
    return rows, rows


def load_of(job: str, arguments: Any, project: Project) -> Load:
    """Return what a job asks of a machine; the Hub is asked for the model's size alone."""
    if job in TRAININGS:
        rows = rows_of(job, arguments, project)[1]
        texts = [["\n".join(m["content"] for m in t) for t in _texts(row)] for row in rows.train]
        size = parameters(arguments.base_model or project.settings.base_model)
        reckoned = forecast.imitating if job == "sft" else forecast.training
        return reckoned(arguments, size, texts)
    if job == "judge":
        pairs = arguments.pairs or len(pairs_to_compare(project).pairs)
        if arguments.endpoint or arguments.provider:
            return forecast.asking()
        return forecast.writing(2 * pairs, arguments.batch_size, 6, parameters(arguments.model))
    if job == "candidates" and arguments.engine not in engines.IN_PROCESS:
        return forecast.asking()
    prompts = [p.split for p in project.prompts]
    blind, models = prompts.count("eval"), 1
    texts = (len(prompts) - blind) * arguments.per_prompt
    if job == "completions":
        models, texts = 2, 2 * blind * arguments.per_prompt
    named, gpus = None, 1
    if job == "candidates":
        named, gpus = arguments.model, arguments.tensor_parallel
        texts = math.ceil(texts / (Shard.parse(arguments.shard).of if arguments.shard else 1))
    size = parameters(named or project.settings.base_model)
    longest = arguments.max_new_tokens
    return forecast.writing(texts, arguments.batch_size, longest, size, models, gpus)


def _texts(row: Any) -> tuple[list[dict], ...]:
    return (
        (row.prompt, row.chosen, row.rejected)
        if isinstance(row, Preference)
        else (row.prompt, row.completion)
    )


@cache
def parameters(name: str) -> int:
    """Return how many parameters `owner/name[@revision]` has, from its safetensors' headers."""
    ref = Ref.parse(name)
    repo = ref.repo
    sha, files = hub.describe(repo, "model", ref.revision)
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


def start(plan: Plan) -> Any:
    """Ship the code and start the job; return huggingface_hub's `JobInfo`."""
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise Unreachable(f"No token for {hub.endpoint()}. Sign in with: hf auth login")
    secrets = {"HF_TOKEN": token}
    if (key := KEYS.get(plan.job)) and key in os.environ:
        secrets[key] = os.environ[key]
    package, script = bundle.ship(plan.project.id, plan.job)
    # not run_uv_job: an argument that happens to name a file here would be uploaded
    words = ["uv", "run", "--with", package]
    more = bundle.packages(plan.arguments)
    words += [word for name in more for word in ("--with", name)]
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


def run(
    console: Console, command: str, job: str, argv: Sequence[str], flavor: str | None, yes: bool
) -> None:
    """Plan, ask, start and follow a job; raises PalateError if it fails."""

    planned = plan(command, job, argv, flavor)
    for sentence in planned.sentences():
        console.print(sentence, markup=False)
    agree(planned, yes=yes)
    started = start(planned)
    console.print(f"started: [bold cyan]{started.url}[/]")
    follow(console, planned.project.id, started)
