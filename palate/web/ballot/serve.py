"""Runs a Space: settings from the environment, the page at once, a clean end at SIGTERM."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.project import asked
from palate.web.ballot.app import create_app
from palate.web.ballot.owner import template
from palate.web.ballot.service import Ballot

LOOK = 2.0  # seconds at least between looks for what was missing or has changed


@dataclass(frozen=True)
class Settings:
    """What a Space is told by variables and secrets."""

    project: str  # PALATE_PROJECT
    secret: str  # PALATE_SECRET: the key of pseudonyms and ballots
    pause: float  # PALATE_PUBLISH_SECONDS between commits
    memory: Path | None  # PALATE_HOME/….json: who has which pair in hand

    @classmethod
    def read(cls, kind: str) -> "Settings":
        """Return the settings, or raise UsageError naming the variable that is missing."""
        needed = [("variable", "PALATE_PROJECT"), ("secret", "PALATE_SECRET")]
        for what, name in [*needed, *([("secret", "HF_TOKEN")] if _hosted() else [])]:
            if not os.environ.get(name):
                raise UsageError(
                    f"The {what} {name} is not set. Set it in the Space's settings;"
                    " on this machine `palate label` and `palate evaluate` do."
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


def serve(kind: str, make: Callable[[Settings], Ballot]) -> None:
    """Serve the ballot until SIGTERM or Ctrl-C; then publish what waits.

    When candidates, prompts or settings have changed, it starts anew with them. On the Hub a Space
    that lacks something says so on its page, and goes on once it is there.
    """
    if parent := os.environ.get("PALATE_PARENT"):
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn ends at either and then raises it anew, which must not end what comes after
        signal.signal(number, lambda *_: told.set())
    listening, changed = _listen(), True
    while changed and not told.is_set():
        ballot = _first(lambda: make(Settings.read(kind)), listening, told)
        if ballot is None:
            return
        server = _server(create_app(ballot, kind=kind))
        news = threading.Event()
        for work in (ballot.warm_up, partial(_look, ballot, server, news)):
            threading.Thread(target=work, daemon=True).start()
        if not told.is_set():  # as early as while the project was read
            server.run([listening.dup()])
        server.should_exit = True
        changed = news.is_set()
        if not ballot.close():
            waiting, why = len(ballot.publisher.waiting()), ballot.problem()
            print(f"{waiting} events are not on the Hub yet:", why, flush=True)


def _look(ballot: Ballot, server: Any, news: threading.Event) -> None:
    """Take in what was said by another way, such as another Space of the project.

    Stop the server when there is something else to ask, so that it starts anew with that.
    """
    known = None
    while not server.should_exit:
        try:
            if known is None:
                known = asked(hub.hashes(ballot.project_id, "dataset", ballot.revision))
            files = hub.hashes(ballot.project_id, "dataset")
            if asked(files) != known:
                news.set()
                server.should_exit = True
            ballot.hear(files)
        except (PalateError, OSError):  # the Hub is away for a while
            pass
        time.sleep(max(LOOK, ballot.publisher.interval))


def _first(
    make: Callable[[], Ballot], listening: socket.socket, told: threading.Event
) -> Ballot | None:
    """Return the ballot; on the Hub serve a page with what is missing until there is one."""
    try:
        return make()
    except PalateError as error:
        if not _hosted():
            raise
        missing = error
    if told.is_set():
        return None
    found: list[Ballot] = []

    def look() -> None:
        nonlocal missing
        while not server.should_exit:
            time.sleep(LOOK)
            try:
                found.append(make())
                server.should_exit = True
            except PalateError as error:
                missing = error

    print(f"palate: {missing}", flush=True)
    server = _server(_waiting_page(lambda: missing))
    threading.Thread(target=look, daemon=True).start()
    server.run([listening.dup()])
    return found[0] if found else None


def _waiting_page(missing: Callable[[], PalateError]) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    def answer(request: Request) -> Response:
        problem = str(missing())
        if request.url.path == "/":
            return HTMLResponse(template("missing.html").render(problem=problem))
        return JSONResponse({"ready": False, "problem": problem}, 503)

    static = StaticFiles(directory=Path(__file__).parent / "static")
    return Starlette(routes=[Mount("/ballot", static), Route("/{path:path}", answer)])


def _listen() -> socket.socket:
    """Return the socket that visitors reach; between two servers they wait there."""
    port = int(os.environ.get("PORT") or os.environ.get("GRADIO_SERVER_PORT") or "7860")
    # loopback, but for a Space on the Hub
    host = os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if _hosted() else "127.0.0.1")
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise UsageError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None


def _server(app: Any) -> Any:
    import uvicorn

    # a page's open connections do not hold the end up
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3))


def _hosted() -> bool:
    return os.environ.get("SYSTEM") == "spaces"


def _end_with(parent: int) -> None:
    """Stop as at SIGTERM when the process that started us is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
