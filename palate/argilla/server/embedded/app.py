"""The unmodified argilla-server, with our search engine and job queue put in before it starts.

SQLite is for one process; with PostgreSQL and Redis there are as many as wanted.
"""

import asyncio
import os
import threading
import time

os.environ.setdefault("ARGILLA_SEARCH_ENGINE", "embedded")
os.environ.setdefault("ARGILLA_DATABASE_SQLITE_TIMEOUT", "30")
SHARED = "ARGILLA_DATABASE_URL" in os.environ

from embedded import jobs

if not SHARED:
    jobs.install()  # before argilla_server binds its queues

import argilla_server
import bcrypt
from argilla_server import _app, database
from argilla_server.settings import settings
from embedded import (
    engine,  # noqa: F401  (registers itself)
    quicker,
)
from embedded.pools import AT_ONCE, PLACES, WORKERS, pool
from embedded.preparing import prepare

database.async_engine = pool(PLACES)
database.AsyncSessionLocal.configure(bind=database.async_engine)

quicker.install()

# Redis was asked before the start; while it is away, a worker that takes the place of another
# saves labels all the same.
_app.configure_redis = lambda: None

# Every password here is drawn at random and long. Slow hashes would add nothing but a third of a
# second for each new annotator, in which the server answers nobody.
_gensalt = bcrypt.gensalt
bcrypt.gensalt = lambda rounds=4, prefix=b"2b": _gensalt(rounds, prefix)


class InTurn:
    """So many writes at once and no more; who came first is first.

    SQLite has one writer: they queue fairly here instead of polling for its lock. With PostgreSQL
    those that wait would only slow down those that are being answered.
    """

    def __init__(self, app, at_once: int):
        self.app, self.turn = app, asyncio.Semaphore(at_once)

    async def __call__(self, scope, receive, send):
        writes = scope["type"] == "http" and scope["method"] != "GET"
        if writes and not scope["path"].endswith("/search"):
            async with self.turn:
                return await self.app(scope, receive, send)
        return await self.app(scope, receive, send)


def _unmounted(app):
    """Return the app under its base URL: whoever proxies it takes that off the path.

    Mounted, Argilla's own start would not be run.
    """
    return app.routes[0].app if settings.base_url != "/" else app


def _end_with(parent: int):
    """Stop when the process that started us is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), 15)


def main(host: str, port: int) -> None:
    import uvicorn

    parent = int(os.environ.get("EMBEDDED_PARENT", "0"))
    prepare()
    app = InTurn(_unmounted(argilla_server.app), AT_ONCE)
    if SHARED:
        from embedded import crew

        crew.run(app, host, port, WORKERS, parent)
        return
    if parent:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="info")
