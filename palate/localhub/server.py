"""Running a Hub in this process."""

import json
import os
import shlex
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType

import uvicorn

from palate.localhub.accounts import login_url
from palate.localhub.app import App
from palate.localhub.hub import Hub
from palate.localhub.ports import LOOPBACK_HOSTS, address, free_port

SHUTDOWN_SECONDS = 2  # for requests that are being answered


class _Server(uvicorn.Server):
    """Prints `welcome` once it answers, and ends streams that would keep it from stopping."""

    def __init__(self, config: uvicorn.Config, hub: Hub, welcome: str):
        super().__init__(config)
        self._hub, self._welcome = hub, welcome

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._welcome, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the Spaces first, which still publish to this Hub; on a second signal end at once."""
        if self._hub.stopping:
            super().handle_exit(sig, frame)
            return
        self._hub.stopping = True
        threading.Thread(target=self._end, args=(sig, frame), daemon=True).start()

    def _end(self, sig: int, frame: FrameType | None) -> None:
        self._hub.hosting.close()
        super().handle_exit(sig, frame)


def serve(root: Path, *, host: str, port: int, lifeline: bool = False) -> None:
    """Serve until SIGINT or SIGTERM, or with `lifeline` until standard input closes.

    Raises ServeError if the port or the folder is in use or users.json is wrong.
    """
    os.umask(0o077)  # everything under the root is readable by its owner only
    root = root.absolute()
    port = free_port(host, port)
    hub = Hub(root, host, port)
    if host not in LOOPBACK_HOSTS:
        print(f"warning: the network can reach this Hub ({host}), unencrypted", flush=True)
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
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    # a child's output goes to a log, which is no place for a link that signs in
    _Server(config, hub, _welcome(hub, sign_in=not lifeline)).run()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _welcome(hub: Hub, *, sign_in: bool) -> str:
    endpoint, users = address(hub.host, hub.port), hub.root / "users.json"
    user = next(iter(hub.accounts.users()))
    get = f'import json; print(json.load(open({json.dumps(str(users))}))["{user}"]["token"])'
    lines = [
        f"The local Hub is at {endpoint}",
        f"Repos are in {hub.root}, users and tokens in {users}",
    ]
    if sign_in:
        link = login_url(endpoint, hub.root / "key", user)
        lines += [f"To sign in to its pages as {user} (once, within ten minutes):", f"  {link}"]
    lines += [
        f"To use it from a shell as {user}:",
        f"  export HF_ENDPOINT={endpoint} HF_HUB_DISABLE_XET=1",
        f"  export HF_TOKEN=$(python3 -c {shlex.quote(get)})",
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)
