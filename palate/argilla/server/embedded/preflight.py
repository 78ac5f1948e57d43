"""Check PostgreSQL and Redis, whose URLs come from environment variables.

Exits with 0, or with 2 and one line that says why one of them cannot be used. It never prints a
password.
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import redis
from psycopg2.extensions import cursor
from sqlalchemy import make_url

TIMEOUT_SECONDS = 5
UNUSABLE = 2  # the exit code


def database_problem(database_url: str) -> str | None:
    url = make_url(database_url)
    where = f"PostgreSQL at {url.host or 'localhost'}:{url.port or 5432}"
    try:
        connection = psycopg2.connect(
            host=url.host, port=url.port or 5432, user=url.username, password=url.password,
            dbname=url.database, connect_timeout=TIMEOUT_SECONDS, **url.query,
        )  # fmt: skip
    except psycopg2.Error as error:
        _, refused, reason = str(error).partition("FATAL:")
        if refused:
            reason = reason.splitlines()[0].strip()
            return f"{where} refuses: {reason}. Correct ARGILLA_DATABASE_URL."
        return f"{where} does not answer. Start it, or correct ARGILLA_DATABASE_URL."
    try:
        with connection.cursor() as db:
            return _content_problem(where, db)
    finally:
        connection.close()


def _content_problem(where: str, db: cursor) -> str | None:
    db.execute("SHOW server_encoding")
    if (encoding := db.fetchone()[0]) != "UTF8":
        return (
            f"{where}: the database has the encoding {encoding}. Create one for all languages:"
            " createdb --encoding UTF8 --template template0 NAME"
        )
    db.execute("SELECT to_regclass('users')")
    if db.fetchone()[0] is None:
        return None  # it is empty
    db.execute("SELECT api_key FROM users WHERE username = %s", [os.environ["OWNER_USERNAME"]])
    owner = db.fetchone()
    if owner and owner[0] != os.environ["OWNER_API_KEY"]:
        file = Path(os.environ["ARGILLA_HOME_PATH"]) / "owner.json"
        return (
            f"{where}: its owner was created by a server with another owner.json. Copy that file"
            f" to {file}."
        )
    return None


def redis_problem(redis_url: str) -> str | None:
    parts = urlsplit(redis_url)
    where = f"Redis at {parts.hostname or 'localhost'}:{parts.port or 6379}"
    timeouts = {"socket_connect_timeout": TIMEOUT_SECONDS, "socket_timeout": TIMEOUT_SECONDS}
    try:
        redis.from_url(redis_url, **timeouts).ping()
    except (redis.AuthenticationError, redis.ResponseError) as error:
        return f"{where} refuses: {error}. Correct ARGILLA_REDIS_URL."
    except redis.RedisError:
        return f"{where} does not answer. Start it, or correct ARGILLA_REDIS_URL."
    return None


problem = database_problem(os.environ["ARGILLA_DATABASE_URL"]) or redis_problem(
    os.environ["ARGILLA_REDIS_URL"]
)
if problem:
    print(problem, file=sys.stderr)
    sys.exit(UNUSABLE)
