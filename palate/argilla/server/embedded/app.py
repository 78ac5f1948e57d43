"""The unmodified argilla-server, with our search engine and job queue put in before it starts."""

import asyncio
import os
import threading
import time

os.environ.setdefault("ARGILLA_SEARCH_ENGINE", "embedded")
os.environ.setdefault("ARGILLA_DATABASE_SQLITE_TIMEOUT", "30")

from embedded import jobs

jobs.install()  # before argilla_server binds its queues

from sqlalchemy import event, text
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine

PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "cache_size=-16000", "temp_store=MEMORY")
POOL = 64  # the default pool of 15 is smaller than a busy class of annotators


@event.listens_for(Engine, "connect")
def _set_pragmas(connection, _):
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


import argilla_server
import bcrypt
from argilla_server import database
from argilla_server.settings import settings
from embedded import engine

database.async_engine = create_async_engine(
    settings.database_url,
    pool_size=8,
    max_overflow=POOL - 8,
    pool_timeout=60,
    **settings.database_engine_args,
)
database.AsyncSessionLocal.configure(bind=database.async_engine)


# Every password here is drawn at random and long. Slow hashes would add nothing but a third of a
# second for each new annotator, in which the server answers nobody.
_gensalt = bcrypt.gensalt
bcrypt.gensalt = lambda rounds=4, prefix=b"2b": _gensalt(rounds, prefix)


class SerialWrites:
    """SQLite has one writer: they queue fairly here instead of polling for its lock."""

    def __init__(self, app):
        self.app, self.lock = app, asyncio.Lock()

    async def __call__(self, scope, receive, send):
        writes = scope["type"] == "http" and scope["method"] != "GET"
        if writes and not scope["path"].endswith("/search"):
            async with self.lock:
                return await self.app(scope, receive, send)
        return await self.app(scope, receive, send)


def _migrate():
    from alembic import command
    from alembic.config import Config

    command.upgrade(Config(database.ALEMBIC_CONFIG_FILE), "head")


async def _prepare():
    from argilla_server.contexts import accounts
    from argilla_server.models import User, UserRole

    async with database.async_engine.begin() as connection:
        for statement in engine.FTS_DDL + engine.FTS_BACKFILL:
            await connection.execute(text(statement.replace(":", "\\:")))
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


def _end_with(parent: int):
    """Stop when the process that started us is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), 15)


def main(host: str, port: int) -> None:
    import uvicorn

    if parent := os.environ.get("EMBEDDED_PARENT"):
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    _migrate()
    asyncio.run(_prepare())
    app = SerialWrites(argilla_server.app)
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="info")
