"""The demo as on the Hub: deployed Spaces, jobs through the Jobs API, two people in two browsers.

The local Hub plays the part of the real one: it builds and runs the Spaces, and people sign in
there. Halfway through, the label Space is killed and restarts with an empty disk; no label is lost.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from palate.argilla.server import cache_folder
from palate.core import hub
from palate.core.project import Project
from palate.demo import browser
from palate.demo.common import (
    PER_TOPIC,
    PROJECT,
    choose_base,
    console,
    make_project,
    progress_bar,
    publish_cards,
    push_base,
    say,
    say_preferences,
)
from palate.demo.person import SimulatedAnnotator
from palate.localhub import LocalHub
from palate.report.export import export
from palate.run import hf
from palate.run.jobs import job_named
from palate.web import deploy
from palate.web.deploy_plan import KINDS, SpaceOptions, plan_space, space_of

PEOPLE = 2
VOTES_PER_PERSON = 60


def run_loop(root: Path, local_hub: LocalHub, labels: int | None, *, tiny: bool, seed: int) -> None:
    """Run the loop once, up to `labels` labels, from whatever exists on the local Hub."""
    chromium = browser.find_chromium()
    base = choose_base(tiny=tiny)
    project = make_project(base, seed)
    for kind in KINDS:
        plan = plan_space(project, kind, SpaceOptions("public"))  # as from a free account
        if kind == "label" and not plan.exists:
            # Argilla's packages outlive the Space's disk, as the layers of an image do
            plan.variables["PALATE_CACHE"] = str(cache_folder().absolute())
        say("deploy", plan.sentence(dry_run=False))
        deploy.apply(plan)
    push_base(base, root)  # while the Spaces are built
    _run_job("candidates", seed, "--per-prompt", str(PER_TOPIC), *base.candidates)
    missing = (base.labels if labels is None else labels) - len(project.labels)
    if missing > 0:
        _label_with_crash(chromium, local_hub, missing)
    say_preferences(export(PROJECT)[1])
    if not project.is_trained():
        _run_job("train", seed, *base.train)
    _run_job("completions", seed, *base.completions)
    if not Project.load(PROJECT).evaluations:
        url = _wait_for(space_of(PROJECT, "evaluate"))
        _let_people_answer(chromium, local_hub, url, "votes", PEOPLE * VOTES_PER_PERSON)
    publish_cards()


def print_links(local_hub: LocalHub) -> None:
    """Print where everything is, for as long as the local Hub runs."""
    for kind in KINDS:
        say(kind, deploy.wait(space_of(PROJECT, kind), lambda stage: None))
    say("hub", local_hub.login_url(f"/{PROJECT}-dpo"))
    names = " and ".join(list(local_hub.tokens)[:PEOPLE])
    say("people", f"{names}; their tokens are in {local_hub.root / 'users.json'}")


def _wait_for(space: str) -> str:
    """Return the address of the Space once it runs."""
    with console.status(f"{space} …") as line:
        url = deploy.wait(space, lambda stage: line.update(f"{space}: {stage}"))
    say("space", f"{space} runs at {url}")
    return url


def _run_job(name: str, seed: int, *args: str) -> None:
    """Run a job through the Jobs API, as `palate NAME … --on hf` does."""
    args += ("--seed", str(seed))
    say("job", f"palate {name} {PROJECT} {' '.join(args)} --on hf")
    hf.run(console, job_named(name), [PROJECT, *args], flavor=None, yes=True)


def _label_with_crash(chromium: str | None, local_hub: LocalHub, missing: int) -> None:
    """Let the people label, and kill the Space once half of the labels are there."""
    space = space_of(PROJECT, "label")
    url = _wait_for(space)
    halfway = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        crash = pool.submit(_kill_at, halfway, space)
        try:
            _let_people_answer(chromium, local_hub, url, "labels", missing, halfway)
        finally:
            halfway.set()
        crash.result()


def _kill_at(halfway: threading.Event, space: str) -> None:
    """Wait, kill the Space and restart it with an empty disk."""
    halfway.wait()
    pid = hub.api().get_space_runtime(space).raw.get("pid")
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        say("killed", f"{space}, which restarts with an empty disk; the browsers keep the labels")
        hub.api().restart_space(space)


def _let_people_answer(
    chromium: str | None,
    local_hub: LocalHub,
    url: str,
    noun: str,
    number: int,
    halfway: threading.Event | None = None,
) -> None:
    """Let the Hub's people sign in, each in a browser, and answer their share of the pairs."""
    annotator = SimulatedAnnotator(Project.load(PROJECT).settings.seed)
    names = list(local_hub.tokens)[:PEOPLE]
    share, done = -(-number // len(names)), dict.fromkeys(names, 0)
    title = f"{' and '.join(names)}: {noun}"
    with progress_bar(title) as advance, ThreadPoolExecutor(len(names)) as pool:

        def progress_of(name: str) -> Callable[[int], None]:
            def progress(answered: int) -> None:
                done[name] = answered
                total = sum(done.values())
                advance(total, share * len(names))
                if halfway and total >= number / 2:
                    halfway.set()

            return progress

        def answer(name: str) -> int:
            token = local_hub.tokens[name]
            return browser.answer_pairs(chromium, url, token, share, annotator, progress_of(name))

        counts = list(pool.map(answer, names))
    shares = " and ".join(f"{n} by {name}" for name, n in zip(names, counts, strict=True))
    say(noun, f"{shares}, signed in, in two browsers; all on the Hub")
