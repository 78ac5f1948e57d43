"""The whole loop on this machine: local Hub, local Argilla, a tiny model, a simulated annotator.

Every step goes through the same doors as a person's: the clients over HTTP, the job files as
processes, the Spaces' own API. Nothing is done twice: run again, it continues where it stood.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from palate.errors import PalateError, UsageError

PROJECT = "me/titles"
WRITER = "me/tiny-writer"
PER_TOPIC = 4
# Found by a search over the tiny model: large models want a hundredth of this learning rate.
TRAIN = ["--learning-rate", "3e-4", "--epochs", "3", "--batch-size", "16"]
SHORT = ["--max-new-tokens", "48"]  # a title ends long before
T = TypeVar("T")
console = Console(highlight=False, soft_wrap=True)


def run(root: Path, *, once: bool, labels: int, as_hosted: bool) -> None:
    """Run the loop under `root`; afterwards serve it until Ctrl-C, unless `once`.

    `as_hosted`: in Spaces that the local Hub runs, with jobs through its API and two browsers.
    """
    started = time.monotonic()
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as servers, one_at_a_time(root):
        hub = _start_hub(root, servers)
        if as_hosted:
            from palate import hosted

            hosted.loop(root, hub, labels)
        else:
            argilla = _start_argilla(root, servers)
            loop(root, labels, {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key})
        minutes, seconds = divmod(round(time.monotonic() - started), 60)
        say("clock", f"{minutes} min {seconds} s, everything under {root}")
        line = _verdict_line()
        if once:
            console.print(line)
            return
        if as_hosted:
            hosted.links(hub)
        else:
            _serve(root, servers, argilla, hub)
        console.print(line)
        console.print("Ctrl-C stops all of it.")
        with contextlib.suppress(KeyboardInterrupt):
            hub.process.wait()
        console.print("\nStopping.")


def loop(root: Path, labels: int, argilla: dict[str, str]) -> None:
    """Go round the loop once, from what is there already."""
    from palate import cards, ledger
    from palate import verdict as votes
    from palate.material.annotator import Taste
    from palate.project import Project

    taste = Taste(seed=0)
    make_writer(root)
    project = make_project()
    say("prompts", f"{len(project.rows('prompts'))} topics, split into {_sizes(project)}")
    _job("candidates", PROJECT, "--per-prompt", str(PER_TOPIC), *SHORT)
    say("taste", f"the annotator {taste.describe()}. The model is never told so.")
    _vote("label", labels, taste, root, argilla)
    project, made = ledger.export(PROJECT)
    rows = made.rows
    say("preferences", f"{len(rows['train'])} to train on, {len(rows['test'])} to test with")
    if not project.is_trained():
        _job("dpo", PROJECT, "--method", "full", *TRAIN)
    _job("completions", PROJECT, *SHORT)
    _vote("evaluate", None, taste, root, {})
    project = Project.load(PROJECT)
    url = votes.publish(project, votes.count(project))
    cards.push_dataset_card(PROJECT)
    say("card", url)


def say(what: str, text: str) -> None:
    console.print(f"[bold cyan]{what:>12}[/]  {text}")


def _start_hub(root: Path, servers: ExitStack):
    """Start the Hub where it stood last time, and point the clients at it."""
    from palate.localhub import LocalHub

    hub = _enter(servers, lambda port: LocalHub(root / "hub", port=port), 8123)
    os.environ |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(root / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PALATE_DATA": str(root / "data"),
        "PALATE_PUBLISH_SECONDS": "1",
    }
    say("hub", f"a Hub of your own at {hub.endpoint}")
    return hub


def _start_argilla(root: Path, servers: ExitStack):
    from palate.argilla.server import EmbeddedArgilla

    argilla = _enter(servers, lambda port: EmbeddedArgilla(root / "argilla", port=port), 6900)
    say("argilla", f"Argilla at {argilla.url}")
    return argilla


@contextlib.contextmanager
def _ours() -> Generator[None]:
    """Make what servers say, which know nothing of palate, an error of palate's."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # the system's words, such as of a full disk
            raise
        raise PalateError(str(error)) from error


