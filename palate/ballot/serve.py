"""Runs a Space: settings from the environment, the page at once, a clean end at SIGTERM."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from palate.ballot.app import create_app
from palate.ballot.service import Ballot
from palate.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """What a Space is told by variables and secrets."""

    project: str  # PALATE_PROJECT
    secret: str  # PALATE_SECRET: the key of pseudonyms and ballots
    pause: float  # PALATE_PUBLISH_SECONDS between commits
    memory: Path | None  # PALATE_HOME/….json: who has which pair in hand
    port: int  # PORT
    host: str  # loopback, but for a Space on the Hub

    @classmethod
    def read(cls, kind: str) -> "Settings":
        """Return the settings, or raise UsageError naming the variable that is missing."""
        for name in ("PALATE_PROJECT", "PALATE_SECRET"):
            if not os.environ.get(name):
                raise UsageError(
                    f"The variable {name} is not set. Set it in the Space's settings;"
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
            port=int(os.environ.get("PORT", "7860")),
            host="0.0.0.0" if os.environ.get("SYSTEM") == "spaces" else "127.0.0.1",
        )


def serve(settings: Settings, make: Callable[[], Ballot], kind: str) -> None:
    """Serve the ballot until SIGTERM or Ctrl-C; then publish what waits."""
    import uvicorn

    if parent := os.environ.get("PALATE_PARENT"):
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    ballot = make()
    app = create_app(ballot, kind=kind)
    threading.Thread(target=ballot.warm_up, daemon=True).start()
    # uvicorn ends at either signal; a page's open connections do not hold it up
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=3,
    )
    if not ballot.close():
        print(f"{len(ballot.publisher.waiting())} events are not on the Hub yet:", ballot.problem())


def _end_with(parent: int) -> None:
    """Stop as at SIGTERM when the process that started us is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
