"""Projects with a tiny model, and jobs run as the user runs them: as processes."""

import importlib.util
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dpo_runs import SCRIPT
from forking import FastPython

from palate.collect import importing
from palate.core import hub as client
from palate.core import ledger
from palate.core.paths import shipped
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Event, Prompt, pairs_of
from palate.label import preferences
from palate.run.local import child_environment


@pytest.fixture(scope="session")
def tiny():
    spec = importlib.util.spec_from_file_location(
        "tiny_model", Path(__file__).with_name("tiny_model.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def base_model(hub, tiny, tmp_path_factory) -> str:
    """A model repo with the tiny model."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.make(folder)
    repo = f"me/tiny{uuid.uuid4().hex[:8]}"
    client.create(repo, "model")
    with warnings.catch_warnings():
        # huggingface_hub's own upload of a large file; a job's process is not as strict
        warnings.filterwarnings("ignore", "Use 'content=<...>' to upload", DeprecationWarning)
        client.commit(repo, "model", {f.name: f for f in folder.iterdir()}, "A tiny model")
    return repo


@pytest.fixture
def project(repo_id, tiny, base_model) -> Project:
    """Forty prompts, nothing else: 24 train, 6 test, 10 eval."""
    prompts = [Prompt.of(tiny.prompt(i)) for i in range(40)]
    settings = replace(Settings(), base_model=base_model, test=0.15, eval=0.25)
    return importing.start_project(repo_id, prompts, settings)


@pytest.fixture
def labelled(project, tiny) -> Project:
    """The project with three labels a prompt that prefer a question, and their preferences."""
    prompts = [p for p in project.prompts if p.split != "eval"]
    number = {Prompt.of(tiny.prompt(i)).id: i for i in range(40)}
    candidates = [Candidate.of(p.id, tiny.title(number[p.id], k)) for p in prompts for k in (0, 1)]
    candidates += [Candidate.of(p.id, f"{tiny.title(number[p.id], 2)}!") for p in prompts]
    text = {c.id: c.text for c in candidates}
    events = [
        Event(
            event_id=pair.id,
            kind="label",
            pair_id=pair.id,
            prompt_id=pair.prompt_id,
            left=pair.a,
            right=pair.b,
            chosen=max(pair.a, pair.b, key=lambda c: (text[c].endswith("?"), text[c])),
            strength=3,
            annotator="p-1",
            milliseconds=900,
            time="2026-01-02T03:04:05.678Z",  # the same rows in the same order, in every run
            round=1,
            via="ballot",
        )
        for pair in pairs_of(candidates)
    ]
    files = {
        ledger.event_file("candidates"): ledger.jsonl(candidates),
        ledger.event_file("labels"): ledger.jsonl(events),
        **preferences.preference_files(preferences.rebuild(prompts, candidates, events)),
    }
    client.commit(project.id, "dataset", files, "Label")
    return Project.load(project.id)


@pytest.fixture(scope="session")
def fast_python(hub) -> Iterator[FastPython]:
    """A Python whose scripts start with PyTorch imported, and know this run's Hub."""
    python = FastPython(Path(tempfile.mkdtemp(dir=hub.root.parent)), child_environment())
    yield python
    python.stop()


class Jobs:
    """Runs job files, each a process of its own; each test has a cache of its own."""

    def __init__(self, python: FastPython, cache: Path):
        self._python = python
        self.env = {**child_environment(), "PALATE_CACHE": str(cache), "COLUMNS": "200"}

    def start(self, name: str, *argv: str) -> subprocess.Popen:
        return self.python(str(shipped("jobs") / f"{name}.py"), *argv)

    def python(self, *words: str) -> subprocess.Popen:
        """Start Python with these words."""
        return self._python.start(
            "-u", *words, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words: str) -> subprocess.CompletedProcess:
        """Run Python with these words to its end."""
        with self.python(*words) as process:
            out, err = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def __call__(self, name: str, *argv: str, code: int = 0, cold: bool = False) -> str:
        """Run it to its end, `cold` with a Python that starts from nothing; return its output."""
        file = str(shipped("jobs") / f"{name}.py")
        if cold:
            words = [sys.executable, file, *argv]
            done = subprocess.run(words, env=self.env, capture_output=True, text=True)
        else:
            done = self.run(file, *argv)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def jobs(fast_python, tmp_path) -> Jobs:
    return Jobs(fast_python, tmp_path / "cache")


@pytest.fixture
def changed(tmp_path, jobs) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs a training job after a change to what it imports."""

    def run(change: str, *argv: str, job: str = "dpo") -> subprocess.CompletedProcess:
        file: Path = tmp_path / "job.py"
        file.write_text(SCRIPT.format(change=change, job=str(shipped("jobs") / f"{job}.py")))
        return jobs.run(str(file), *argv)

    return run
