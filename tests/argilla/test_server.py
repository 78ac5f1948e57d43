"""The embedded server: its start, its keys, its end."""

import os
import signal
import socket
import stat

import pytest
from samples import PAIRS, ROWS, event

from palate.argilla.server import EmbeddedArgilla, ServeError, owner_of


def test_a_killed_server_keeps_its_owner_and_every_acknowledged_event(tmp_path, connect):
    events = [event(p) for p in PAIRS]
    server = EmbeddedArgilla(tmp_path / "argilla").start()
    try:
        store = connect(server.url, server.api_key)
        store.open("me/kept", question="?")
        store.add_pairs(ROWS)
        store.save(store.annotator("p-1", "Ada"), events)
        before = (server.url, server.api_key)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        server.start()
        assert (server.url, server.api_key) == before
        again = connect(server.url, server.api_key)
        again.open("me/kept", question="?")
        assert {e.event_id for e in again.events()} == {e.event_id for e in events}
        written = [p for p in (tmp_path / "argilla").rglob("*") if not p.is_symlink()]
        assert any(p.suffix == ".db" for p in written)
        assert [p for p in written if p.stat().st_mode & 0o077] == []
    finally:
        server.stop()
    assert server.process.returncode is not None


def test_the_owner_is_created_once_and_readable_by_us_only(tmp_path):
    owner = owner_of(tmp_path)
    assert owner_of(tmp_path) == owner
    assert stat.S_IMODE((tmp_path / "owner.json").stat().st_mode) == 0o600
    assert len({owner["password"], owner["api_key"], owner["auth_secret_key"]}) == 3


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} is already in use.*--port"):
            EmbeddedArgilla(tmp_path, port=port).start()
