"""The unmodified argilla-server, with our search engine and job queue installed before it starts.

`python -m embedded --host ADDRESS --port N`; everything else comes from the environment. On SQLite
it is one process, on PostgreSQL and Redis as many as configured.
"""

import argparse
import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

os.environ.setdefault("ARGILLA_SEARCH_ENGINE", "embedded")
os.environ.setdefault("ARGILLA_DATABASE_SQLITE_TIMEOUT", "30")
SHARED = "ARGILLA_DATABASE_URL" in os.environ

from embedded import later, processes

if not SHARED:
    processes.install()  # before argilla_server binds its queues

with later("datasets"):  # half of the start; it only copies datasets from and to the Hub
    import argilla_server
import bcrypt
from argilla_server import _app, database
from argilla_server.contexts import datasets, distribution, webhooks
from argilla_server.database import AsyncSessionLocal
from argilla_server.models import Dataset, Record
from argilla_server.models import database as models
from argilla_server.search_engine import SearchEngine
from argilla_server.settings import settings
from argilla_server.webhooks.v1 import records, responses
from argilla_server.webhooks.v1.enums import RecordEvent
from argilla_server.webhooks.v1.event import Event
from embedded import engine  # noqa: F401  (it registers itself)
from embedded.database import MAX_CONNECTIONS, MAX_WRITES, WORKERS, pool, prepare
from fastapi import FastAPI
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload
from starlette.types import ASGIApp, Receive, Scope, Send

ACTIVITY_SECONDS = 1.0  # between two updates of a dataset's last activity
BCRYPT_ROUNDS = 4

database.async_engine = pool(MAX_CONNECTIONS)
database.AsyncSessionLocal.configure(bind=database.async_engine)

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


def patch() -> None:
    """Change Argilla 2.8.0 where it does work that has no effect here."""
    models.TypeAdapter = _adapter
    records.build_record_event = _if_wanted(records.build_record_event)
    responses.build_response_event = _if_wanted(responses.build_response_event)
    datasets._touch_dataset_last_activity_at = _now_and_then(
        datasets._touch_dataset_last_activity_at
    )
    if settings.database_is_postgresql:
        distribution.update_record_status = _update_record_status


_adapters: dict[int, TypeAdapter] = {}


def _adapter(kind: object) -> TypeAdapter:
    """Build the validator of a settings type once, not for each question of each label."""
    if id(kind) not in _adapters:
        _adapters[id(kind)] = TypeAdapter(kind)
    return _adapters[id(kind)]


class _NoEvent:
    async def notify(self, db: AsyncSession) -> list:
        return []


Build = Callable[[AsyncSession, object, object], Awaitable[Event | _NoEvent]]


def _if_wanted(build: Build) -> Build:
    """Build a webhook event only if there is a webhook, which is checked once per request."""

    async def build_if_wanted(db: AsyncSession, event: object, subject: object) -> Event | _NoEvent:
        if "webhooks" not in db.info:
            db.info["webhooks"] = bool(await webhooks.list_enabled_webhooks(db))
        return await build(db, event, subject) if db.info["webhooks"] else _NoEvent()

    return build_if_wanted


Touch = Callable[[AsyncSession, Dataset], Awaitable[None]]


def _now_and_then(touch: Touch) -> Touch:
    """Record a dataset's activity once a second: the row stays locked until the label is saved."""
    last: dict[UUID, float] = {}

    async def touch_now_and_then(db: AsyncSession, dataset: Dataset) -> None:
        now = time.monotonic()
        if now - last.get(dataset.id, 0.0) > ACTIVITY_SECONDS:
            last[dataset.id] = now
            await touch(db, dataset)

    return touch_now_and_then


async def _update_record_status(search_engine: SearchEngine, record_id: UUID) -> Record:
    """Count under a lock of the record, as exact as Argilla's serializable transaction.

    The latter fails when others count at the same time, and is retried only seconds later.
    """
    options = [selectinload(Record.dataset), selectinload(Record.responses_submitted)]
    async with AsyncSessionLocal() as db:
        # without the lock, the process that counted first could write last
        locked = select(Record.id).where(Record.id == record_id).with_for_update(key_share=True)
        await db.execute(locked)
        record = await Record.get_or_raise(db, record_id, options=options)
        await distribution._update_record_status(db, record)
        await db.commit()
        await search_engine.partial_record_update(record, status=record.status)
        await records.notify_record_event(db, RecordEvent.updated, record)
        if record.is_completed():
            await records.notify_record_event(db, RecordEvent.completed, record)
        return record


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
    patch()
    prepare()
    app = WriteLimit(_unmounted(argilla_server.app), MAX_WRITES)
    if SHARED:
        processes.run(app, host, port, WORKERS, parent)
        return
    if parent:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="info")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    main(arguments.host, arguments.port)
