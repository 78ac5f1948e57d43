"""The servers that a demo starts: the local Hub and Argilla, each on a port that is free."""

import contextlib
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

from palate.argilla.server import EmbeddedArgilla
from palate.core.errors import PalateError
from palate.demo.common import say
from palate.localhub import LocalHub
from palate.web.serving import is_taken

T = TypeVar("T")


def start_hub(root: Path, servers: ExitStack):
    """Start the Hub where it stood last time, and point the clients at it."""
    hub = enter(servers, lambda port: LocalHub(root / "hub", port=port), 8123)
    os.environ |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(root / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PALATE_DATA": str(root / "data"),
        "PALATE_PUBLISH_SECONDS": "1",
    }
    say("hub", f"a Hub of your own at {hub.endpoint}")
    return hub


def start_argilla(root: Path, servers: ExitStack):
    argilla = enter(servers, lambda port: EmbeddedArgilla(root / "argilla", port=port), 6900)
    say("argilla", f"Argilla at {argilla.url}")
    return argilla


@contextlib.contextmanager
def _ours() -> Generator[None]:
    """Make what servers say, which know nothing of palate, an error of palate's."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # the system's words, such as of a full disk
            raise
        raise PalateError(str(error)) from error


@_ours()
def enter(servers: ExitStack, make: Callable[[int], AbstractContextManager[T]], port: int) -> T:
    """Start what `make` returns for the port, or for any free one where others listen on it."""

    try:
        return servers.enter_context(make(port))
    except (OSError, PalateError):
        if not is_taken(port):
            raise
    return servers.enter_context(make(0))
