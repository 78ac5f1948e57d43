"""What runs before the first request: Argilla's migrations, the search tables, the owner."""

import asyncio
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from argilla_server import database
from argilla_server.contexts import accounts
from argilla_server.models import User, UserRole
from argilla_server.settings import settings
from embedded.filters import sql
from sqlalchemy import text

LOCK = 0x70616C617465  # an advisory lock that nothing else uses


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
