"""The demo's servers find a port; the loop itself is tested in `tests/loop`."""

from contextlib import ExitStack

import pytest

from palate.argilla.server import EmbeddedArgilla
from palate.core.errors import PalateError
from palate.demo.servers import enter
from palate.localhub import LocalHub
from palate.web.serving import free_port


@pytest.mark.parametrize("server", ["hub", "argilla"])
def test_a_server_takes_another_port_if_its_own_is_taken(server, hub, argilla, tmp_path):
    taken = {"hub": hub.port, "argilla": int(argilla.url.rsplit(":", 1)[1])}[server]
    make = {"hub": LocalHub, "argilla": EmbeddedArgilla}[server]
    with ExitStack() as servers:
        other = enter(servers, lambda port: make(tmp_path, port=port), taken)
        assert other.process.poll() is None
        url = other.endpoint if server == "hub" else other.url
        assert not url.endswith(f":{taken}")


def test_a_server_that_fails_is_not_started_twice(tmp_path):
    (tmp_path / "users.json").write_text("no JSON")
    tried = []

    def make(port: int) -> LocalHub:
        tried.append(port)
        return LocalHub(tmp_path, port=port)

    with ExitStack() as servers, pytest.raises(PalateError, match=r"users\.json"):
        enter(servers, make, free_port())
    assert len(tried) == 1
