"""Several server processes on PostgreSQL and Redis: their start, their passwords, their jobs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from argilla_ui import dataset_id
from living import alive
from own_services import PASSWORD, Postgres
from samples import PAIRS, ROWS, event

from palate.argilla.server import EmbeddedArgilla, ServeError, owner_of
from palate.argilla.server.settings import Services, check_workers, free_port

NOWHERE = "postgresql://palate:s3cret@127.0.0.1:9/palate"
REDIS = "redis://:s3cret@127.0.0.1:9/0"


def together(test):
    """PostgreSQL and Redis start slowly, and once."""
    return pytest.mark.slow(pytest.mark.xdist_group("services")(test))


def test_both_or_neither():
    assert Services.from_environment({}) is None
    with pytest.raises(ServeError, match=r"set ARGILLA_REDIS_URL=redis://"):
        Services.from_environment({"ARGILLA_DATABASE_URL": NOWHERE})
    with pytest.raises(ServeError, match=r"set ARGILLA_DATABASE_URL=postgresql://"):
        Services.from_environment({"ARGILLA_REDIS_URL": REDIS})


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_of_postgresql_is_accepted(scheme):
    services = Services(f"{scheme}://me:s3cret@host/db", REDIS)
    assert services.database_url == "postgresql+asyncpg://me:s3cret@host/db"
    assert "s3cret" not in repr(services)


@pytest.mark.parametrize(
    ("database", "redis", "name"),
    [
        ("sqlite:///s3cret.db", REDIS, "ARGILLA_DATABASE_URL"),
        ("postgresql://me:s3cret", REDIS, "ARGILLA_DATABASE_URL"),
        ("postgresql://me:s3cret@host:port/db", REDIS, "ARGILLA_DATABASE_URL"),
        (NOWHERE, "http://:s3cret@host", "ARGILLA_REDIS_URL"),
        (NOWHERE, "redis://", "ARGILLA_REDIS_URL"),
    ],
)
def test_a_malformed_url_is_named_and_not_shown(database, redis, name):
    with pytest.raises(ServeError, match=f"{name} is not of the form") as caught:
        Services(database, redis)
    assert "s3cret" not in str(caught.value)


def test_sqlite_is_for_one_process(tmp_path):
    check_workers(1, None)
    with pytest.raises(ServeError, match="expected 1 or more"):
        check_workers(0, None)
    run = serve(tmp_path, "--workers", "2")
    assert run.returncode == 2
    assert "--workers 2 needs PostgreSQL and Redis" in run.stderr
    assert "ARGILLA_DATABASE_URL=postgresql://" in run.stderr


def serve(root: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from palate.cli import main; main()", "argilla", "serve"]
    keep = {k: v for k, v in os.environ.items() if not k.startswith("ARGILLA_")}
    return subprocess.run(
        [*command, "--root", str(root), "--port", "0", *arguments],
        env=keep | env | {"COLUMNS": "1000"},  # so that a line is not wrapped
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@together
def test_a_service_that_does_not_answer_or_refuses_is_named_in_one_line(workers, postgres, redis):
    port = free_port("127.0.0.1", 0)
    wrong = postgres.url.replace("palate:", "palate:x")
    cases = [
        (f"postgresql://me:s3cret@127.0.0.1:{port}/db", redis.url, f"127.0.0.1:{port} does not"),
        (postgres.url, f"redis://:s3cret@127.0.0.1:{port}/0", f"127.0.0.1:{port} does not answer"),
        (wrong, redis.url, f"127.0.0.1:{postgres.port} refuses: password authentication failed"),
        (postgres.url + "s", redis.url, 'refuses: database "postgress" does not exist'),
        (postgres.url, redis.url.replace(":@", ":x@").replace("://:", "://:x"), "refuses: "),
    ]
    for database, redis_url, expected in cases:
        env = {"ARGILLA_DATABASE_URL": database, "ARGILLA_REDIS_URL": redis_url}
        run = serve(workers.root, "--workers", "2", **env)
        assert run.returncode == 2, run.stderr
        assert expected in run.stderr
        assert "Correct ARGILLA_" in run.stderr or "correct ARGILLA_" in run.stderr
        assert len(run.stderr.strip().splitlines()) == 1, run.stderr
        assert PASSWORD not in run.stderr
        assert "s3cret" not in run.stderr


@together
def test_a_database_of_another_encoding_is_refused(tmp_path, redis):
    with Postgres(encoding="SQL_ASCII") as old:
        server = EmbeddedArgilla(tmp_path, services=Services(old.url, redis.url), workers=2)
        with pytest.raises(ServeError, match=r"encoding SQL_ASCII.*createdb --encoding UTF8"):
            server.start()


@together
def test_servers_that_start_together_create_one_owner(tmp_path, redis):
    owner_of(tmp_path)
    with Postgres() as empty:
        services = Services(empty.url + "?sslmode=disable", redis.url)
        servers = [EmbeddedArgilla(tmp_path, services=services, workers=2) for _ in range(2)]
        starts = [threading.Thread(target=s.start) for s in servers]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        try:
            assert empty.query("SELECT count(*) FROM users WHERE role = 'owner'") == "1"
            for server in servers:
                assert call(server, "me")["username"] == "owner"
            stranger = EmbeddedArgilla(tmp_path / "other", services=services, workers=2)
            with pytest.raises(ServeError, match=r"another owner\.json.*other/owner\.json"):
                stranger.start()
        finally:
            for server in servers:
                server.stop()


def call(
    server: EmbeddedArgilla, path: str, body: dict | None = None, method: str | None = None
) -> dict:
    request = urllib.request.Request(
        f"{server.url}/api/v1/{path}",
        json.dumps(body).encode() if body is not None else None,
        {"X-Argilla-API-Key": server.api_key, "content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def processes(server: EmbeddedArgilla) -> list[int]:
    return [child.pid for child in psutil.Process(server.process.pid).children()]


@together
def test_passwords_are_in_no_command_line_and_no_log(workers):
    shown = (workers.root / "argilla.log").read_text()
    for pid in [workers.process.pid, *processes(workers)]:
        shown += Path(f"/proc/{pid}/cmdline").read_text()
    assert "embedded" in shown
    assert PASSWORD not in shown
    assert workers.services.database_url.split("@")[0].split(":")[-1] not in shown


@together
def test_jobs_run_in_their_own_process(workers, redis, connect):
    store = connect(workers.url, workers.api_key)
    store.open("me/jobs", question="?")
    store.add_pairs(ROWS)
    for who in ("p-1", "p-2"):
        store.save(store.annotator(who), [event(PAIRS[0], annotator=who)])
    store.save(store.annotator("p-1"), [event(PAIRS[1])])
    assert completed(workers) == 2
    want(2, workers)
    redis.stop()
    redis.start()
    want(1, workers)


def want(people: int, workers: EmbeddedArgilla) -> None:
    """Require labels of `people` per record, and wait until a job has recounted all records."""
    wanted = {"distribution": {"strategy": "overlap", "min_submitted": people}}
    call(workers, f"datasets/{dataset_id(workers, 'me/jobs')}", wanted, "PATCH")
    deadline = time.monotonic() + 90
    while completed(workers) != {1: 2, 2: 1}[people]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def completed(workers: EmbeddedArgilla) -> int:
    return call(workers, f"datasets/{dataset_id(workers, 'me/jobs')}/progress")["completed"]


@together
def test_all_processes_end_with_their_parent(tmp_path, services):
    owner_of(tmp_path)
    with Postgres() as empty:
        own = Services(empty.url, services.redis_url)
        with EmbeddedArgilla(tmp_path, services=own, workers=2) as server:
            pids = processes(server)
            assert len(pids) == 3  # two servers, and one for jobs
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            deadline = time.monotonic() + 20
            while any(map(alive, pids)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            server.start()
            assert call(server, "me")["username"] == "owner"
