"""The servers that a demo starts: the local Hub and Argilla, each on a port that is free."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

from palate import localhub
from palate.argilla import server
from palate.argilla.server import EmbeddedArgilla
from palate.core.errors import PalateError
from palate.demo.common import say
from palate.localhub import LocalHub
from palate.web.serving import is_taken

SERVE_ERRORS = (localhub.ServeError, server.ServeError)
T = TypeVar("T")


def start_hub(root: Path, servers: ExitStack) -> LocalHub:
    """Start the local Hub, with what it held last time, and point the clients at it."""
    local_hub = enter(servers, lambda port: LocalHub(root / "hub", port=port), 8123)
    os.environ |= {
        "HF_ENDPOINT": local_hub.endpoint,
        "HF_TOKEN": local_hub.token,
        "HF_HOME": str(root / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PALATE_DATA": str(root / "data"),
        "PALATE_PUBLISH_SECONDS": "1",
    }
    say("hub", f"local Hub at {local_hub.endpoint}")
    return local_hub


def start_argilla(root: Path, servers: ExitStack) -> EmbeddedArgilla:
    argilla = enter(servers, lambda port: EmbeddedArgilla(root / "argilla", port=port), 6900)
    say("argilla", f"Argilla at {argilla.url}")
    return argilla


def enter(servers: ExitStack, make: Callable[[int], AbstractContextManager[T]], port: int) -> T:
    """Start the server that `make` returns for a port, or for a free one if the port is taken.

    Raises PalateError if it cannot start.
    """
    for choice in (port, 0):
        try:
            return servers.enter_context(make(choice))
        except SERVE_ERRORS as error:
            if choice == 0 or not is_taken(port):
                raise PalateError(str(error)) from error
    raise AssertionError
