"""Serving a Hub in this process."""

import json
import os
import shlex
import signal
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from palate.localhub.accounts import read_users
from palate.localhub.app import LOOPBACK, App, Hub
from palate.localhub.ports import free_port


class _Server(uvicorn.Server):
    """Says when it answers, and ends streams that would keep it from stopping."""

    def __init__(self, config: uvicorn.Config, hub: Hub, welcome: str):
        super().__init__(config)
        self._hub, self._welcome = hub, welcome

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._welcome, flush=True)

    def handle_exit(self, sig, frame) -> None:
        """Let the Spaces end first, which publish here what waits; told again, end at once."""
        if self._hub.stopping:
            super().handle_exit(sig, frame)
            return
        self._hub.stopping = True
        threading.Thread(target=self._end, args=(sig, frame), daemon=True).start()

    def _end(self, sig, frame) -> None:
        self._hub.hosting.close()
        super().handle_exit(sig, frame)


def run(root: Path, *, host: str, port: int, lifeline: bool = False) -> None:
    """Serve until SIGINT or SIGTERM, or with `lifeline` until standard input is closed.

    Raises `OSError` if the port or the folder is in use, `ValueError` for a wrong users.json.
    """
    os.umask(0o077)  # everything under the root is its owner's alone
    root = root.absolute()
    port = free_port(host, port)
    hub = Hub(root, host, port)
    if host not in LOOPBACK:
        print(
            f"warning: this Hub can be reached from the network ({host}), unencrypted", flush=True
        )
    if lifeline:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    config = uvicorn.Config(
        App(hub),
        host=host,
        port=port,
        log_level="warning",
        http="h11",
        ws="none",
        server_header=False,
        date_header=False,  # `App` sets it
        timeout_graceful_shutdown=2,
    )
    _Server(config, hub, _welcome(root, host, port)).run()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _welcome(root: Path, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    first, users = next(iter(read_users(root / "users.json"))), root / "users.json"
    get = f'import json; print(json.load(open({json.dumps(str(users))}))["{first}"]["token"])'
    return (
        f"The local Hub answers at http://{name}:{port}\n"
        f"Repos lie in {root}, users and tokens in {users}\n"
        f"To use it from a shell, as {first}:\n"
        f"  export HF_ENDPOINT=http://{name}:{port} HF_HUB_DISABLE_XET=1\n"
        f"  export HF_TOKEN=$(python3 -c {shlex.quote(get)})\n"
        "Ctrl-C stops it."
    )
