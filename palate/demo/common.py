"""What the local and the hosted demo share: names, the base model, the project, progress."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from palate.collect import importing
from palate.core import hub
from palate.core.errors import UsageError
from palate.core.project import SETTINGS_FILE, Project, Settings
from palate.core.schema import Prompt
from palate.demo.writer import prompt_for, topics
from palate.report.export import export
from palate.run.local import child_environment

PROJECT = "me/titles"
WRITER = "me/tiny-writer"
PER_TOPIC = 4
# Found by a search over the tiny model: large models want a hundredth of this learning rate.
TRAIN = ["--learning-rate", "3e-4", "--epochs", "3", "--batch-size", "16"]
SHORT = ["--max-new-tokens", "48"]  # a title ends long before
console = Console(highlight=False, soft_wrap=True)


def say(what: str, text: str) -> None:
    console.print(f"[bold cyan]{what:>12}[/]  {text}")


def make_writer(root: Path) -> None:
    """Train the tiny base model on the shipped titles and push it, unless it is there."""

    if hub.exists(WRITER, "model") and "model.safetensors" in hub.describe(WRITER, "model")[1]:
        return
    folder = root / "writer"
    if not (folder / "README.md").exists():  # it is written last
        say("base model", "a tiny Qwen2 learns to write titles, for about a minute")
        command = [sys.executable, "-m", "palate.demo", str(folder)]
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
    importing.start_project(PROJECT, prompts, settings)
    return export(PROJECT)[0]


@contextlib.contextmanager
def bar(text: str) -> Generator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(text)
        yield lambda done, total: progress.update(task, completed=done, total=total)


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
