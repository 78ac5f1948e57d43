"""`palate prompts` as a person types it: counts, files, a model behind a server, bad input."""

import os
import pty
import subprocess
import sys
from collections import Counter
from itertools import cycle

import pytest
from openai_server import OpenAIServer

from palate.collect import importing
from palate.commands.prompts import kept_places
from palate.core import hub as client
from palate.core.project import Project, Settings
from palate.core.schema import Prompt, digest

pytestmark = pytest.mark.usefixtures("fast_commands")

WRITER = "me/prompt-writer"
NEW = ["old maps", "how violins age", "the deepest lake", "comets", "street markets", "wild bees"]


def palate(*args: str, code: int = 0, stdin: int = subprocess.DEVNULL) -> str:
    run = subprocess.run(
        [sys.executable, "-c", "from palate.cli import main; main()", *args],
        capture_output=True,
        text=True,
        stdin=stdin,
        env={**os.environ, "COLUMNS": "100"},
        timeout=120,
    )
    assert run.returncode == code, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    return " ".join((run.stdout + run.stderr).split())


@pytest.fixture
def project(hub, repo_id) -> Project:
    """Twenty prompts of one template: 10 train, 2 test, 8 eval."""
    prompts = [Prompt.of(f"Write a title about: {digest(i)}") for i in range(20)]
    return importing.start_project(repo_id, prompts, Settings(base_model=WRITER))


class Writer(OpenAIServer):
    """Replies with the given texts in turn."""

    def __init__(self, *texts: str):
        super().__init__(WRITER)
        self.texts = cycle(texts)

    def answer(self, body):
        return next(self.texts), "stop"


@pytest.fixture
def writer(hub):
    """Return a function that serves a model which replies with these texts."""
    client.create(WRITER, "model")
    servers = []

    def serve(*texts: str) -> str:
        server = Writer(*texts)
        server.__enter__()
        servers.append(server)
        return server.url

    yield serve
    for server in servers:
        server.__exit__()


def sizes(project: Project) -> Counter[str]:
    return Counter(p.split for p in Project.load(project.id).prompts)


def test_counts_and_what_is_missing(project):
    said = palate("prompts", project.id)
    assert f"{project.id}: 20 prompts" in said
    assert "train 10 test 2 eval 8" in said
    assert "There are 8 eval prompts, which cannot decide anything: it takes at least 9." in said
    assert "52 more eval prompts would make 60, which decide in 90% of such evaluations" in said
    assert (
        f"palate prompts {project.id} --write 52, or palate prompts {project.id} --add FILE" in said
    )
    assert Project.load(project.id).revision == project.revision


def test_a_file_fills_the_eval_split(project, tmp_path):
    ideas = [f"idea\n{digest(0)}", *(digest("more", i) for i in range(70)), digest("more", 3)]
    (tmp_path / "more.csv").write_text("\n".join(ideas))
    (tmp_path / "prompt.txt").write_text("Write a title about: {idea}")
    flags = ("--column", "idea", "--template", str(tmp_path / "prompt.txt"))
    said = palate("prompts", project.id, "--add", str(tmp_path / "more.csv"), *flags)
    assert "70 prompts added: 11 train, 7 test, 52 eval" in said
    assert "left out: 1 there already" in said
    assert "the verdict has its 60 eval prompts, so the others are for training and testing" in said
    assert sizes(project)["eval"] == 60
    assert "more eval prompts would" not in said
    said = palate("prompts", project.id, "--add", str(tmp_path / "more.csv"), *flags, code=1)
    assert f"Nothing was added to {project.id}: 71 there already." in said


def test_an_empty_file_and_what_is_no_project_are_named(project, repo_id, tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    said = palate("prompts", project.id, "--add", str(tmp_path / "empty.txt"), code=2)
    assert "has no rows; expected at least one" in said
    said = palate("prompts", f"{repo_id}-no", "--write", "3", "--yes", code=2)
    assert f"There is no repo {repo_id}-no" in said


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--add", "x.txt", "--write", "3"], "--add and --write do not go together"),
        (["--column", "idea"], "say how to read the file of --add"),
        (["--yes"], "go with --write"),
        (["--write", "0", "--yes"], "--write 0: expected 1 or more"),
        (["--write", "3"], "There is no terminal to show the prompts on"),
        (["--split", "dev"], "invalid choice"),
    ],
)
def test_wrong_flags_are_refused(project, flags, says):
    assert says in palate("prompts", project.id, *flags, code=2)


def test_a_model_writes_eval_prompts_that_stay_marked(project, writer):
    url = writer(*NEW, "Old Maps", "")
    said = palate("prompts", project.id, "--write", "6", "--engine", url, "--yes")
    assert f"{WRITER} wrote 6 prompts of the 6 asked for" in said
    assert f"6 prompts by {WRITER} added: 6 eval" in said
    rows = [p for p in Project.load(project.id).prompts if p.model]
    parts = {p.text.removeprefix("Write a title about: ") for p in rows}
    assert len(parts) == 6
    assert parts < {*NEW, "Old Maps"}  # asked for at once, replies come in any order
    assert all(part in said for part in parts)
    assert {(p.split, p.model, p.revision) for p in rows} == {
        ("eval", WRITER, client.describe(WRITER, "model")[0])
    }
    assert "eval 14, 6 of them written by a model" in palate("prompts", project.id)
    revision, _ = client.describe(project.id, "dataset")
    card = client.fetch(project.id, "dataset", revision, ["README.md"])[0].read_text("utf-8")
    assert f"`{WRITER}` at" in card
    assert "wrote 6 prompts of the split eval." in card


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([""], "wrote no prompt that fits: 15 empty"),
        (["?!"], "wrote no prompt that fits: 15 without a word"),
        ([digest(0)], "wrote no prompt that fits: 15 much like another prompt"),
    ],
)
def test_a_model_that_writes_nothing_of_use_adds_nothing(project, writer, texts, says):
    url = writer(*texts)
    said = palate("prompts", project.id, "--write", "3", "--engine", url, "--yes", code=1)
    assert says in said
    assert f"palate prompts {project.id} --add FILE" in said
    assert Project.load(project.id).revision == project.revision


@pytest.mark.parametrize(("answer", "code", "added"), [("2 4-5", 0, 3), ("n", 1, 0), ("", 0, 6)])
def test_what_a_model_wrote_is_shown_before_it_is_added(project, writer, answer, code, added):
    url = writer(*NEW)
    ours, theirs = pty.openpty()
    os.write(ours, f"what\n{answer}\n".encode())
    said = palate("prompts", project.id, "--write", "6", "--engine", url, code=code, stdin=theirs)
    os.close(theirs)
    os.close(ours)
    assert all(part in said for part in NEW)
    assert "Expected y, n, or numbers from 1 to 6." in said
    assert sizes(project)["eval"] == 8 + added


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("", [0, 1, 2, 3]),
        ("Y", [0, 1, 2, 3]),
        ("no", []),
        ("2", [0, 2, 3]),
        ("1, 3-4", [1]),
        ("1-4", []),
        ("5", None),
        ("0", None),
        ("3-2", None),
        ("maybe", None),
    ],
)
def test_an_answer_names_what_to_leave_out(answer, kept):
    assert kept_places(answer, 4) == kept
