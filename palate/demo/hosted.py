"""The demo as on the Hub: deployed Spaces, jobs through the Jobs API, two people in two browsers.

The local Hub stands in for the real one: it builds and runs the Spaces, and people sign in there.
Midway the label Space is killed and starts again with an empty disk; nothing that was said is lost.
"""

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.project import Project
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
from palate.evaluate.loading import project_verdict
from palate.report import cards
from palate.report.export import export
from palate.report.publish import publish_verdict
from palate.run import hf
from palate.web import deploy
from palate.web import deploy as spaces

FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking"
    " --disable-component-update --disable-sync"
)
PATIENCE = 600_000.0  # milliseconds; a Space that starts with an empty disk installs Argilla first
UNSEEN = 270.0  # milliseconds in which the page ignores keys, since nobody has read the pair yet
KEYS = {"left": "4321", "right": "7890"}  # by strength
# a pair, or the end of all pairs; before the first one there may be none yet
SOMETHING = """answered => {
  const shown = document.querySelector('.ballot')?.dataset
  return shown?.aid || answered && shown?.state === 'empty'
}"""
VOTES = 60  # of each person


def loop(root: Path, hub: Any, labels: int) -> None:
    """Go round the loop once, with everything where it is on the Hub, from what is there already.

    `hub` is the local Hub that runs all of it.
    """

    chromium = _chromium()
    project = make_project()
    plans = [spaces.plan(project, k, spaces.Wishes("protected")) for k in spaces.KINDS]
    for made in plans:
        say("deploy", made.sentence())
        spaces.apply(made, console.print)
    make_writer(root)  # while the Spaces are built
    _job("candidates", "candidates", "--per-prompt", str(PER_TOPIC), *SHORT)
    with ThreadPoolExecutor(1) as pool:
        interruption = None
        missing = labels - len(project.labels)
        if missing > 0:
            url = _running(spaces.space_of(PROJECT, "label"))
            halfway = threading.Event()
            interruption = pool.submit(_interrupt, spaces.space_of(PROJECT, "label"), halfway)
            _people(chromium, hub, url, "labels", missing, halfway)
            halfway.set()
            interruption.result()
    made = export(PROJECT)[1].rows
    say("preferences", f"{len(made['train'])} to train on, {len(made['test'])} to test with")
    if not project.is_trained():
        _job("train", "dpo", "--method", "full", *TRAIN)
    _job("completions", "completions", *SHORT)
    if not Project.load(PROJECT).evaluations:
        url = _running(spaces.space_of(PROJECT, "evaluate"))
        _people(chromium, hub, url, "votes", 2 * VOTES, threading.Event())
    project = Project.load(PROJECT)
    say("card", publish_verdict(project, project_verdict(project)))
    cards.push_dataset_card(PROJECT)


def links(hub: Any) -> None:
    """Print where everything is; the Spaces are there as long as their Hub is."""

    for kind in deploy.KINDS:
        say(kind, deploy.wait(deploy.space_of(PROJECT, kind), lambda stage: None))
    say("hub", hub.login_url(f"/{PROJECT}-dpo"))
    names = " and ".join(list(hub.tokens)[:2])
    say("people", f"{names}, whose tokens stand in {hub.root / 'users.json'}")


def _running(space: str) -> str:
    """Return the address of the Space, once it runs."""

    with console.status(f"{space} …") as line:
        url = deploy.wait(space, lambda stage: line.update(f"{space}: {stage}"))
    say("space", f"{space} runs at {url}")
    return url


def _job(command: str, job: str, *args: str) -> None:
    """Run a job through the Jobs API: what `palate COMMAND … --on hf` does."""

    say("job", f"palate {command} {PROJECT} {' '.join(args)} --on hf")
    hf.run(console, command, job, [PROJECT, *args], flavor=None, yes=True)


def _interrupt(space: str, halfway: threading.Event) -> None:
    """Kill the Space halfway through the labels, and start it again with an empty disk."""

    halfway.wait()
    pid = hub.api().get_space_runtime(space).raw.get("pid")
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        say("killed", f"{space}; it starts again with an empty disk, labels wait in the browsers")
        hub.api().restart_space(space)


def _people(
    chromium: str | None, hub: Any, url: str, what: str, number: int, halfway: threading.Event
) -> None:
    """Let everybody of the Hub sign in in a browser of their own and answer their share."""
    names = list(hub.tokens)[:2]
    share, done = -(-number // len(names)), dict.fromkeys(names, 0)
    with bar(f"{' and '.join(names)}: {what}") as advance, ThreadPoolExecutor(len(names)) as pool:

        def progress(name: str, answered: int) -> None:
            done[name] = answered
            total = sum(done.values())
            advance(total, share * len(names))
            if total >= number / 2:
                halfway.set()

        def sit(name: str) -> int:
            return _person(chromium, url, hub.tokens[name], share, lambda n: progress(name, n))

        counts = list(pool.map(sit, names))
    said = " and ".join(f"{n} by {name}" for name, n in zip(names, counts, strict=True))
    say(what, f"{said}, signed in, in two browsers; each of them on the Hub")


def _person(
    chromium: str | None, url: str, token: str, number: int, progress: Callable[[int], None]
) -> int:
    """Sign in in a new profile, answer up to `number` pairs by keyboard, wait for the Hub."""
    from playwright.sync_api import sync_playwright

    taste, answered = Taste(seed=0), 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        page = browser.new_context(viewport={"width": 1100, "height": 760}).new_page()
        page.goto(url)
        _sign_in(page, token)
        page.set_default_timeout(PATIENCE)
        while answered < number:
            page.wait_for_function(SOMETHING, arg=answered)
            if page.get_attribute(".ballot", "data-state") == "empty" and answered:
                break
            page.wait_for_timeout(UNSEEN)
            before = page.get_attribute(".ballot", "data-aid")
            sides = [page.inner_text(f"[data-f={side}]").strip() for side in ("left", "right")]
            choice, strength = taste.judge(*sides)
            page.keyboard.press("ArrowDown" if choice == "tie" else KEYS[choice][strength - 1])
            page.wait_for_function(
                "b => document.querySelector('.ballot')?.dataset.aid !== b", arg=before
            )
            answered += 1
            progress(answered)
        page.wait_for_function("document.querySelector('.b-sync').textContent === 'on the Hub'")
        browser.close()
    return answered


def _sign_in(page: Any, token: str) -> None:
    """Go through the Hub's own pages: who one is there, and whether the Space may know."""
    page.click(".b-dialog[open] a.b-main")
    page.wait_for_selector("input[name=token], #allow")
    if page.locator("input[name=token]").count():
        page.fill("input[name=token]", token)
        page.click("form.login button")
    page.click("#allow")
    page.wait_for_selector(".ballot")


def _chromium() -> str | None:
    """Return the browser to drive, or None for Playwright's own; UsageError without either."""
    if not find_spec("playwright"):
        raise UsageError(
            "palate demo --hosted drives two browsers. Install what drives them: pip install"
            " playwright"
        )
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if not (Path.home() / ".cache/ms-playwright").is_dir():
        raise UsageError(
            "palate demo --hosted needs Chromium: apt-get install chromium, or playwright install"
            " chromium"
        )
    return None
