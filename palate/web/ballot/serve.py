"""Runs a Space: settings from the environment, a page at once, a clean end at SIGTERM."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from palate.core import hub
from palate.core.errors import PalateError, Supervised, Unreachable, UsageError, printable
from palate.core.paths import shipped
from palate.core.project import SETTINGS_FILE
from palate.core.rounds import question_files
from palate.web.ballot import gpu
from palate.web.ballot.app import HERE, create_app
from palate.web.ballot.render import template
from palate.web.ballot.service import Ballot
from palate.web.ballot.walls import StaticPages

CHECK_SECONDS = 2.0  # between checks for missing things; at least that between checks for changes
POLL_SECONDS = 0.2
PORT = 7860  # where the Hub expects a Space
GRACE_SECONDS = 3  # for open connections at the end
HEAD_SECONDS = 20.0  # in which the head of a request has to arrive
B = TypeVar("B", bound=Ballot)


@dataclass(frozen=True)
class Settings:
    """What a Space is configured with, by variables and secrets."""

    project: str  # PALATE_PROJECT
    secret: str  # PALATE_SECRET: the key of pseudonyms and assignments
    pause: float  # PALATE_PUBLISH_SECONDS: seconds between commits
    memory: Path | None  # PALATE_HOME/….json: who holds which pair

    @classmethod
    def read(cls, kind: str) -> "Settings":
        """Return the settings; raise UsageError naming a variable that is missing."""
        needed = [("variable", "PALATE_PROJECT"), ("secret", "PALATE_SECRET")]
        for what, name in [*needed, *([("secret", "HF_TOKEN")] if _hosted() else [])]:
            if not os.environ.get(name):
                raise UsageError(
                    f"The {what} {name} is not set. Set it in the Space's settings;"
                    " on this machine, `palate label` and `palate evaluate` set it."
                )
        home = os.environ.get("PALATE_HOME")
        if home:
            Path(home).mkdir(parents=True, exist_ok=True)
        return cls(
            memory=Path(home) / f"{kind}.hands.json" if home else None,
            project=os.environ["PALATE_PROJECT"],
            secret=os.environ["PALATE_SECRET"],
            pause=float(os.environ.get("PALATE_PUBLISH_SECONDS", "30")),
        )


def serve(kind: str, make: Callable[[Settings], B], routes: Callable[[B], Sequence[Route]]) -> None:
    """Serve the ballot that `make` returns until SIGTERM or Ctrl-C, then publish what is waiting.

    `routes` returns the routes that only this kind of Space has. When candidates, prompts or
    settings change, `make` is called again. On the Hub, a Space that lacks something says so on its
    page until it has it.
    """
    os.umask(0o077)  # everything that a Space writes is for its owner alone
    if parent := os.environ.get("PALATE_PARENT"):
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops at either and raises it again, which must not end what follows
        signal.signal(number, lambda *_: stopping.set())
    listening, changed, patient = _listen(), True, _hosted()
    gpu.report_start()
    while changed and not stopping.is_set():
        ballot = _first(lambda: make(Settings.read(kind)), listening, stopping, patient=patient)
        if ballot is None:
            return
        patient = True  # what was served before is there again once the Hub answers
        server = _server(create_app(ballot, routes(ballot), kind=kind))
        news = threading.Event()
        threading.Thread(target=ballot.warm_up, daemon=True).start()
        follower = Supervised("follower", _following(ballot, server, news))
        ballot.threads.append(follower)
        follower.start()
        if not stopping.is_set():  # it may have been told while the project was read
            server.run([listening.dup()])
        server.should_exit = True
        changed = news.is_set()
        follower.stop()
        if not ballot.close():
            waiting, why = len(ballot.publisher.waiting()), ballot.problem()
            events = f"{waiting} event{'s are' if waiting != 1 else ' is'} not on the Hub"
            print(f"{events}: {why or 'time ran out.'} {ballot.kept}", flush=True)


def _following(ballot: Ballot, server: uvicorn.Server, news: threading.Event) -> Callable[[], bool]:
    """Return a turn that takes in events that others publish, such as another Space.

    When what people are asked has changed, it sets `news` and stops the server.
    """
    known = None

    def turn() -> bool:
        nonlocal known
        if known is None:
            known = _asked(ballot)
        files = hub.hashes(ballot.project_id, "dataset")
        if SETTINGS_FILE not in files:  # an empty list is an answer, too
            raise Unreachable(f"The Hub lists no {SETTINGS_FILE} in {ballot.project_id}.")
        if question_files(files) != known:
            news.set()
            server.should_exit = True
        ballot.hear(files)
        time.sleep(max(CHECK_SECONDS, ballot.publisher.interval))
        return not server.should_exit

    return turn


def _asked(ballot: Ballot) -> dict[str, str]:
    """Return the files that the ballot was made from; none if their commit is gone."""
    try:
        return question_files(hub.hashes(ballot.project_id, "dataset", ballot.revision))
    except UsageError:  # `palate forget` removes old commits
        return {}


def _first(
    make: Callable[[], B], listening: socket.socket, stopping: threading.Event, *, patient: bool
) -> B | None:
    """Return the ballot; if `patient`, serve a page that says what is missing until it is there."""
    try:
        return make()
    except PalateError as error:
        if not patient:
            raise
        missing = error
    if stopping.is_set():
        return None
    ballots: list[B] = []

    def turn() -> bool:
        time.sleep(CHECK_SECONDS)
        if not server.should_exit:
            ballots.append(make())
            server.should_exit = True
        return False

    print(f"palate: {printable(str(missing))}", flush=True)
    retrying = Supervised("retrying", turn, longest=CHECK_SECONDS)
    server = _server(_waiting_page(lambda: retrying.problem or str(missing)))
    retrying.start()
    server.run([listening.dup()])
    retrying.stop()
    return ballots[0] if ballots else None


def _waiting_page(missing: Callable[[], str]) -> Starlette:
    def answer(request: Request) -> Response:
        problem = missing()
        if request.url.path == "/":
            return HTMLResponse(template("missing.html").render(problem=problem))
        return JSONResponse({"ready": False, "problem": problem}, 503)

    static = StaticPages(HERE / "static")
    return Starlette(routes=[Mount("/ballot", static), Route("/{path:path}", answer)])


def _listen() -> socket.socket:
    """Return the socket that visitors reach; while no server runs, they wait in its backlog."""
    own = None if _hosted() else os.environ.get("PORT")  # on the Hub, something else listens there
    port = int(own or os.environ.get("GRADIO_SERVER_PORT") or PORT)
    # loopback, except for a Space on the Hub
    host = os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if _hosted() else "127.0.0.1")
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise UsageError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None


class Impatient(H11Protocol):
    """Closes connections on which no whole head of a request arrives: they would pile up."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect()
        elif self._late:
            self._late.cancel()
            self._late = None

    def _expect(self) -> None:
        self._late = self._late or self.loop.call_later(HEAD_SECONDS, self.transport.close)


