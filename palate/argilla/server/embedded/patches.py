"""Patches of Argilla 2.8.0 that skip work which has no effect here."""

import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from argilla_server.contexts import datasets, distribution, webhooks
from argilla_server.database import AsyncSessionLocal
from argilla_server.models import Dataset, Record
from argilla_server.models import database as models
from argilla_server.search_engine import SearchEngine
from argilla_server.settings import settings
from argilla_server.webhooks.v1 import records, responses
from argilla_server.webhooks.v1.enums import RecordEvent
from argilla_server.webhooks.v1.event import Event
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

ACTIVITY_SECONDS = 1.0  # between two updates of a dataset's last activity


def install() -> None:
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
