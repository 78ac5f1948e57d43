"""The project's home for its owners: the next step, instructions, settings, and jobs.

What needs all of palate, such as the price of a job, runs as a `palate` command; on the Hub, where
a Space has only what it needs, the page shows that command instead.
"""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from palate.core import hub
from palate.core.errors import PalateError, printable
from palate.core.project import GUIDELINES_FILE, SETTINGS_FILE, Project, Settings
from palate.core.rounds import offered, with_setting
from palate.core.typed import read_text
from palate.label.steps import (
    ENDED,
    JOB_LABEL,
    Step,
    cancel_job,
    following,
    hourly_price,
    job_errors,
    jobs_of,
    steps,
)
from palate.web.ballot.people import sign_in_required
from palate.web.ballot.render import markdown, written
from palate.web.ballot.serve import OtherSpace
from palate.web.labelling.ballot import LabelBallot
from palate.web.labelling.labels import Call, Refused

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

MOST_CHARACTERS = 50_000  # of guidelines
COMMAND_SECONDS = 300.0
LOG_LINES = 400  # of a job that the page shows
LOG_CHARACTERS = 2000  # of a line
JOBS = ("candidates", "train", "completions")  # that a button starts on HF Jobs
COMMANDS = ("export", "verdict", "round")  # that a button runs here
RATE = re.compile(r"\d{0,3}\.?\d{1,12}(e-?\d{1,2})?", re.ASCII)
SAFE = ("annotators", "annotators_per_pair", "repeats", "paused")  # may change at any time
MOST_JOBS = 100
VOTING = OtherSpace("evaluate")  # for all ballots here: a change of candidates makes another one


class Home:
    """What the owner's page asks about the project."""

    def __init__(self, ballot: LabelBallot):
        self._ballot, self._id = ballot, ballot.project_id
        self._loop: tuple[str, list[Step]] = "", []
        self._starting = threading.Lock()  # of jobs

    def state(self, query: Call) -> dict[str, object]:
        """Return where the loop is, the next step, and the settings that may change."""
        project = Project.load(self._id)
        loop = self._steps(project)
        coming = following(loop)
        values = asdict(project.settings)
        return {
            "steps": [{"name": s.name, "done": s.done, "facts": s.facts} for s in loop],
            "next": coming.name if coming else "round",
            "command": coming.command if coming else f"palate round {self._id}",
            "round": project.settings.round,
            "offered": len(offered(project)),
            "button": _button(coming.command if coming else f"palate round {self._id}"),
            "settings": {name: values[name] for name in SAFE},
            "names": self._ballot.names(),
        }

    def _steps(self, project: Project) -> list[Step]:
        """Return the loop at the project's revision, computed once."""
        revision, loop = self._loop
        if revision != project.revision:
            loop = steps(project)
            self._loop = project.revision, loop
        return loop

    def taken_over(self, query: Call) -> dict[str, object]:
        """Tell whether the Space asks by the settings and instructions that are on the Hub."""
        project, b = Project.load(self._id), self._ballot
        on_hub = project.settings.paused, project.settings.annotators, project.guidelines
        return {"done": on_hub == (b.paused, b.access.annotators, b.guidelines)}

    def guidelines(self, query: Call) -> dict[str, object]:
        text = _file(self._id, GUIDELINES_FILE, *hub.describe(self._id, "dataset"))
        return {"text": text, "base": _digest(text), "html": markdown(text)}

    def preview(self, query: Call) -> dict[str, object]:
        return {"html": markdown(_text(query.get("text")))}

    def write_guidelines(self, query: Call) -> dict[str, object]:
        """Commit instructions; raise Refused if another owner changed them since `base`."""
        text = _text(query.get("text"))

        def build(sha: str, paths: list[str]) -> hub.Change[None]:
            before = _file(self._id, GUIDELINES_FILE, sha, paths)
            if text == before:
                return hub.Change(None)
            if query.get("base") != _digest(before):
                raise Changed("Somebody else changed the instructions meanwhile.", before)
            if not text:
                return hub.Change(None, "Remove the guidelines", delete=[GUIDELINES_FILE])
            return hub.Change(None, "Change the guidelines", {GUIDELINES_FILE: text})

        hub.update(self._id, "dataset", build)
        return {"base": _digest(text), "html": markdown(text)}

    def write_settings(self, query: Call) -> dict[str, object]:
        """Commit settings: `before` is what the page showed, `after` what the owner wants."""
        before, after = query.get("before"), query.get("after")
        if not (isinstance(before, dict) and isinstance(after, dict) and set(after) <= set(SAFE)):
            raise Refused(f"expected before and after, with settings of {', '.join(SAFE)}")

        def build(sha: str, paths: list[str]) -> hub.Change[None]:
            text = _file(self._id, SETTINGS_FILE, sha, paths)
            now = {name: _plain(value) for name, value in asdict(Settings.parse(text)).items()}
            changed = text
            for name, value in after.items():
                if now[name] != before.get(name):
                    raise Changed(f"Somebody else changed {name} meanwhile.", str(now[name]))
                changed = with_setting(changed, name, value) if value != now[name] else changed
            files = {SETTINGS_FILE: changed} if changed != text else {}
            return hub.Change(None, f"Change {', '.join(after)}", files)

        hub.update(self._id, "dataset", build)
        return {}

    def jobs(self, query: Call) -> dict[str, object]:
        """Return the project's jobs on HF Jobs, newest first."""
        return {"rows": self._jobs(), "starts": list(JOBS) if has_commands() else []}

    def _jobs(self) -> list[dict[str, object]]:
        jobs = jobs_of(self._id)[:MOST_JOBS]
        with job_errors(self._id):
            hardware = hub.retry(hub.api().list_jobs_hardware) if jobs else []
        prices = {info.name: hourly_price(info) for info in hardware}
        return [_row(job, prices) for job in jobs]

    def job(self, query: Call) -> dict[str, object]:
        """Return one job with the end of its log."""
        row = self._one(query)
        with job_errors(self._id):
            lines = hub.api().fetch_job_logs(
                job_id=str(row["id"]), namespace=self._id.partition("/")[0], tail=LOG_LINES
            )
            log = [line.rstrip("\r\n").rpartition("\r")[2][:LOG_CHARACTERS] for line in lines]
        return row | {"log": [written(printable(line)) for line in log[-LOG_LINES:]]}

    def cancel(self, query: Call) -> dict[str, object]:
        row = self._one(query)
        if not row["ended"]:
            cancel_job(self._id, str(row["id"]))
        return {}

    def _one(self, query: Call) -> dict[str, object]:
        """Return the job of this project that the query names."""
        for row in self._jobs():
            if row["id"] == query.get("id"):
                return row
        raise Refused("This project has no such job.", 404)

    def plan(self, query: Call) -> dict[str, object]:
        """Return what a job would run on, how long it would take and what it would cost."""
        return {"text": palate(*_job(query, self._id), "--on", "hf", "--dry-run")}

    def start(self, query: Call) -> dict[str, object]:
        """Start a job, unless one of its kind runs: a second click would cost as much again."""
        name, *words = _job(query, self._id)
        with self._starting:
            if any(row["job"] == name and not row["ended"] for row in self._jobs()):
                raise Refused("This job runs already. Look at it in the list below.", 409)
            return {"text": palate(name, *words, "--on", "hf", "--yes", "--detach")}

    def vote(self, query: Call) -> dict[str, object]:
        """Return the addresses of the voting page and of the verdict; here, start what serves them.

        On the Hub, the evaluate Space serves them, and the link to the verdict is on its page.
        """
        if sign_in_required():
            space = f"{self._id}-evaluate"
            if not hub.exists(space, "space"):
                raise Refused(f"There is no evaluate Space yet. Run: palate deploy {self._id}", 404)
            return {"url": f"{hub.endpoint()}/spaces/{space}"}
        try:
            url = VOTING.start(self._id)
        except PalateError as error:  # of a project without completions, say: later is no better
            raise Refused(str(error)) from None
        return {"url": url, "verdict": f"{url}/verdict?key={self._ballot.owner_key()}"}

    def run(self, query: Call) -> dict[str, object]:
        name = query.get("command")
        if name not in COMMANDS:
            raise Refused(f"expected a command of {', '.join(COMMANDS)}")
        return {"text": palate(str(name), self._id)}


