"""What Argilla 2.8.0 does for every label though nothing comes of it, left out."""

import time

from argilla_server.contexts import datasets, distribution, webhooks
from argilla_server.database import AsyncSessionLocal
from argilla_server.models import Record
from argilla_server.models import database as models
from argilla_server.settings import settings
from argilla_server.webhooks.v1 import records, responses
from argilla_server.webhooks.v1.enums import RecordEvent
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import selectinload


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


def _adapter(kind) -> TypeAdapter:
    """Build the checker of a kind of settings once, rather than for each question of each label."""
    if id(kind) not in _adapters:
        _adapters[id(kind)] = TypeAdapter(kind)
    return _adapters[id(kind)]


class _Nothing:
    async def notify(self, db) -> list:
        return []


def _if_wanted(build):
    """Gather what a webhook would tell only where there is a webhook; asked once in a request."""

    async def built(db, event, subject):
        if "webhooks" not in db.info:
            db.info["webhooks"] = bool(await webhooks.list_enabled_webhooks(db))
        return await build(db, event, subject) if db.info["webhooks"] else _Nothing()

    return built


def _now_and_then(touch):
    """Note a dataset's activity once a second: the row stays locked until its label is saved."""
    last: dict = {}

    async def touched(db, dataset):
        now = time.monotonic()
        if now - last.get(dataset.id, 0.0) > 1:
            last[dataset.id] = now
            await touch(db, dataset)

    return touched


async def _update_record_status(search_engine, record_id) -> Record:
    """Count under a lock of the record, as exact as Argilla's serializable transaction.

    That one fails where others count at the same time, and is tried again after seconds.
    """
    options = [selectinload(Record.dataset), selectinload(Record.responses_submitted)]
    async with AsyncSessionLocal() as db:
        # without the lock, who counted first could write last
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
