"""Commands that `kill -9` ends anywhere: nothing is half made, and the same command finishes."""

import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import killed
import pytest
from forking import FastPython
from run_facts import RUN

from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import hub as calls
from palate.core import ledger
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Event, Pair, Prompt
from palate.web.ballot.people import pseudonyms

MOMENTS = 2  # a command
MODULES = ("huggingface_hub.hf_api", "jinja2", "matplotlib.figure", "scipy.stats", "tyro")
CSV = "idea,a,b,win\n" + "".join(f"idea {i},x{i},y{i},{'ab'[i % 2]}\n" for i in range(10))
COLUMNS = ("--prompt", "idea", "--a", "a", "--b", "b", "--choice", "win")
ADA = pseudonyms(b"key", "local:ada", ledger.People())[0]


@pytest.fixture(scope="module")
def python(hub) -> Iterator[FastPython]:
    env = {**os.environ, "PALATE_SECRET": "key", "COLUMNS": "100"}
    with tempfile.TemporaryDirectory() as folder, FastPython(Path(folder), MODULES, env) as python:
        yield python


def judgement(n: int, a: Candidate, b: Candidate, annotator: str) -> Event:
    return Event(
        f"event-{n}", "label", Pair.of(a, b).id, a.prompt_id, a.id, b.id, a.id, 3, annotator, 900,
        f"2026-01-01T00:00:{n:02}.000Z", 1, "ballot", sequence=n + 1,
    )  # fmt: skip


def make(project_id: str) -> None:
    """Make a project with a model and its verdict, and with labels and votes of two people."""
    prompts = [Prompt.of(f"Prompt {i}") for i in range(12)]
    importing.start_project(project_id, prompts, Settings(eval=0.25))
    project = Project.load(project_id)
    calls.create(project.model_repo, "model")
    facts = json.dumps(RUN | {"project": project_id, "model": project.model_repo})
    revision = calls.commit(project.model_repo, "model", {"run.json": facts}, "Train")
    writers = [("me/base", "b" * 40), (project.model_repo, revision)]
    pairs = [
        [Candidate.of(p.id, f"{name} {p.text}", model=name, revision=sha) for name, sha in writers]
        for p in project.prompts
    ]
    importing.add(project_id, Imported([], [c for pair in pairs for c in pair], []), "Add")
    blind = {p.id for p in project.prompts if p.split == "eval"}
    said = [judgement(n, a, b, (ADA, "p-bo")[n % 2]) for n, (a, b) in enumerate(pairs)]
    labels = [e for e in said if e.prompt_id not in blind]
    votes = [e for e in said if e.prompt_id in blind]
    files = {"labels/1.jsonl": ledger.jsonl(labels), "evaluations/1.jsonl": ledger.jsonl(votes)}
    calls.commit(project_id, "dataset", files, "Label and vote")


def state(project_id: str) -> dict[str, object]:
    """Return what the command has made, without ids, times and names that differ by project."""
    project = Project.load(project_id)
    model, files = project.model_repo, calls.describe(project.model_repo, "model")[1]
    cards = []
    for repo, kind, paths in (
        (project_id, "dataset", project.files), (model, "model", files)
    ):  # fmt: skip
        cards += [path for path in paths if path in ("README.md", "verdict.json")]
        cards += [path for path in paths if path.startswith(("plots/", "preferences/"))]
        assert calls.exists(repo, kind)
    return {
        "events": sorted((e.annotator, e.kind) for e in project.read("labels")),
        "votes": sorted((e.annotator, e.kind) for e in project.read("evaluations")),
        "preferences": sorted((p.prompt[0]["content"], p.annotator) for p in project.preferences),
        "files": sorted(cards),
    }


COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "export": lambda project, file: ["export", project],
    "import": lambda project, file: ["import", project, file, *COLUMNS],
    "card": lambda project, file: ["card", project],
    "verdict": lambda project, file: ["verdict", project],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_was_killed_is_finished_by_the_same_command(name, python, hub, tmp_path, chance):
    file = tmp_path / "pairs.csv"
    file.write_text(CSV)

    def run(project_id: str, number: int, moment: str) -> tuple[int, str]:
        words = COMMANDS[name](project_id, str(file))
        done = python.run(killed.__file__, str(number), moment, *words)
        return done.returncode, done.stdout + done.stderr

    def project() -> str:
        project_id = f"me/k{uuid.uuid4().hex[:10]}"
        make(project_id)
        return project_id

    whole = project()
    code, output = run(whole, 999, "before")
    assert code == 0, output
    expected, requests = state(whole), int(output.split()[-1])
    assert requests >= 1
    for _ in range(MOMENTS):
        number, moment = chance.randint(1, requests), chance.choice(["before", "after"])
        other = project()
        code, output = run(other, number, moment)
        assert code != 0, (number, moment, output)
        Project.load(other).preferences  # noqa: B018  every file can be read, whatever is there
        code, output = run(other, 999, "before")
        assert code == 0, (number, moment, output)
        assert state(other) == expected, (number, moment)
