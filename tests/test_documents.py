"""The documents' commands parse, those that need no model run, and every Python example runs."""

import functools
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from palate.cli import COMMANDS
from palate.run.jobs import JOBS
from palate.terminal.flags import parse

ROOT = Path(__file__).parents[1]
NAMES = [
    "README.md",
    "CONTRIBUTING.md",
    "SKILL.md",
    *(f"docs/{f.name}" for f in (ROOT / "docs").glob("*.md")),
]
PAIRS = "idea,title_a,title_b,title_b_preferred\n" + "".join(
    f"idea {n},Why {n} wins,The truth about {n},{n % 2}\n" for n in range(30)
)
VOTES = "idea,base_title,tuned_title,tuned_preferred\nidea 1,One,Won,1\nidea 2,Two,Too,0\n"
SPECS = {spec.name: spec for spec in JOBS}
OURS = ("--on", "--flavor", "--yes")  # flags of the command line, which no job knows


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands(name: str) -> Iterator[list[str]]:
    """Yield the words of every `palate …` that a document shows, in blocks and in sentences."""
    text = (ROOT / name).read_text("utf-8")
    lines = [
        line for block in blocks(name, "bash") for line in block.replace("\\\n", "").splitlines()
    ]
    lines += re.findall(r"`(palate [^`\n]+)`", text)
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:1] == ["palate"] and words[1] != "…":
            yield words[1:]


SHOWN = [(name, words) for name in NAMES for words in commands(name)]


def check(words: list[str]) -> None:
    """Parse a command line as palate does, and call nothing; SystemExit tells what is wrong."""
    size = 2 if " ".join(words[:2]) in COMMANDS else 1
    name, rest = " ".join(words[:size]), words[size:]
    if name in SPECS:
        for flag in OURS:
            while flag in rest:
                at = rest.index(flag)
                del rest[at : at + (1 if flag == "--yes" else 2)]
        if rest:  # a sentence may show the flag alone
            SPECS[name].parse(["me/titles"] * rest[0].startswith("-") + rest)
        return
    command = COMMANDS[name].call
    if not rest:  # named in a sentence
        return

    @functools.wraps(command)
    def nothing(*args: object, **flags: object) -> None:
        inspect.signature(command).bind(*args, **flags)

    parse(nothing, rest, f"palate {name}")


@pytest.mark.parametrize(("name", "words"), SHOWN, ids=lambda v: v if isinstance(v, str) else None)
def test_every_command_that_is_shown_exists(name, words):
    check(list(words))


NOTEBOOK = json.loads((ROOT / "docs/palate.ipynb").read_text("utf-8"))
CELLS = ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "code"]
TYPED = [line for cell in CELLS for line in cell.splitlines() if line.startswith("!")]


@pytest.mark.parametrize("line", TYPED)
def test_every_command_of_the_notebook_exists(line):
    words = shlex.split(line[1:].replace("{PROJECT}", "me/titles"))
    assert words[0] == "palate"
    check(words[1:])


def test_the_notebook_goes_round_the_loop_in_ten_lines():
    order = [line.split()[1] for line in TYPED]
    assert order == ["init", "candidates", "deploy", "train", "completions", "verdict", "status"]
    python = [
        line for cell in CELLS for line in cell.splitlines() if not line.startswith(("!", "%"))
    ]
    compile("\n".join(python), "palate.ipynb", "exec")
    assert all(not c["outputs"] for c in NOTEBOOK["cells"] if c["cell_type"] == "code")


def test_the_skill_has_what_an_agent_reads_first():
    head, body = (ROOT / "SKILL.md").read_text("utf-8").split("---\n")[1:]
    about = yaml.safe_load(head)
    assert about["name"] == "palate"
    assert "Use when" in about["description"]
    assert len(about["description"]) <= 1024
    assert len(body.splitlines()) < 100


@pytest.fixture
def folder(hub, tmp_path) -> Path:
    """Where a reader works: the files that the documents name."""
    (tmp_path / "pairs.csv").write_text(PAIRS)
    (tmp_path / "votes.csv").write_text(VOTES)
    (tmp_path / "ideas.csv").write_text("idea\n" + "".join(f"idea {n}\n" for n in range(30)))
    (tmp_path / "prompt.txt").write_text("Write one YouTube title for a video about: {idea}")
    return tmp_path


def palate(words: list[str], folder: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "palate", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def section(title: str) -> str:
    text = (ROOT / "README.md").read_text("utf-8")
    return re.split(r"^#{2,3} ", text.split(f"### {title}\n")[1], flags=re.M)[0].replace("\\\n", "")


def shown_in(title: str, project: str, *names: str) -> list[list[str]]:
    """Return the commands of a section that are among `names`, for `project`."""
    lines = re.findall(r"^palate .+$", section(title), re.M)
    words = [shlex.split(line.replace("me/titles", project), comments=True)[1:] for line in lines]
    return [w for w in words if w[0] in names]


def test_the_start_from_prompts_runs(folder, repo_id):
    (init,) = shown_in("From prompts", repo_id, "init")
    assert f"next: palate candidates {repo_id}" in palate(init, folder)
    assert "30:" in palate(["status", repo_id], folder)


def test_the_start_from_labels_runs(folder, repo_id):
    audit, labels, _ = shown_in("From labels you have", repo_id, "audit", "import")
    assert "30 rows" in palate(audit, folder)
    assert "30 labels on 30 pairs of 60 texts, 30 prompts" in palate(labels, folder)
    (status,) = shown_in("Then, for both", repo_id, "status")
    assert f"next: palate train {repo_id}" in palate(status, folder)


def test_votes_that_exist_are_imported_and_counted(folder, repo_id):
    text = (ROOT / "README.md").read_text("utf-8")
    (line,) = re.findall(r"`(palate import [^`]+ --votes [^`]+)`", text)
    words = shlex.split(line.replace("me/old", repo_id))[1:]
    prompt = ["--prompt", "idea"] * ("--prompt" not in words)
    assert "2 votes on 2 pairs of 4 texts" in palate([*words, *prompt], folder)
    assert "verdict:" in palate(["verdict", repo_id], folder)


def test_the_python_examples_run(folder, repo_id):
    """All in one process, so that the local Hub of the last one changes no other's."""
    examples = [b.replace("me/titles", repo_id) for b in blocks("docs/python.md", "python")]
    assert len(examples) == 7
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(examples)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].startswith("20 prompts at ")
    assert "preferences to train on" in lines[1]
    assert "prompts are kept for the blind comparison" in run.stdout
    assert "→" in run.stdout
    assert "not answered yet" in run.stdout
    assert lines[-1] == "me owns this Hub"


def test_the_account_of_security_is_complete_and_names_tests_that_there_are():
    text = (ROOT / "docs/security.md").read_text("utf-8")
    titles = re.findall(r"^## (.*)$", text, re.M)
    for title in ("Trusted", "Not trusted", "What each can do", "What remains", "Attacks tried"):
        assert title in titles
    for who in ("owner", "annotator", "visitor", "model", "dataset"):
        assert re.search(rf"^\| {who}[ ,]", text, re.M), who
    named = set(re.findall(r"\btest_\w+\.py\b", text))
    assert named
    assert named <= {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    report = (ROOT / "SECURITY.md").read_text("utf-8")
    assert "docs/security.md" in report
