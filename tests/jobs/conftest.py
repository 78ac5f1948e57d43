"""Projects with a tiny model, and jobs run as the user runs them: as processes."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_model
from dpo_runs import SCRIPT, record
from forking import FastPython
from once import once
from tuned_model import push_tiny

from palate.collect import importing
from palate.core import hub as client
from palate.core import ledger, splits
from palate.core.paths import shipped
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Event, Prompt, pairs_of
from palate.label import preferences
from palate.run.local import child_environment

PROMPTS = [Prompt.of(tiny_model.prompt(i)) for i in range(40)]
TEST, EVAL = 0.15, 0.25  # parts of the prompts


@pytest.fixture(scope="session")
def base_model(hub, tiny_folder) -> str:
    """A model repo with the tiny model."""
    return push_tiny(tiny_folder)


@pytest.fixture
def project(repo_id, base_model) -> Project:
    """Forty prompts, nothing else: 24 train, 6 test, 10 eval."""
    settings = replace(Settings(), base_model=base_model, test=TEST, eval=EVAL)
    return importing.start_project(repo_id, PROMPTS, settings)


@pytest.fixture(scope="session")
def label_files() -> dict[str, str]:
    """The files that add three labels for each prompt of `project`, which prefer a question."""
    assigned = splits.assign(PROMPTS, [], Settings(test=TEST, eval=EVAL))
    prompts = [p for p in assigned if p.split != "eval"]
    number = {p.id: i for i, p in enumerate(PROMPTS)}
    numbered = [(p.id, number[p.id]) for p in prompts]
    candidates = [Candidate.of(p, tiny_model.title(n, k)) for p, n in numbered for k in (0, 1)]
    candidates += [Candidate.of(p, f"{tiny_model.title(n, 2)}!") for p, n in numbered]
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
    return {
        ledger.event_file("candidates"): ledger.jsonl(candidates),
        ledger.event_file("labels"): ledger.jsonl(events),
        **preferences.preference_files(preferences.rebuild(prompts, candidates, events)),
    }


@pytest.fixture
def labelled(project, label_files) -> Project:
    """The project with labels and their preferences."""
    client.commit(project.id, "dataset", label_files, "Label")
    return Project.load(project.id)


class Jobs:
    """Runs job files as separate processes; each test has its own cache."""

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

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these words to its end, and keep what it printed."""
        return self._python.run("-u", *words, env=self.env)

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


@pytest.fixture
def reference(shared, labelled, fast_python) -> Callable[..., dict]:
    """Return a function that trains in one process with these flags and returns the record.

    That happens once in the whole run: projects and base models of all workers are alike.
    """

    def train(*flags: str, job: str = "dpo") -> dict:
        def make(folder: Path) -> None:
            repo = f"{labelled.id}-{job}-reference"
            jobs = Jobs(fast_python, folder / "cache")
            jobs(job, labelled.id, *flags, "--output", repo)
            (folder / "run.json").write_text(json.dumps(record(repo)))

        name = "-".join(word.strip("-") for word in (job, *flags))
        return json.loads((once(shared / f"reference-{name}", make) / "run.json").read_text())

    return train


class Palate:
    """The command line as a person types it, each call a process."""

    def __init__(self, python: FastPython):
        self._python = python

    def start(self, *args: str, stdin: int = subprocess.DEVNULL, **env: str) -> subprocess.Popen:
        code = (  # a shell in the background ignores SIGINT, and so would what it starts
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from palate.cli import main; main()"
        )
        return self._python.start(
            "-uc", code, *args,
            env={**child_environment(), "COLUMNS": "80", **env},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

    def __call__(self, *args: str, code: int = 0, stdin: int = subprocess.DEVNULL, **env) -> str:
        with self.start(*args, stdin=stdin, **env) as process:
            said, _ = process.communicate()
        assert process.returncode == code, said
        assert "Traceback" not in said
        return said


@pytest.fixture
def palate(fast_python) -> Palate:
    return Palate(fast_python)
