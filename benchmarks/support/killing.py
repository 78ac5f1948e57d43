"""Commands that `kill -9` ends at random moments, and then run again.

What a project looks like after the second run is compared with one whose command ran in peace.
"""

import json
import random
import re
import subprocess
import sys
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from forking import SUPPORT, FastPython
from run_facts import RUN

if TYPE_CHECKING:
    from palate.core.project import Project
    from palate.core.schema import Candidate, Event
    from palate.localhub import LocalHub

ADA = "p-0123456789"
ROWS = "".join(f"idea {i},x{i},y{i},{'ab'[i % 2]}\n" for i in range(10))
COLUMNS = ("--prompt", "idea", "--a", "a", "--b", "b", "--choice", "win")
WORDS: dict[str, Callable[[str, Path], list[str]]] = {
    "export": lambda project, file: ["export", project],
    "import": lambda project, file: ["import", project, str(file), *COLUMNS],
    "deploy": lambda project, file: ["deploy", project],
    "verdict": lambda project, file: ["verdict", project],
    "card": lambda project, file: ["card", project],
    "forget": lambda project, file: ["forget", project, ADA, "--yes"],
}
KILLED = str(SUPPORT / "killed.py")
NEVER = "1000000"  # no command sends so many requests


def killed_at_moments(
    name: str, moments: int, python: FastPython, hub: "LocalHub", root: Path, seed: int = 0
) -> dict[str, object]:
    """Kill the command at so many moments; return how often something was wrong afterwards.

    Half of the moments are just before or after one of its requests that change something, the
    others at any time while it runs.
    """
    chance, counts, problems = random.Random(seed), Counter[str](), []
    (file := root / "pairs.csv").write_text("idea,a,b,win\n" + ROWS)
    began = time.monotonic()
    whole = _project()
    started = time.monotonic()
    code, output = _run(python, name, whole, file, NEVER, "before")
    seconds = time.monotonic() - started
    assert code == 0, output
    requests, expected = int(output.split()[-1]), _state(whole, hub)
    for number in range(moments):
        other = _project()
        if number % 2:
            after = chance.uniform(0.02, seconds)
            moment = f"after {after:.2f} s"
            code, output = _run(python, name, other, file, NEVER, "before", after)
        else:
            request, side = str(chance.randint(1, requests)), chance.choice(["before", "after"])
            moment = f"{side} request {request}"
            code, output = _run(python, name, other, file, request, side)
        counts["killed"] += code != 0
        counts["half_made"] += _is_half_made(other)
        code, output = _run(python, name, other, file, NEVER, "before")
        if code or (state := _state(other, hub)) != expected:
            counts["unfinished"] += 1
            problems.append({moment: output if code else _differences(state, expected)})
        _tidy(name, other)
    _tidy(name, whole)
    return {
        "scenario": name, "seconds": round(time.monotonic() - began, 1), "moments": moments,
        "killed": counts["killed"], "half_made": counts["half_made"],
        "unfinished": counts["unfinished"], "problems": problems,
    }  # fmt: skip


def _run(
    python: FastPython, name: str, project: str, file: Path, request: str, side: str,
    seconds: float | None = None,
) -> tuple[int, str]:  # fmt: skip
    words = WORDS[name](project, file)
    log = file.with_suffix(".log")
    with log.open("w") as out, python.start(KILLED, request, side, *words, stdout=out,
                                            stderr=out) as process:  # fmt: skip
        if seconds is not None:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        code = process.wait()
    return code, log.read_text()


def _project() -> str:
    """Make a project with a model and its verdict, and with labels and votes of two people."""
    from palate.collect import importing
    from palate.collect.importing import Imported
    from palate.core import hub, ledger
    from palate.core.project import Project, Settings
    from palate.core.schema import Candidate, Prompt

    project_id = f"me/k{uuid.uuid4().hex[:10]}"
    prompts = [Prompt.of(f"Prompt {i}") for i in range(12)]
    importing.start_project(project_id, prompts, Settings(eval=0.25))
    project = Project.load(project_id)
    hub.create(project.model_repo, "model")
    facts = json.dumps(RUN | {"project": project_id, "model": project.model_repo})
    revision = hub.commit(project.model_repo, "model", {"run.json": facts}, "Train")
    writers = [("me/base", "b" * 40), (project.model_repo, revision)]
    pairs = [
        [Candidate.of(p.id, f"{name} {p.text}", model=name, revision=sha) for name, sha in writers]
        for p in project.prompts
    ]
    importing.add(project_id, Imported([], [c for pair in pairs for c in pair], []), "Add")
    blind = {p.id for p in project.prompts if p.split == "eval"}
    events = [_judgement(n, *pair, project_id) for n, pair in enumerate(pairs)]
    labels = [e for e in events if e.prompt_id not in blind]
    votes = [e for e in events if e.prompt_id in blind]
    files = {"labels/1.jsonl": ledger.jsonl(labels), "evaluations/1.jsonl": ledger.jsonl(votes)}
    hub.commit(project_id, "dataset", files, "Label and vote")
    return project_id