def _server(app: ASGIApp) -> uvicorn.Server:
    # a page's open connections must not delay the end
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Impatient,
            log_level="warning",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


class OtherSpace:
    """Another Space on this machine: a child that ends with this process, however it ends."""

    def __init__(self, kind: str):
        self._kind, self._url = kind, ""
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, project_id: str) -> str:
        """Return its address once it answers; PalateError says why it ended before that."""
        with self._starting:
            if self._process is None or self._process.poll() is not None:
                with tempfile.TemporaryFile() as log:
                    self._process = self._spawn(project_id, log)
                    self._wait(self._process, log)
            return self._url

    def _spawn(self, project_id: str, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        self._url = f"http://127.0.0.1:{port}"
        own = {"PALATE_PROJECT": project_id, "PORT": port, "PALATE_PARENT": str(os.getpid())}
        return subprocess.Popen(
            [sys.executable, str(shipped("spaces") / self._kind / "app.py")],
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C ends it through this process, after its last commit
        )

    def _wait(self, process: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
        while not _answers(self._url):
            if process.poll() is not None:
                log.seek(0)
                printed = log.read().decode("utf-8", "replace").strip()
                raise PalateError(printed.rpartition("palate: ")[2] or "The Space ended.")
            time.sleep(POLL_SECONDS)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/healthz", timeout=2).close()
    except urllib.error.HTTPError:
        return True  # its page says what is missing
    except OSError:
        return False
    return True


def _hosted() -> bool:
    return os.environ.get("SYSTEM") == "spaces"


def _end_with(parent: int) -> None:
    """Stop as at SIGTERM once the parent process is gone, however it ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
