"""Jobs: commands from clients, run as processes of this machine."""

import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from palate.localhub.accounts import User
from palate.localhub.body import Body
from palate.localhub.database import Database
from palate.localhub.errors import HubError
from palate.localhub.git import now
from palate.localhub.hardware import FLAVORS
from palate.localhub.processes import (
    Apart,
    Log,
    inherited,
    kill_left_over,
    signal_group,
    user_cache,
    uv_settings,
)

ENDED = ("COMPLETED", "ERROR", "CANCELED")
GRACE_SECONDS = 5.0  # between asking a job to end and killing it
TIMEOUT_SECONDS = 1800  # the default of huggingface.co
MAX_TIMEOUT_SECONDS = 10**8
MAX_ATTEMPTS = 10
VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Jobs:
    """The jobs of one Hub. Secrets stay in memory and are masked in logs."""

    def __init__(self, db: Database, folder: Path, apart: Apart):
        self._db, self._folder, self._apart = db, folder, apart
        self._lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(exist_ok=True)
        for row in db.all("SELECT id, pid, doc FROM job"):
            if json.loads(row["doc"])["status"]["stage"] not in ENDED:
                kill_left_over(row["pid"], f"JOB_ID={row['id']}")
                self._end(row["id"], "ERROR", "The Hub was stopped while this job ran")

    def folder(self, job: str) -> Path:
        return self._folder / job

    def log(self, job: str) -> Path:
        """Return the file with one JSON object `{"data": …, "timestamp": …}` per line of output."""
        return self.folder(job) / "log.jsonl"

    def of_namespace(self, ns: str) -> list[dict]:
        rows = self._db.all("SELECT doc FROM job WHERE ns=? ORDER BY rowid DESC", ns)
        return [_timed(json.loads(row["doc"])) for row in rows]

    def get(self, ns: str, job: str) -> dict:
        row = self._db.one("SELECT doc FROM job WHERE ns=? AND id=?", ns, job)
        if row is None:
            raise HubError(404, f"Job {job[:40]} not found")
        return _timed(json.loads(row["doc"]))

    def create(self, user: User, ns: str, spec: Body) -> tuple[dict, dict[str, str]]:
        """Record a job and create its folder; return its document and its secrets."""
        if self._apart.refusal:
            raise HubError(403, self._apart.refusal)
        job, hidden = secrets.token_hex(12), spec.mapping("secrets")
        environment = spec.mapping("environment")
        command, arguments = spec.texts("command"), spec.texts("arguments", [])
        _check_words([*command, *arguments], environment | hidden)
        timeout, attempts = _limits(spec)
        flavor = check_flavor(spec.text("flavor", "cpu-basic"))
        if not user.credit:
            raise HubError(402, "Your credit balance is insufficient to start this job")
        doc = {
            "id": job,
            "createdAt": now(),
            "startedAt": None,
            "finishedAt": None,
            "dockerImage": spec.optional_text("dockerImage"),
            "spaceId": spec.optional_text("spaceId"),
            "command": command,
            "arguments": arguments,
            "environment": environment,
            "secrets": dict.fromkeys(hidden),
            "flavor": flavor,
            "labels": spec.mapping("labels") or None,
            "status": {"stage": "SCHEDULING", "message": None},
            "owner": {"id": f"u-{ns}", "name": ns, "type": "user"},
            "initiator": {"type": "user", "id": f"u-{user.name}", "name": user.name},
            "timeoutSeconds": timeout,
            "retry": attempts - 1,
        }
        self.folder(job).mkdir()
        self._db.run("INSERT INTO job VALUES(?,?,NULL,?)", job, ns, json.dumps(doc))
        return doc, hidden

    def start(self, doc: dict, words: list[str], hidden: dict[str, str], endpoint: str) -> None:
        """Run the command in the background with the job's environment and secrets."""
        environment = {
            **inherited(),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "HF_HOME": str(self._cache(doc)),  # not the folder with the user's token
            **uv_settings(),
            "PYTHONUNBUFFERED": "1",
            "ACCELERATOR": "none",
            **doc["environment"],
            **hidden,
            "HF_ENDPOINT": endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "JOB_ID": doc["id"],
        }
        arguments = (doc, words, environment, list(hidden.values()))
        threading.Thread(target=self._run, args=arguments, daemon=True).start()

    def _cache(self, doc: dict) -> Path:
        """Return the folder of what the jobs of a namespace have downloaded."""
        folder = self._folder.parent / "cache" / doc["owner"]["name"]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _run(self, doc: dict, words: list[str], env: dict[str, str], masked: list[str]) -> None:
        job = doc["id"]
        with Log(self.log(job), masked) as log:
            timer = threading.Timer(doc["timeoutSeconds"], self._time_out, [job, doc])
            timer.daemon = True
            timer.start()
            try:
                for attempt in range(doc["retry"] + 1):
                    log.write(f"===== Job started at {now()} =====")
                    code = self._attempt(job, attempt, words, env, log)
                    if not code or self._stage(job) in ENDED:
                        break
            except OSError as e:
                missing = isinstance(e, FileNotFoundError)
                hint = f"{words[0]} is not installed on this machine, or not on the Hub's PATH"
                log.write(f"Cannot start this job: {hint if missing else e}")
                self._end(job, "ERROR", f"Cannot start: {hint if missing else e}")
                return
            finally:
                timer.cancel()
        message = f"Job failed with exit code: {code}" if code else None
        self._end(job, "ERROR" if code else "COMPLETED", message)

    def _attempt(
        self, job: str, number: int, words: list[str], env: dict[str, str], log: Log
    ) -> int:
        """Run once, on an empty disk as in a new container; return the exit code."""
        disk = self.folder(job) / f"disk-{number}"
        disk.mkdir()
        try:
            process = self._spawn(job, words, {**env, "XDG_CACHE_HOME": str(disk)}, disk)
            if process is None:  # cancelled before it started
                return 0
            reader = threading.Thread(target=log.follow, args=[process])
            reader.start()
            code = process.wait()
            signal_group(process, signal.SIGKILL)  # its children end with it
            reader.join()
            self._processes.pop(job, None)
            return code
        finally:
            shutil.rmtree(disk, ignore_errors=True)

    def _spawn(
        self, job: str, words: list[str], env: dict[str, str], disk: Path
    ) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stage(job) in ENDED:
                return None
            cache = self._cache(json.loads(self._doc(job)))
            process = self._apart.spawn(words, disk, env, kept=[cache])
            self._processes[job] = process
            started = json.loads(self._doc(job))["startedAt"] or now()
            self._change(job, startedAt=started, status={"stage": "RUNNING", "message": None})
            self._db.run("UPDATE job SET pid=? WHERE id=?", process.pid, job)
            return process

    def cancel(self, job: str, stage: str = "CANCELED", message: str | None = None) -> None:
        """End a job and all its processes; does nothing if it has ended."""
        self._end(job, stage, message)
        process = self._processes.get(job)
        if process:
            signal_group(process, signal.SIGTERM)
            timer = threading.Timer(GRACE_SECONDS, signal_group, [process, signal.SIGKILL])
            timer.daemon = True
            timer.start()

    def close(self) -> None:
        """End all jobs because the Hub stops."""
        for job, process in list(self._processes.items()):
            self._end(job, "ERROR", "The Hub was stopped while this job ran")
            signal_group(process, signal.SIGKILL)

    def _time_out(self, job: str, doc: dict) -> None:
        self.cancel(job, "ERROR", f"Job timed out after {doc['timeoutSeconds']} seconds")

    def _doc(self, job: str) -> str:
        row = self._db.one("SELECT doc FROM job WHERE id=?", job)
        assert row is not None
        return row["doc"]

    def _stage(self, job: str) -> str:
        return json.loads(self._doc(job))["status"]["stage"]

    def _end(self, job: str, stage: str, message: str | None) -> None:
        """Record how a job ended, unless that is recorded already."""
        with self._lock:
            if self._stage(job) not in ENDED:
                status = {"stage": stage, "message": message}
                self._change(job, finishedAt=now(), status=status)

    def _change(self, job: str, **fields: object) -> None:
        with self._db.transaction():
            doc = json.loads(self._doc(job)) | fields
            self._db.run("UPDATE job SET doc=? WHERE id=?", json.dumps(doc), job)