@_ours()
def _enter(servers: ExitStack, make: Callable[[int], AbstractContextManager[T]], port: int) -> T:
    """Start what `make` returns for the port, or for any free one where others listen on it."""
    from palate.serving import is_taken

    try:
        return servers.enter_context(make(port))
    except (OSError, PalateError):
        if not is_taken(port):
            raise
    return servers.enter_context(make(0))


def make_writer(root: Path) -> None:
    """Train the tiny base model on the shipped titles and push it, unless it is there."""
    from palate import hub
    from palate.launch import child_environment

    if hub.exists(WRITER, "model") and "model.safetensors" in hub.describe(WRITER, "model")[1]:
        return
    folder = root / "writer"
    if not (folder / "README.md").exists():  # it is written last
        say("base model", "a tiny Qwen2 learns to write titles, for about a minute")
        command = [sys.executable, "-m", "palate.material", str(folder)]
        subprocess.run(command, check=True, env=child_environment())
    hub.create(WRITER, "model")
    (folder / "README.md").write_text(
        "---\nlicense: apache-2.0\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n"
        "# A tiny writer of titles\n\nA Qwen2 architecture with random beginnings, trained for a"
        " minute on 1,500 titles that ship with palate. The demo's base model; good for nothing"
        " else.\n"
    )
    files = {f.name: f for f in sorted(folder.iterdir()) if f.is_file()}
    hub.commit(WRITER, "model", files, "A tiny writer of titles")


def make_project():
    from palate import hub, importing
    from palate.material.tiny import prompt_for, topics
    from palate.project import SETTINGS_FILE, Project, Settings
    from palate.schema import Prompt

    there = hub.exists(PROJECT, "dataset")
    if there and SETTINGS_FILE in hub.describe(PROJECT, "dataset")[1]:
        return Project.load(PROJECT)
    settings = replace(
        Settings(),
        question="Which title is better?",
        base_model=WRITER,
        license="apache-2.0",
        test=0.15,
        eval=0.4,
    )
    prompts = [Prompt.of(prompt_for(t)) for t in topics()]
    return importing.start_project(PROJECT, prompts, settings)


def _sizes(project) -> str:
    from collections import Counter

    size = Counter(p.split for p in project.rows("prompts"))
    return ", ".join(f"{size[s]} {s}" for s in ("train", "test", "eval"))


def _job(name: str, *args: str) -> None:
    from palate.launch import run_job

    code = run_job(name, args)
    if code:
        raise PalateError(f"The job {name} ended with code {code}; what it said stands above.")


def _vote(kind, limit: int | None, taste, root: Path, env: dict[str, str]) -> None:
    """Let the annotator answer `limit` pairs (or all) through the Space's own API."""
    from palate import answering
    from palate.serving import Space

    log = root / f"{kind}.log"
    with Space(kind, PROJECT, env=env, log=log) as space:
        what = "labels" if kind == "label" else "votes blind"
        with bar(f"the annotator {what}") as advance:
            done = answering.answer(space.url, "Ada", taste, limit, advance)
    say("labels" if kind == "label" else "votes", f"{done} by Ada, each of them on the Hub")


@contextlib.contextmanager
def bar(text: str) -> Generator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(text)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _verdict_line() -> str:
    from palate import verdict as votes
    from palate.project import Project

    result = votes.count(Project.load(PROJECT))
    say("found", result.meaning())
    return f"verdict: {result.sentence()}"


def _serve(root: Path, servers: ExitStack, argilla, hub) -> None:
    """Start both Spaces again and print where everything is."""
    from palate.project import Project
    from palate.serving import Kind, Space

    env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}

    def start(kind: Kind, preferred: int, env: dict[str, str]) -> Space:
        log = root / f"{kind}.log"
        return _enter(
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


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Generator[None]:
    """Hold the folder for one demo; raises UsageError where another runs in it."""
    import fcntl

    with (root / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another demo runs in {root}. Stop it, or choose another folder with --root."
            ) from None
        yield
