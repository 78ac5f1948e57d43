"""Database connections: how many, with which settings, and what happens when one is lost."""

import os
import sqlite3

from argilla_server.settings import settings
from sqlalchemy import event, make_url
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