def keep_script(name: str, content: bytes) -> Path:
    """Return a file with this content; for the same content it is the same file.

    uv keeps an environment for each path, so with a path for each job every job would install one.
    """
    folder = user_cache() / "palate" / "scripts" / hashlib.sha256(content).hexdigest()[:16]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / name
    if not file.exists() or file.read_bytes() != content:  # a job may have changed it
        scratch = folder / f"{name}.{secrets.token_hex(4)}"
        scratch.write_bytes(content)
        scratch.replace(file)
    return file


def check_flavor(flavor: str) -> str:
    """Return the name of a machine; `HubError` 400 if there is none with that name."""
    if flavor not in FLAVORS:
        raise HubError(400, f"There is no flavor {flavor[:40]!r}; expected {', '.join(FLAVORS)}")
    return flavor


def _check_words(words: list[str], variables: dict[str, str]) -> None:
    for name in variables:
        if not VARIABLE.fullmatch(name):
            raise HubError(400, f"{name[:40]!r} cannot be the name of an environment variable")
    if not words or any("\0" in word for word in (*words, *variables.values())):
        raise HubError(400, "A job needs a command, without NUL characters")


def _limits(spec: Body) -> tuple[int, int]:
    """Return a job's timeout in seconds and its number of attempts."""
    timeout = spec.integer("timeoutSeconds", TIMEOUT_SECONDS)
    if not 0 < timeout < MAX_TIMEOUT_SECONDS:
        raise HubError(400, '"timeoutSeconds" must be positive')
    attempts = spec.integer("attempts", 1)
    if not 0 < attempts <= MAX_ATTEMPTS:
        raise HubError(400, f'"attempts" must be from 1 to {MAX_ATTEMPTS}')
    return timeout, attempts


def _timed(doc: dict) -> dict:
    """Add for how many seconds a job has waited and run."""

    def since(start: str, end: str | None) -> int:
        last = datetime.fromisoformat(end) if end else datetime.now(UTC)
        return max(0, round((last - datetime.fromisoformat(start)).total_seconds()))

    created, started, finished = doc["createdAt"], doc["startedAt"], doc["finishedAt"]
    durations = {
        "schedulingSecs": since(created, started) if started else None,
        "runningSecs": since(started, finished) if started else None,
        "totalSecs": since(created, finished),
    }
    return doc | {"durations": durations}