class Changed(Refused):
    """Another owner was faster; `now` is what they wrote."""

    def __init__(self, reason: str, now: str):
        super().__init__(reason, 409)
        self.now = now


def has_commands() -> bool:
    """Tell whether all of palate is here, and not only what a Space gets."""
    return importlib.util.find_spec("palate.cli") is not None


def palate(*words: str) -> str:
    """Run a `palate` command and return what it prints; raise PalateError if it fails."""
    if not has_commands():
        raise PalateError(f"Run this where palate is installed: palate {' '.join(words)}")
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "palate", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=COMMAND_SECONDS, check=False,
            env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PalateError(f"palate {words[0]} takes longer than {COMMAND_SECONDS:.0f} s.") from None
    text = "\n".join(printable(line) for line in ended.stdout.strip().splitlines())
    if ended.returncode:
        raise PalateError(text.rpartition("palate: ")[2] or f"palate {words[0]} failed.")
    return text


def _button(command: str) -> dict[str, str]:
    """Return what a click on the next step does: open a page, plan a job, or run a command."""
    name = command.split(" ")[1] if command else ""
    if name == "label":
        return {"does": "open", "what": "/"}
    if name == "evaluate":
        return {"does": "vote"}
    if name in JOBS and has_commands() and command.count(" ") == 2:
        return {"does": "plan", "what": name}
    if name in COMMANDS and has_commands():
        return {"does": "run", "what": name}
    return {}


def _job(query: Call, project_id: str) -> tuple[str, ...]:
    """Return the words of a job's command; a training may have a learning rate."""
    name, rate = query.get("job"), query.get("rate") or None
    if name not in JOBS:
        raise Refused(f"expected a job of {', '.join(JOBS)}")
    if rate is None or name != "train":
        return str(name), project_id
    if not RATE.fullmatch(str(rate)) or not 0 < float(str(rate)) < 1:
        raise Refused("Expected a learning rate between 0 and 1, such as 0.00002 or 2e-5.")
    return str(name), project_id, "--learning-rate", str(rate)


def _file(project_id: str, path: str, sha: str, paths: list[str]) -> str:
    if path not in paths:
        return ""
    (file,) = hub.fetch(project_id, "dataset", sha, [path])
    return read_text(file, f"{project_id}/{path}")


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
        raise Refused(f"expected text of at most {MOST_CHARACTERS:,} characters")
    return value.replace("\r\n", "\n").replace("\0", "")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _row(job: "JobInfo", prices: Mapping[str, float]) -> dict[str, object]:
    seconds = (job.durations.running_secs if job.durations else None) or 0
    price = prices.get(str(job.flavor))
    return {
        "id": job.id,
        "job": (job.labels or {}).get(JOB_LABEL, "job"),
        "stage": job.status.stage,
        "ended": job.status.stage in ENDED,
        "message": written(printable(job.status.message or "")),
        "created": job.created_at.isoformat() if job.created_at else "",
        "machine": str(job.flavor),
        "seconds": seconds,
        "dollars": None if price is None else round(price * seconds / 3600, 4),
    }
