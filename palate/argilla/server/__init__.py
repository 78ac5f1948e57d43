"""The embedded Argilla: the real argilla-server in its own environment.

It is one process on SQLite, or several on PostgreSQL and Redis (`settings.Services`). Its packages
conflict with Gradio's, so a virtual environment with pinned versions is created once and cached;
the code that runs there is in `embedded/`. Clients reach it over HTTP like any other Argilla.
"""

from palate.argilla.server.child import (
    EmbeddedArgilla,
    cache_folder,
    ensure_environment,
    serve,
)
from palate.argilla.server.settings import ServeError, owner_of

__all__ = [
    "EmbeddedArgilla",
    "ServeError",
    "cache_folder",
    "ensure_environment",
    "owner_of",
    "serve",
]
