"""The demo on this machine: local Hub, local Argilla, a small model, a simulated annotator.

Every step works as for a person: clients over HTTP, job files as processes, the Spaces' API. A
second run continues where the first one ended.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from palate.argilla.server import EmbeddedArgilla
from palate.core.errors import PalateError
from palate.core.project import Project
from palate.core.rounds import trained_in
from palate.core.schema import Prompt
from palate.demo import api_annotator, own
from palate.demo.base_models import BaseModel
from palate.demo.common import (
    PER_TOPIC,
    PROJECT,
    choose_base,
    console,
    load_project,
    make_project,
    progress_bar,
    publish_cards,
    push_base,
    say,
    say_preferences,
)
from palate.demo.person import SimulatedAnnotator
from palate.demo.servers import enter
from palate.demo.titles import more_topics
from palate.generate import new_prompts
from palate.localhub import LocalHub
from palate.report.export import export
from palate.report.next_round import begin
from palate.run.jobs import job_named
from palate.run.local import run_job
from palate.web.serving import Kind, Space

ANNOTATOR = "Ada"
PORTS: dict[Kind, int] = {"label": 7860, "evaluate": 7861}


def run_loop(
    root: Path, labels: int | None, argilla: EmbeddedArgilla, *, tiny: bool, rounds: int, seed: int
) -> None:
    """Run the loop up to round `rounds`, with `labels` labels in each, from whatever exists."""
    base = choose_base(tiny=tiny)
    push_base(base, root)
    make_project(base, seed)
    while True:
        number = Project.load(PROJECT).settings.round
        _run_round(root, base.labels if labels is None else labels, argilla, base, number)
        if number >= rounds:
            return
        say("round", f"palate round {PROJECT}: the tuned model writes, its best answers stay")
        begin(PROJECT)
        fresh = [Prompt.of(base.prompt.format(topic=topic)) for topic in more_topics()]
        new_prompts.add(PROJECT, fresh, "eval")


def run_own(root: Path, labels: own.OwnLabels | None, *, tiny: bool, seed: int) -> None:
    """Train on a person's labels, and write what people then compare; nobody is simulated."""
    base = choose_base(tiny=tiny)
    push_base(base, root)
    if labels and load_project() is None:
        own.make_project(labels, base, seed)
    project, preferences = export(PROJECT)
    sizes = Counter(p.split for p in project.prompts)
    say("prompts", ", ".join(f"{sizes[split]} {split}" for split in ("train", "test", "eval")))
    say_preferences(preferences)
    if not project.is_trained():
        _run_job("train", seed, *base.train)
    _run_job("completions", seed, *base.completions)


def _run_round(
    root: Path, labels: int, argilla: EmbeddedArgilla, base: BaseModel, number: int
) -> None:
    project = Project.load(PROJECT)
    seed = project.settings.seed
    annotator = SimulatedAnnotator(seed)
    sizes = Counter(p.split for p in project.prompts)
    splits = ", ".join(f"{sizes[split]} {split}" for split in ("train", "test", "eval"))
    say("prompts", f"{len(project.prompts)} topics: {splits}; seed {seed}")
    _run_job("candidates", seed, "--per-prompt", str(PER_TOPIC), *base.candidates)
    say("annotator", f"{ANNOTATOR} {annotator.describe()}; the model sees only the labels")
    missing = labels - sum(e.round == number for e in project.labels)
    if missing > 0:
        _answer("label", missing, annotator, root, _argilla_variables(argilla))
    project, preferences = export(PROJECT)
    say_preferences(preferences)
    if trained_in(project, number) is None:
        _run_job("train", seed, *base.train)
    _run_job("completions", seed, *base.completions)
    _answer("evaluate", None, annotator, root, {})
    publish_cards()


def serve(root: Path, servers: ExitStack, argilla: EmbeddedArgilla, local_hub: LocalHub) -> None:
    """Start both Spaces again and print where everything is."""
    variables = {"label": _argilla_variables(argilla), "evaluate": {}}

    def start(kind: Kind) -> Space:
        log = root / f"{kind}.log"
        return enter(
            servers,
            lambda port: Space(kind, PROJECT, port=port, env=variables[kind], log=log),
            PORTS[kind],
        )

    with ThreadPoolExecutor(len(PORTS)) as pool:
        label, evaluate = pool.map(start, PORTS)
    console.print()
    say("label", label.url)
    say("evaluate", evaluate.url)
    say("verdict", evaluate.owner_url)
    say("hub", local_hub.login_url(f"/{Project.load(PROJECT).model_repo}"))
    password = root / "argilla" / "owner.json"
    say("argilla", f"{argilla.url} (user owner, password in {password})")


def _argilla_variables(argilla: EmbeddedArgilla) -> dict[str, str]:
    return {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}


def _run_job(name: str, seed: int, *args: str) -> None:
    code = run_job(job_named(name), (PROJECT, *args, "--seed", str(seed)))
    if code:
        raise PalateError(f"The job {name} ended with exit code {code}; its output is above.")


def _answer(
    kind: Kind,
    limit: int | None,
    annotator: SimulatedAnnotator,
    root: Path,
    variables: dict[str, str],
) -> None:
    """Let the annotator answer `limit` more pairs (None: all) through the Space's API."""
    noun, doing = ("labels", "labels") if kind == "label" else ("votes", "votes blind")
    log = root / f"{kind}.log"
    with (
        Space(kind, PROJECT, env=variables, log=log) as space,
        progress_bar(f"{ANNOTATOR} {doing}") as advance,
    ):
        done = api_annotator.answer(space.url, ANNOTATOR, annotator, limit, advance)
    say(noun, f"{done} by {ANNOTATOR}, all on the Hub")
