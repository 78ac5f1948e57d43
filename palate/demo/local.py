"""The whole loop on this machine: local Hub, local Argilla, a tiny model, a simulated annotator.

Every step goes through the same doors as a person's: the clients over HTTP, the job files as
processes, the Spaces' own API. Nothing is done twice: run again, it continues where it stood.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from palate.core.errors import PalateError
from palate.core.project import Project
from palate.demo import api_annotator
from palate.demo.common import (
    PER_TOPIC,
    PROJECT,
    SHORT,
    TRAIN,
    bar,
    console,
    make_project,
    make_writer,
    say,
)
from palate.demo.person import Taste
from palate.demo.servers import enter
from palate.evaluate.loading import project_verdict
from palate.report import cards
from palate.report.export import export
from palate.report.publish import publish_verdict
from palate.run.local import run_job
from palate.web.serving import Kind, Space


def loop(root: Path, labels: int, argilla: dict[str, str]) -> None:
    """Go round the loop once, from what is there already."""

    taste = Taste(seed=0)
    make_writer(root)
    project = make_project()
    say("prompts", f"{len(project.prompts)} topics, split into {_sizes(project)}")
    _job("candidates", PROJECT, "--per-prompt", str(PER_TOPIC), *SHORT)
    say("taste", f"the annotator {taste.describe()}. The model is never told so.")
    _vote("label", labels, taste, root, argilla)
    project, made = export(PROJECT)
    rows = made.rows
    say("preferences", f"{len(rows['train'])} to train on, {len(rows['test'])} to test with")
    if not project.is_trained():
        _job("dpo", PROJECT, "--method", "full", *TRAIN)
    _job("completions", PROJECT, *SHORT)
    _vote("evaluate", None, taste, root, {})
    project = Project.load(PROJECT)
    url = publish_verdict(project, project_verdict(project))
    cards.push_dataset_card(PROJECT)
    say("card", url)


def _sizes(project) -> str:
    from collections import Counter

    size = Counter(p.split for p in project.prompts)
    return ", ".join(f"{size[s]} {s}" for s in ("train", "test", "eval"))


def _job(name: str, *args: str) -> None:

    code = run_job(name, args)
    if code:
        raise PalateError(f"The job {name} ended with code {code}; what it said stands above.")


def _vote(kind, limit: int | None, taste, root: Path, env: dict[str, str]) -> None:
    """Let the annotator answer `limit` pairs (or all) through the Space's own API."""

    log = root / f"{kind}.log"
    with Space(kind, PROJECT, env=env, log=log) as space:
        what = "labels" if kind == "label" else "votes blind"
        with bar(f"the annotator {what}") as advance:
            done = api_annotator.answer(space.url, "Ada", taste, limit, advance)
    say("labels" if kind == "label" else "votes", f"{done} by Ada, each of them on the Hub")


def verdict_line() -> str:

    result = project_verdict(Project.load(PROJECT))
    say("found", result.meaning())
    return f"verdict: {result.sentence()}"


def serve(root: Path, servers: ExitStack, argilla, hub) -> None:
    """Start both Spaces again and print where everything is."""

    env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}

    def start(kind: Kind, preferred: int, env: dict[str, str]) -> Space:
        log = root / f"{kind}.log"
        return enter(
            servers, lambda port: Space(kind, PROJECT, port=port, env=env, log=log), preferred
        )

    with ThreadPoolExecutor(2) as pool:
        label, evaluate = pool.map(start, ("label", "evaluate"), (7860, 7861), (env, {}))
    console.print()
    say("label", label.url)
    say("evaluate", evaluate.url)
    say("verdict", evaluate.owner_url)
    say("hub", hub.login_url(f"/{Project.load(PROJECT).model_repo}"))
    say("argilla", f"{argilla.url} (user owner, password in {root / 'argilla' / 'owner.json'})")
