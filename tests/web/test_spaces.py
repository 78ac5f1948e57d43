"""What a Space gets: what its app.py imports and no more; its front matter and its settings."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from own_imports import imports, modules

from palate.collect import importing
from palate.core import hub as calls
from palate.core import ledger
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Prompt
from palate.web.ballot.people import owner_key
from palate.web.deploy_plan import KINDS
from palate.web.serving import Kind, free_port
from palate.web.space_files import ROOMS, space_files

SPACES = Path(__file__).parents[2] / "spaces"
MODULES = modules()


def reached(kind: Kind) -> set[str]:
    """Return the modules that a Space can import, inside functions and in its child process."""
    queue = [name for name, _ in imports(SPACES / kind / "app.py", MODULES)]
    names = {""}  # palate's own __init__ imports what is asked of it, and no Space asks
    while queue:
        name = queue.pop()
        if name in names:
            continue
        names.add(name)
        parts = name.split(".")
        queue += [".".join(parts[:n]) for n in range(1, len(parts))]
        if name == "argilla.server.child":  # starts `python -m embedded`
            queue.append("argilla.server.embedded.__main__")
        queue += [n for n, _ in imports(MODULES[name], MODULES)]
    return names


def shipped(kind: Kind) -> set[str]:
    """Return the modules that a Space gets."""
    paths = {path for path in map(str, space_files(kind)) if path.startswith("palate/")}
    return {
        name
        for name, file in MODULES.items()
        if f"palate/{file.relative_to(MODULES[''].parent).as_posix()}" in paths
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_space_gets_every_module_that_it_imports(kind):
    assert reached(kind) - shipped(kind) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_space_gets_no_room_that_it_does_not_import(kind):
    needed = reached(kind)
    folders = {name.rpartition(".")[0] for name in shipped(kind)} - {""}
    unused = {f for f in folders if not any(n.startswith(f"{f}.") for n in needed)}
    assert unused == set()
    rooms = [room.replace("/", ".") for room in ROOMS[kind]]
    assert [r for r in rooms if not any(n.startswith(f"{r}.") for n in needed)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_space_gets_at_most_55_modules(kind):
    assert sum(path.endswith(".py") for path in space_files(kind)) <= 55


@pytest.mark.parametrize("kind", KINDS)
def test_a_space_ships_all_that_its_page_loads(kind):
    static = "palate/web/ballot/static/"
    files = space_files(kind)
    ours = {p: f for p, f in files.items() if p.startswith(static) and "/vendor/" not in p}
    loaded = {
        static + name
        for path, file in ours.items()
        if path.endswith((".js", ".css", ".html"))
        for name in re.findall(r"/ballot/([\w./-]+\.\w+)", file.read_text("utf-8"))
    }
    assert len(loaded) > 15
    assert loaded - set(files) == set()
    katex = f"{static}vendor/katex/"
    fonts = re.findall(r"url\(([\w./-]+\.woff2)\)", files[f"{katex}katex.min.css"].read_text())
    assert len(fonts) > 15
    assert {katex + font for font in fonts} - set(files) == set()
    for package in ("katex", "diff"):
        assert "ermission" in files[f"{static}vendor/{package}/LICENSE"].read_text()


@pytest.fixture
def project(hub, repo_id) -> Project:
    """A project with pairs to label and completions of a base and a tuned model to compare."""
    prompts = [Prompt.of(f"Prompt {i}") for i in range(12)]
    importing.start_project(repo_id, prompts, Settings(eval=0.1))
    project = Project.load(repo_id)
    rows = [Candidate.of(p.id, f"{n} {p.text}") for p in prompts for n in "ab"]
    for p in project.prompts:
        if p.split == "eval":
            rows.append(Candidate.of(p.id, "plain", model="me/base", revision="b" * 40))
            rows.append(Candidate.of(p.id, "fine", model=project.model_repo, revision="t" * 40))
    calls.commit(repo_id, "dataset", {"candidates/z.jsonl": ledger.jsonl(rows)}, "Add")
    return Project.load(repo_id)


def post(url: str, body: dict) -> dict:
    headers = {"content-type": "application/json", "x-annotator": "Ada"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "owners"), [("label", "owner"), ("evaluate", "verdict")])
def test_a_space_runs_from_its_files_alone(kind, owners, project, tmp_path):
    folder = tmp_path / "space"
    for path, content in space_files(kind).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            (folder / path).write_text(content)
        else:
            shutil.copy(content, folder / path)
    port = free_port()
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env |= {"PALATE_PROJECT": project.id, "PALATE_SECRET": "key", "PORT": str(port)}
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    with log.open("w") as out:
        command = [sys.executable, "app.py"]
        space = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=out)
    try:
        while True:
            assert space.poll() is None, log.read_text()
            with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=60):
                break
            time.sleep(0.2)
        item = post(f"{url}/api/next", {"n": 1})["items"][0]
        event = {"event_id": "an-event-id", "assignment_id": item["id"], "kind": "tie"}
        (receipt,) = post(f"{url}/api/events", {"events": [event]})["results"]
        assert receipt["state"] in ("saved", "waiting", "published")
        page = urllib.request.urlopen(f"{url}/{owners}?key={owner_key('key')}", timeout=60)
        assert project.id in page.read().decode()
        assert urllib.request.urlopen(url, timeout=60).status == 200
        space.send_signal(signal.SIGTERM)
        assert space.wait(60) == 0, log.read_text()
    finally:
        space.kill()
        space.wait()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_front_matter(kind):
    text = (SPACES / kind / "README.md").read_text("utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["sdk"] == "gradio"
    assert front["hf_oauth"] is True
    assert (SPACES / kind / front["app_file"]).exists()
    assert len(front["short_description"]) <= 60
    assert f"gradio=={front['sdk_version']}\n" in (SPACES.parent / "constraints.txt").read_text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", ["PALATE_PROJECT", "PALATE_SECRET"])
def test_a_missing_setting_is_named(kind, missing):
    settings = {"PALATE_PROJECT": "me/x", "PALATE_SECRET": "key"}
    del settings[missing]
    run = subprocess.run(
        [sys.executable, str(SPACES / kind / "app.py")],
        capture_output=True,
        text=True,
        env={**os.environ, **settings},
        timeout=60,
    )
    assert run.returncode == 2
    assert f"{missing} is not set" in run.stderr
    assert "Traceback" not in run.stderr
