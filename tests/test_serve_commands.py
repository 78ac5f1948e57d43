"""`palate hub serve` and `palate argilla serve`: user errors exit with 2, bugs with a traceback."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import palate

from palate.commands.serving import argilla_serve, hub_serve
from palate.core.errors import UsageError
from palate.localhub import LocalHub


@pytest.fixture(autouse=True)
def own_settings(monkeypatch) -> Iterator[None]:
    """Undo what a server does to this process, and hide the services of this machine."""
    for name in ("ARGILLA_DATABASE_URL", "ARGILLA_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    mask = os.umask(0o077)
    yield
    os.umask(mask)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        yield s.getsockname()[1]


@pytest.fixture
def file(tmp_path) -> Path:
    file = tmp_path / "file"
    file.touch()
    return file


@pytest.mark.parametrize(("serve", "folder"), [(hub_serve, "Hub"), (argilla_serve, "Argilla")])
def test_an_impossible_address_or_folder_is_a_usage_error(serve, folder, taken, file):
    root = file.parent / "root"
    for arguments, message in (
        ({"port": taken}, f"port {taken} is already in use"),
        ({"port": 70_000}, "port 70000 does not exist"),
        ({"port": 0, "host": "no-such-host.invalid"}, "cannot listen on no-such-host.invalid"),
        ({"port": 0, "host": "é" * 70}, "not a host name"),
        ({"port": 0, "root": file}, f"cannot use {file} as (the )?{folder}'s folder"),
    ):
        with pytest.raises(UsageError, match=message):
            serve(**{"root": root, **arguments})


def test_a_hub_that_is_in_use_or_has_malformed_users_is_a_usage_error(tmp_path):
    with LocalHub(tmp_path), pytest.raises(UsageError, match="in use by another local Hub"):
        hub_serve(tmp_path, port=0)
    (tmp_path / "users.json").write_text("[]")
    with pytest.raises(UsageError, match=r"users\.json: no user"):
        hub_serve(tmp_path, port=0)


@pytest.mark.parametrize(
    ("workers", "environment", "message"),
    [
        (0, {}, "--workers 0: expected 1 or more"),
        (2, {}, "--workers 2 needs PostgreSQL and Redis"),
        (1, {"ARGILLA_REDIS_URL": "redis://h/0"}, "set ARGILLA_DATABASE_URL"),
        (
            1,
            {"ARGILLA_REDIS_URL": "http://h", "ARGILLA_DATABASE_URL": "postgresql://h/db"},
            "ARGILLA_REDIS_URL is not of the form redis://",
        ),
    ],
)
def test_impossible_workers_and_services_are_usage_errors(
    tmp_path, monkeypatch, workers, environment, message
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        argilla_serve(tmp_path, port=0, workers=workers)


@pytest.mark.parametrize("serve", [hub_serve, argilla_serve])
def test_a_value_error_from_a_bug_is_not_a_usage_error(serve: Callable[..., None]):
    """No command line can contain a NUL character, so only a bug can pass one."""
    with pytest.raises(ValueError, match="null byte"):
        serve(Path("a\0b"), port=0)


def test_the_help_says_why_a_hub_on_the_network_may_run_nothing():
    text = " ".join(palate("hub", "serve", "--help").stdout.split())
    assert "without user namespaces the Hub therefore refuses to run any" in text
    assert "a user of the network would be you" in text
