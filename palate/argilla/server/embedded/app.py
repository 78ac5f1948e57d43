"""The unmodified argilla-server, with our search engine and job queue installed before it starts.

On SQLite it is one process, on PostgreSQL and Redis as many as configured.
"""

import asyncio
import os
import threading
import time

os.environ.setdefault("ARGILLA_SEARCH_ENGINE", "embedded")
os.environ.setdefault("ARGILLA_DATABASE_SQLITE_TIMEOUT", "30")
SHARED = "ARGILLA_DATABASE_URL" in os.environ

from embedded import processes

if not SHARED:
    processes.install()  # before argilla_server binds its queues

import argilla_server
import bcrypt
from argilla_server import _app, database
from argilla_server.settings import settings
from embedded import engine, patches  # noqa: F401  (the engine registers itself)
from embedded.database import MAX_CONNECTIONS, MAX_WRITES, WORKERS, pool, prepare
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

BCRYPT_ROUNDS = 4

database.async_engine = pool(MAX_CONNECTIONS)
database.AsyncSessionLocal.configure(bind=database.async_engine)

patches.install()

# Redis was checked before the start. If it is down later, a worker that replaces another must
# still start and save labels.
_app.configure_redis = lambda: None

# Every password here is random and long. A slow hash would add nothing but a third of a second for
# each new annotator, during which the server answers nobody.
_gensalt = bcrypt.gensalt
bcrypt.gensalt = lambda rounds=BCRYPT_ROUNDS, prefix=b"2b": _gensalt(rounds, prefix)


class WriteLimit:
    """Lets `limit` writes run at once, in the order of their arrival.

    SQLite has one writer: writes queue fairly here instead of polling for its lock. On PostgreSQL
    more writes at once would only slow each other down.
    """

    def __init__(self, app: ASGIApp, limit: int):
        self.app, self.slots = app, asyncio.Semaphore(limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writes = scope["type"] == "http" and scope["method"] != "GET"
        if writes and not scope["path"].endswith("/search"):
            async with self.slots:
                return await self.app(scope, receive, send)
        return await self.app(scope, receive, send)


def _unmounted(app: FastAPI) -> ASGIApp:
    """Return the app under its base URL, which the proxy removes from the path.

    A mounted app would not run Argilla's own start-up.
    """
    return app.routes[0].app if settings.base_url != "/" else app


def _end_with(parent: int) -> None:
    """Stop when the process that started this one is gone, however it ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), 15)


def main(host: str, port: int) -> None:
    import uvicorn

    parent = int(os.environ.get("EMBEDDED_PARENT", "0"))
    prepare()
    app = WriteLimit(_unmounted(argilla_server.app), MAX_WRITES)
    if SHARED:
        processes.run(app, host, port, WORKERS, parent)
        return
    if parent:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="info")
