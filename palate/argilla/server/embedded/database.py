"""Argilla's database: connections, what is prepared before the first request, filters as SQL.

`condition` and `order_column` are the filters and sort orders of a search over its tables.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from alembic import command
from alembic.config import Config
from argilla_server import database
from argilla_server.contexts import accounts
from argilla_server.enums import ResponseStatusFilter
from argilla_server.errors.future import UnprocessableEntityError
from argilla_server.models import Dataset, Question, Record, Response, Suggestion, User, UserRole
from argilla_server.search_engine.base import (
    AndFilter,
    Filter,
    FilterScope,
    MetadataFilterScope,
    RangeFilter,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
)
from argilla_server.settings import settings
from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    event,
    exists,
    false,
    func,
    make_url,
    not_,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

if settings.database_is_sqlite:
    from embedded import sqlite as sql
else:
    from embedded import postgres as sql

WORKERS = int(os.environ.get("EMBEDDED_WORKERS", "1"))
# SQLite: the default of 15 is too small for a busy class of annotators.
# PostgreSQL: each connection is a process there, which learns Argilla's types and statements.
MAX_CONNECTIONS = 64 if settings.database_is_sqlite else 8
MAX_WRITES = 1 if settings.database_is_sqlite else 4
SEARCH_CONNECTIONS = 4 if settings.database_is_sqlite else 2
MAX_IDLE = 8
WAIT_SECONDS = 60  # for a free connection
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "cache_size=-16000", "temp_store=MEMORY")
LOCK = 0x70616C617465  # an advisory lock that nothing else uses


def pool(size: int) -> AsyncEngine:
    """Return a pool of at most `size` connections to Argilla's database."""
    if settings.database_is_sqlite:
        return create_async_engine(
            settings.database_url,
            pool_size=min(MAX_IDLE, size),
            max_overflow=max(0, size - MAX_IDLE),
            pool_timeout=WAIT_SECONDS,
            **settings.database_engine_args,
        )
    url = make_url(settings.database_url)
    # asyncpg has its own name for libpq's sslmode
    ssl = {"ssl": url.query["sslmode"]} if "sslmode" in url.query else {}
    return create_async_engine(
        url.difference_update_query(["sslmode", "channel_binding"]),
        pool_size=size,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        pool_pre_ping=True,  # a restart of PostgreSQL fails only the requests under way
        pool_use_lifo=True,
        connect_args=ssl,
    )


@event.listens_for(Engine, "connect")
def _set_pragmas(connection: sqlite3.Connection, _: object) -> None:
    if settings.database_is_sqlite:
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def prepare() -> None:
    with _exclusive():
        _migrate()
        asyncio.run(_fill())


@contextmanager
def _exclusive() -> Generator[None]:
    """Hold back other servers that start on the same PostgreSQL; nobody shares SQLite's folder."""
    if settings.database_is_sqlite:
        yield
        return
    with database.sync_engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield
    database.sync_engine.dispose()


def _migrate() -> None:
    url = database.database_url_sync().replace("%", "%%")  # alembic interpolates like configparser
    database.database_url_sync = lambda: url
    command.upgrade(Config(database.ALEMBIC_CONFIG_FILE), "head")
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False  # alembic's config disables every logger it does not name


async def _fill() -> None:
    """Create the search tables and the owner, unless they exist."""
    async with database.async_engine.begin() as connection:
        for statement in sql.PREPARE:
            await connection.exec_driver_sql(statement)
    name = os.environ["OWNER_USERNAME"]
    async with database.AsyncSessionLocal() as db:
        if await accounts.get_user_by_username(db, name) is None:
            await User.create(
                db,
                first_name="Owner",
                username=name,
                role=UserRole.owner,
                api_key=os.environ["OWNER_API_KEY"],
                password_hash=accounts.hash_password(os.environ["OWNER_PASSWORD"]),
            )
    await database.async_engine.dispose()


def condition(dataset: Dataset, f: Filter) -> ColumnElement[bool]:
    """Return the condition that a record passes a filter."""
    if isinstance(f, AndFilter):
        return and_(true(), *[condition(dataset, x) for x in f.filters])
    s = f.scope
    if isinstance(s, RecordFilterScope):
        col = getattr(Record, s.property)
        if isinstance(f, RangeFilter):
            conv = _as_date if s.property in ("inserted_at", "updated_at") else (lambda v: v)
            return and_(*_range(col, f, conv))
        return col.in_(f.values)
    if isinstance(s, MetadataFilterScope):
        return sql.holds(Record.metadata_, [s.metadata_property], f)
    if isinstance(s, SuggestionFilterScope):
        col = getattr(Suggestion, s.property)
        test = sql.holds(col, [], f) if s.property in ("value", "score") else col.in_(f.values)
        return exists(_suggestion(dataset, s.question, 1).where(test))
    if isinstance(s, ResponseFilterScope):
        return _responses_condition(s, f)
    raise UnprocessableEntityError(f"Cannot process filter {f}")


def _responses_condition(s: ResponseFilterScope, f: Filter) -> ColumnElement[bool]:
    responses = _responses_of(s.user)
    if s.question:
        test = sql.holds(Response.values, [s.question, "value"], f)
        return exists(select(1).select_from(Response).where(*responses, test))
    values = [str(v) for v in f.values]
    alternatives = []
    if ResponseStatusFilter.pending in values:
        alternatives.append(not_(exists(select(1).select_from(Response).where(*responses))))
    rest = [v for v in values if v != ResponseStatusFilter.pending]
    if rest:
        some = select(1).select_from(Response).where(*responses, Response.status.in_(rest))
        alternatives.append(exists(some))
    return or_(false(), *alternatives)


def order_column(dataset: Dataset, s: FilterScope) -> ColumnElement:
    """Return what to sort records by."""
    if isinstance(s, RecordFilterScope):
        return getattr(Record, s.property)
    if isinstance(s, MetadataFilterScope):
        return sql.first(Record.metadata_, [s.metadata_property])
    if isinstance(s, SuggestionFilterScope):
        col = getattr(Suggestion, s.property)
        col = sql.first(col, []) if s.property in ("value", "score") else col
        return _suggestion(dataset, s.question, col).limit(1).scalar_subquery()
    if s.question:
        col = sql.mean(Response.values, [s.question, "value"])
    else:
        col = func.min(Response.status)
    return select(col).where(*_responses_of(s.user)).scalar_subquery()


def _range(
    col: ColumnElement, bounds: RangeFilter, conv: Callable[[object], object] = lambda v: v
) -> Iterator[ColumnElement[bool]]:
    if bounds.ge is not None:
        yield col >= conv(bounds.ge)
    if bounds.le is not None:
        yield col <= conv(bounds.le)


def _as_date(value: str | float) -> datetime:
    """Return the time as Argilla's tables store it: UTC without a time zone."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime.fromtimestamp(value, UTC).replace(tzinfo=None)


def _suggestion(dataset: Dataset, question: str, what: ColumnElement | int) -> Select:
    """Select `what` from a record's suggestion for the question."""
    return (
        select(what)
        .select_from(Suggestion)
        .join(Question, Question.id == Suggestion.question_id)
        .where(
            Suggestion.record_id == Record.id,
            Question.dataset_id == dataset.id,
            Question.name == question,
        )
    )


def _responses_of(user: User | None) -> list[ColumnElement[bool]]:
    """Return the conditions that select a record's responses, of one user if given."""
    return [Response.record_id == Record.id, *([Response.user_id == user.id] if user else [])]
