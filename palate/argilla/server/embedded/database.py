"""Argilla's database: connections and their settings; what is prepared before the first request."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from argilla_server import database
from argilla_server.contexts import accounts
from argilla_server.models import User, UserRole
from argilla_server.settings import settings
from embedded.filters import sql
from sqlalchemy import event, make_url, text
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

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
