"""What the local and the hosted demo share: base model, project, verdict, progress."""

import contextlib
import fcntl
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from palate.collect import importing
from palate.core import hub
from palate.core.errors import PalateError, UsageError, printable
from palate.core.project import SETTINGS_FILE, Project, Settings
from palate.core.schema import Prompt
from palate.demo import base_models
from palate.demo.base_models import BaseModel
from palate.demo.titles import topics
from palate.evaluate.loading import project_verdict
from palate.label.preferences import Preferences
from palate.report.dataset_card import push_dataset_card
from palate.report.export import export
from palate.report.publish import publish_verdict
from palate.run.local import child_environment
from palate.terminal.console import PlainConsole

PROJECT = "me/titles"
PER_TOPIC = 4  # candidates
console = PlainConsole()


def say(label: str, text: str) -> None:
    """Print a line of the demo, its label in a column."""
    console.print(Text.assemble((f"{label:>12}", "bold cyan"), f"  {printable(text)}"))


def choose_base(*, tiny: bool) -> BaseModel:
    """Return the project's base model, or the one of a new project; say why it is a tiny one."""
    base, why = base_models.choose(load_project(), tiny=tiny)
    if why:
        say("base model", why)
    return base


def push_base(base: BaseModel, root: Path) -> None:
    """Make the base model under `root` and push it, unless the local Hub has it."""
    repo = base.repo
    if hub.exists(repo, "model") and "model.safetensors" in hub.describe(repo, "model")[1]:
        return
    folder = root / base.folder
    if not (folder / "README.md").exists():  # it is written last
        say("base model", base.making)
        command = [sys.executable, "-m", base.module, str(folder)]
        if subprocess.run(command, env=child_environment()).returncode:
            raise PalateError(f"Making {repo} failed; the output is above.")
    hub.create(repo, "model")
    (folder / "README.md").write_text(base.readme, "utf-8")
    files = {f.name: f for f in sorted(folder.iterdir()) if f.is_file()}
    hub.commit(repo, "model", files, f"Add {repo.partition('/')[2]}")


def load_project() -> Project | None:
    exists = hub.exists(PROJECT, "dataset")
    if exists and SETTINGS_FILE in hub.describe(PROJECT, "dataset")[1]:
        return Project.load(PROJECT)
    return None


def make_project(base: BaseModel, seed: int) -> Project:
    """Return the demo's project, with a prompt for each topic; create it if necessary."""
    if project := load_project():
        return project
    settings = replace(
        Settings(),
        question="Which title is better?",
        base_model=base.repo,
        license="apache-2.0",
        test=0.15,
        eval=0.4,
        seed=seed,
    )
    prompts = [Prompt.of(base.prompt.format(topic=topic)) for topic in topics()[: base.topics]]
    importing.start_project(PROJECT, prompts, settings)
    return export(PROJECT)[0]


def say_preferences(preferences: Preferences) -> None:
    train, test = (len(preferences.rows[split]) for split in ("train", "test"))
    say("preferences", f"{train} for training, {test} for testing")


def publish_cards() -> None:
    """Count the votes, put the verdict onto the model's card and renew the dataset's."""
    project = Project.load(PROJECT)
    url = publish_verdict(project, project_verdict(project))
    push_dataset_card(PROJECT)
    say("card", url)


def verdict_line() -> str:
    """Say what the verdict means; return the result in a line."""
    verdict = project_verdict(Project.load(PROJECT))
    say("result", verdict.meaning())
    return f"verdict: {verdict.sentence()}"


def own_line() -> str:
    """Return the verdict's line once people have voted, and before that how to vote."""
    if Project.load(PROJECT).evaluations:
        return verdict_line()
    return "Nobody has voted yet: run the demo without --once, and vote on the page evaluate."


@contextlib.contextmanager
def progress_bar(text: str) -> Generator[Callable[[int, int], None]]:
    """Show a bar while the block runs; yield a function that takes steps done and total."""
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(text)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Generator[None]:
    """Lock the folder for one demo; raises UsageError if another runs in it."""
    with (root / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another demo is running in {root}. Stop it, or choose another folder with --root."
            ) from None
        yield