def _judgement(n: int, a: "Candidate", b: "Candidate", project_id: str) -> "Event":
    from palate.core.schema import Event, Pair

    who = (ADA, "p-bo")[n % 2]
    return Event(
        f"event-{n}", "label", Pair.of(a, b).id, a.prompt_id, a.id, b.id, a.id, 3, who, 900,
        f"2026-01-01T00:00:{n:02}.000Z", 1, "ballot", comment=_note(project_id, who),
        sequence=n + 1,
    )  # fmt: skip


def _note(project_id: str, who: str) -> str:
    return f"a note by {who} on {project_id}"


def _is_half_made(project_id: str) -> bool:
    """Tell whether a file of the project cannot be read, or a card lacks what it shows."""
    from palate.core import hub
    from palate.core.errors import PalateError
    from palate.core.project import Project

    try:
        project = Project.load(project_id)
        for config in ("prompts", "candidates", "labels", "evaluations", "preferences"):
            project.read(config)
        for repo, kind in _repos(project):
            sha, paths = hub.describe(repo, kind)
            cards = [path for path in paths if path in ("README.md", "verdict.json", "run.json")]
            for path, file in zip(cards, hub.fetch(repo, kind, sha, cards), strict=True):
                text = file.read_text("utf-8")
                if path.endswith(".json"):
                    json.loads(text)
                elif not set(re.findall(r"\]\((plots/[^)]+)\)", text)) <= set(paths):
                    return True
            if kind == "space" and "app.py" in paths and "palate/__init__.py" not in paths:
                return True
    except (PalateError, ValueError) as error:
        print(f"{project_id}: {error}", file=sys.stderr)
        return True
    return False


def _repos(project: "Project") -> Iterable[tuple[str, str]]:
    from palate.core import hub
    from palate.web.deploy_plan import KINDS, space_of

    yield project.id, "dataset"
    yield project.model_repo, "model"
    for kind in KINDS:
        if hub.exists(space := space_of(project.id, kind), "space"):
            yield space, "space"


def _state(project_id: str, server: "LocalHub") -> dict[str, object]:
    """Return what the command has made, without ids, times and names that differ by project."""
    from palate.core import hub
    from palate.core.project import Project

    project, api = Project.load(project_id), hub.api()
    files, settings = {}, {}
    for repo, kind in _repos(project):
        name = repo.removeprefix(project_id)
        paths = hub.describe(repo, kind)[1]
        files[name] = sorted(re.sub(r"\d{4}-\d\d-\d\dT.*|s/[0-9a-f]{12}", "…", p) for p in paths)
        if kind == "space":
            secrets = api.get_space_secrets(repo)
            settings[name] = (*sorted(api.get_space_variables(repo)), *sorted(secrets))
            settings[name] += (api.get_space_runtime(repo).stage,)
    note = _note(project_id, ADA).encode()
    return {
        "events": sorted((e.annotator, e.kind) for e in project.read("labels")),
        "votes": sorted((e.annotator, e.kind) for e in project.read("evaluations")),
        "preferences": sorted((p.prompt[0]["content"], p.annotator) for p in project.preferences),
        "people": (len(project.people.forgotten), len(project.people.erased)),
        "files": files,
        "settings": settings,
        "in history": any(note in content for content in _stored(server)),
    }


def _stored(server: "LocalHub") -> Iterable[bytes]:
    """Yield what git holds in the Hub's repos."""
    for file in (server.root / "git").glob("*/objects/??/*"):
        yield zlib.decompress(file.read_bytes())


def _differences(state: dict[str, object], expected: dict[str, object]) -> dict[str, object]:
    return {k: (state[k], expected[k]) for k in expected if state[k] != expected[k]}


def _tidy(name: str, project_id: str) -> None:
    """Remove the Spaces, which would run on."""
    from palate.core.project import Project
    from palate.web import deploy

    if name == "deploy":
        deploy.delete(Project.load(project_id))
