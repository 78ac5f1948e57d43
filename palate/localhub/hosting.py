"""Running Spaces: each app is a process with a fresh folder and a clean environment.

Unlike on the Hub, an app listens on a port of this machine, which is open even to those who may not
see a private Space, and it never sleeps.
"""

import itertools
import json
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pygit2

from palate.localhub import metadata
from palate.localhub.apps import register
from palate.localhub.database import Database
from palate.localhub.environments import Environments, Failed
from palate.localhub.errors import HubError, ServeError
from palate.localhub.git import find_commit, pointer, read_text, walk
from palate.localhub.hardware import REFUSALS, ZERO
from palate.localhub.objects import LFS
from palate.localhub.ports import free_port
from palate.localhub.processes import Apart, Log, kill_left_over, signal_group
from palate.localhub.repos import Repo, Repos
from palate.localhub.space_variables import HOST, space_variables
from palate.localhub.zero import Devices, python_problem

START_SECONDS = 600.0  # in which an app has to answer; huggingface.co waits half an hour
GRACE_SECONDS = 20.0  # between asking an app to end and killing it
SESSION_MINUTES = 480  # of a sign-in, unless the card says otherwise
ALIVE = ("BUILDING", "APP_STARTING", "RUNNING", "RUNNING_BUILDING", "RUNNING_APP_STARTING")


@dataclass
class _Space:
    """The processes of a Space; each deployment has a number, and only the newest continues."""

    number: int = 0
    process: subprocess.Popen[bytes] | None = None
    disk: Path | None = None
    installers: set[subprocess.Popen[bytes]] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)


