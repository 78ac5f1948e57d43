"""Database connections: how many, to where, and what happens when one is gone."""

import os

from argilla_server.settings import settings
from sqlalchemy import event, make_url
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

WORKERS = int(os.environ.get("EMBEDDED_WORKERS", "1"))
# SQLite: the default pool of 15 is smaller than a busy class of annotators.
# PostgreSQL: each connection is a process there, and learns Argilla's types and statements anew.
PLACES = 64 if settings.database_is_sqlite else 8
AT_ONCE = 1 if settings.database_is_sqlite else 4
READS = 4 if settings.database_is_sqlite else 2
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "cache_size=-16000", "temp_store=MEMORY")


def pool(places: int) -> AsyncEngine:
    """Return a pool of at most so many connections to Argilla's database."""
    if settings.database_is_sqlite:
        return create_async_engine(
            settings.database_url,
            pool_size=min(8, places),
            max_overflow=max(0, places - 8),
            pool_timeout=60,
            **settings.database_engine_args,
        )
    url = make_url(settings.database_url)
    # asyncpg has a name of its own for what libpq calls sslmode
    ssl = {"ssl": url.query["sslmode"]} if "sslmode" in url.query else {}
    return create_async_engine(
        url.difference_update_query(["sslmode", "channel_binding"]),
        pool_size=places,
        max_overflow=0,
        pool_timeout=60,
        pool_pre_ping=True,  # a restarted PostgreSQL costs nobody an error but who was waiting
        pool_use_lifo=True,
        connect_args=ssl,
    )


@event.listens_for(Engine, "connect")
def _set_pragmas(connection, _):
    if settings.database_is_sqlite:
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
