"""Tell in one line why PostgreSQL or Redis cannot be used; never shows a password.

Ends with code 1 then, and silently with 0 where everything is well. Everything comes in the
environment.
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import redis
from sqlalchemy import make_url

PATIENCE = 5  # seconds


def trouble_with_database(url: str) -> str | None:
    url = make_url(url)
    where = f"PostgreSQL at {url.host or 'localhost'}:{url.port or 5432}"
    try:
        connection = psycopg2.connect(
            host=url.host, port=url.port or 5432, user=url.username, password=url.password,
            dbname=url.database, connect_timeout=PATIENCE, **url.query,
        )  # fmt: skip
    except psycopg2.Error as error:
        _, refused, why = str(error).partition("FATAL:")
        if refused:
            return f"{where} refuses: {why.splitlines()[0].strip()}. Correct ARGILLA_DATABASE_URL."
        return f"{where} does not answer. Start it, or correct ARGILLA_DATABASE_URL."
    try:
        with connection.cursor() as cursor:
            return _trouble_inside(where, cursor)
    finally:
        connection.close()


def _trouble_inside(where: str, cursor) -> str | None:
    cursor.execute("SHOW server_encoding")
    if (encoding := cursor.fetchone()[0]) != "UTF8":
        return (
            f"{where}: the database has the encoding {encoding}. Make one that takes all"
            " languages: createdb --encoding UTF8 --template template0 NAME"
        )
    cursor.execute("SELECT to_regclass('users')")
    if cursor.fetchone()[0] is None:
        return None  # nothing in there yet
    cursor.execute("SELECT api_key FROM users WHERE username = %s", [os.environ["OWNER_USERNAME"]])
    owner = cursor.fetchone()
    if owner and owner[0] != os.environ["OWNER_API_KEY"]:
        file = Path(os.environ["ARGILLA_HOME_PATH"]) / "owner.json"
        return (
            f"{where}: its owner was made by a server with another owner.json. Put a copy of that"
            f" file at {file}."
        )
    return None


def trouble_with_redis(url: str) -> str | None:
    parts = urlsplit(url)
    where = f"Redis at {parts.hostname or 'localhost'}:{parts.port or 6379}"
    try:
        redis.from_url(url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE).ping()
    except (redis.AuthenticationError, redis.ResponseError) as error:
        return f"{where} refuses: {error}. Correct ARGILLA_REDIS_URL."
    except redis.RedisError:
        return f"{where} does not answer. Start it, or correct ARGILLA_REDIS_URL."
    return None


problem = trouble_with_database(os.environ["ARGILLA_DATABASE_URL"]) or trouble_with_redis(
    os.environ["ARGILLA_REDIS_URL"]
)
if problem:
    sys.exit(problem)