class Hosting:
    """The Spaces of one Hub, whose URL is `address`."""

    def __init__(
        self, root: Path, db: Database, repos: Repos, lfs: LFS, address: str, apart: Apart
    ):
        self._root, self._db, self._repos, self._lfs = root, db, repos, lfs
        self._folder, self._address = root / "spaces", address
        self._spaces: dict[int, _Space] = defaultdict(_Space)
        self._apart = apart
        self._environments = Environments(self._folder / "environments", apart)
        self.devices = Devices(address)
        self._numbers = itertools.count(1)
        self._closing = False
        self._folder.mkdir(exist_ok=True)

    def resume(self) -> None:
        """End what a killed Hub left running, and start the Spaces that ran when it stopped."""
        for row in self._db.all("SELECT id, settings FROM repo WHERE kind='space'"):
            settings = json.loads(row["settings"])
            kill_left_over(settings.get("pid"), f"SPACE_REPO={row['id']}")
            shutil.rmtree(self._folder / str(row["id"]) / "disk", ignore_errors=True)
            if settings.get("stage") in ALIVE:
                self.deploy(self._repos.by_id(row["id"]))

    def log(self, repo: Repo, which: str) -> Path:
        return self._folder / str(repo.id) / f"{which}.jsonl"

    def deploy(self, repo: Repo) -> None:
        """Build and start the Space from main; the running app continues until it is built."""
        space = self._spaces[repo.id]
        space.number = number = next(self._numbers)
        if self._apart.refusal:
            self._record(repo, "CONFIG_ERROR", self._apart.refusal)
            return
        self._record(repo, "RUNNING_BUILDING" if _alive(space.process) else "BUILDING")
        threading.Thread(target=self._deploy, args=(repo, space, number), daemon=True).start()

    def stop(self, repo: Repo, stage: str) -> None:
        """End the app and any build, and delete its disk."""
        space = self._spaces[repo.id]
        space.number = next(self._numbers)
        with space.lock:
            self._end(space, builds=True)
            self._record(repo, stage)

    def forget(self, repo: Repo) -> None:
        """End the app of a deleted repo."""
        space = self._spaces.pop(repo.id, _Space())
        space.number = next(self._numbers)
        with space.lock:
            self._end(space, builds=True)
        shutil.rmtree(self._folder / str(repo.id), ignore_errors=True)

    def ended(self, repo: Repo) -> bool:
        """Tell whether nothing is built or running any more, so that the log is complete."""
        settings = self._repos.by_id(repo.id).settings
        return self._closing or settings.get("stage") not in ALIVE

    def close(self) -> None:
        """End all apps because the Hub stops; they keep their stages and start again with it."""
        self._closing = True
        spaces = list(self._spaces.values())
        for space in spaces:
            if space.process:
                signal_group(space.process, SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS  # of all together
        for space in spaces:
            self._end(space, builds=True, grace=max(0.0, deadline - time.monotonic()))

    def _deploy(self, repo: Repo, space: _Space, number: int) -> None:
        (self._folder / str(repo.id)).mkdir(exist_ok=True)
        self.log(repo, "build").unlink(missing_ok=True)
        try:
            settings = self._register(repo, self._repos.by_id(repo.id).settings)
            hidden = {k: s["value"] for k, s in settings.get("secrets", {}).items()}
            with Log(self.log(repo, "build")) as log:
                sha, card, app, disk = self._checkout(repo, number, log)
                on_zero = settings.get("hardware") == ZERO["name"]
                if on_zero and (problem := python_problem(card)):
                    raise Failed("CONFIG_ERROR", problem)
                where, installers = disk / "app", space.installers
                python = self._environments.python(card, where, installers, log, zero=on_zero)
            with space.lock:
                if space.number != number:
                    return
                self._end(space)
                _is_freed(settings["port"])
                self.log(repo, "run").unlink(missing_ok=True)
                space.disk = disk
                key, lent = self.devices.open() if on_zero else ("", {})
                variables = space_variables(repo, card, settings, disk, self._address)
                environment = variables | lent | hidden
                view = {"kept": [disk], "readable": [python.parent.parent]}
                words, home = [str(python), app], disk / "app"
                space.process = self._apart.spawn(words, home, environment, **view)
                self._record(repo, "APP_STARTING", pid=space.process.pid, sha=sha)
            with Log(self.log(repo, "run"), hidden.values()) as log:
                self._watch(repo, space, number, settings["port"], log, key)
        except (Failed, ServeError, OSError) as error:  # such as a full disk, or a deleted Space
            stage = error.stage if isinstance(error, Failed) else "BUILD_ERROR"
            with space.lock:
                if space.number == number and not self._closing:
                    self._record(repo, stage, str(error))
        except HubError:  # the repo has been deleted meanwhile
            pass

    def _checkout(self, repo: Repo, number: int, log: Log) -> tuple[str, dict, str, Path]:
        """Write the files of main to a new disk; return commit, metadata, app file and disk."""
        if (head := find_commit(repo.git(), "main")) is None:
            raise Failed("NO_APP_FILE", "There are no files yet")
        card = metadata.card_data(read_text(head.tree, "README.md")) or {}
        app = str(card.get("app_file") or "app.py")
        if card.get("sdk") != "gradio":
            sdk = repr(card.get("sdk"))
            raise Failed("CONFIG_ERROR", f"This Hub runs Spaces with sdk: gradio, not {sdk}")
        disk = self._folder / str(repo.id) / "disk" / str(number)
        shutil.rmtree(disk, ignore_errors=True)
        for entry, path in walk(head.tree):
            if isinstance(entry, pygit2.Blob):
                file, link = disk / "app" / path, pointer(entry)
                file.parent.mkdir(parents=True, exist_ok=True)
                if link:
                    shutil.copyfile(self._lfs.content(repo, link.oid), file)
                else:
                    file.write_bytes(entry.data)
        if not (disk / "app" / app).is_file():
            raise Failed("NO_APP_FILE", f"The front matter names {app}, which does not exist")
        log.write(f"Checked out {head.id} of {repo.full_name}")
        return str(head.id), card, app, disk

    def _watch(
        self, repo: Repo, space: _Space, number: int, port: int, log: Log, zero: str
    ) -> None:
        """Record when the app answers; raise Failed when it ends.

        `zero` is the app's key on ZeroGPU, where an app without a GPU function is ended.
        """
        process = space.process
        assert process is not None
        reader = threading.Thread(target=log.follow, args=[process], daemon=True)
        reader.start()
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and not _answers(port):
            if time.monotonic() > deadline:
                signal_group(process, SIGKILL)
                raise Failed("RUNTIME_ERROR", f"It did not answer within {START_SECONDS:.0f} s")
            time.sleep(0.1)
        if zero and process.poll() is None and not self.devices.has_reported(zero):
            signal_group(process, SIGKILL)
            raise Failed("RUNTIME_ERROR", REFUSALS["no_gpu_function"])
        with space.lock:
            if space.number == number and process.poll() is None:
                self._record(repo, "RUNNING", pid=process.pid)
        code = process.wait()
        signal_group(process, SIGKILL)  # its children end with it
        reader.join()
        raise Failed("RUNTIME_ERROR", f"Exit code: {code}")

    def _register(self, repo: Repo, settings: dict) -> dict:
        """Give the Space a permanent port and, if its card asks for sign-in, a registered app."""
        head = find_commit(repo.git(), "main")
        card = (metadata.card_data(read_text(head.tree, "README.md")) if head else None) or {}
        port, space = settings.get("port"), self._spaces[repo.id]
        kept = port is not None and (_alive(space.process) or _is_freed(port))
        with space.lock:
            if not kept:
                port = free_port(HOST, 0)
                settings = {k: v for k, v in settings.items() if k != "oauth"}  # of the old port
            changes: dict = {"port": port}
            if card.get("hf_oauth") and "oauth" not in settings:
                seconds = 60.0 * _number(card.get("hf_oauth_expiration_minutes"), SESSION_MINUTES)
                callbacks = [f"http://{HOST}:{port}/login/callback"]
                changes["oauth"] = register(self._root, repo.full_name, callbacks, seconds)
            return self._repos.configure(repo, **changes)

    def _end(self, space: _Space, builds: bool = False, grace: float = GRACE_SECONDS) -> None:
        """End the app, first by SIGTERM, and delete its disk; with `builds` end builds too."""
        for installer in list(space.installers) if builds else ():
            signal_group(installer, SIGKILL)
        if space.process:
            signal_group(space.process, SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                space.process.wait(grace)
            signal_group(space.process, SIGKILL)
            space.process.wait()
            space.process = None
        if space.disk:
            shutil.rmtree(space.disk, ignore_errors=True)
            space.disk = None

    def _record(self, repo: Repo, stage: str, message: str | None = None, **more: object) -> None:
        self._repos.configure(repo, stage=stage, error=message, **more)


def _alive(process: subprocess.Popen[bytes] | None) -> bool:
    return process is not None and process.poll() is None


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


def _is_freed(port: int) -> bool:
    """Wait for a port, which what an ended app has started may still hold; tell if it is free."""
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline:
        with suppress(ServeError):
            return bool(free_port(HOST, port))
        time.sleep(0.05)
    return False
