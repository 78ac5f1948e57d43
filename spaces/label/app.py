"""The labelling Space: pairs of a project's candidates. Labels go to Argilla, then to the Hub.

PALATE_PROJECT names the project, HF_TOKEN writes to it, and PALATE_SECRET is the key of pseudonyms
and assignments. ARGILLA_API_URL and ARGILLA_API_KEY name an Argilla; without them, the Space starts
its own.
"""

import os
import sys
import threading
from functools import cache
from pathlib import Path

from palate.argilla.server import EmbeddedArgilla, ServeError
from palate.argilla.store import LabelStore
from palate.core.errors import PalateError, run_guarded
from palate.core.project import Project
from palate.web.ballot.people import sign_in_required
from palate.web.ballot.serve import Settings, serve
from palate.web.labelling import owner
from palate.web.labelling.ballot import LabelBallot

starting = threading.Lock()


def connect() -> LabelStore:
    with starting:  # one Argilla for all ballots, even if a second ballot asks while it starts
        return LabelStore(*argilla())


@cache
def argilla() -> tuple[str, str]:
    """Return Argilla's address and key, which may take a minute."""
    url, key = os.environ.get("ARGILLA_API_URL"), os.environ.get("ARGILLA_API_KEY")
    if url and key:
        return url, key
    home = Path(os.environ.get("PALATE_HOME", ".palate"))
    # on the Hub, owners see Argilla's pages through the Space
    base = owner.ARGILLA_PATH if sign_in_required() else "/"
    try:
        server = EmbeddedArgilla(home / "argilla", base_url=base).start()
    except ServeError as error:
        raise PalateError(str(error)) from error
    return server.url, server.api_key


def make(settings: Settings) -> LabelBallot:
    project = Project.load(settings.project)
    return LabelBallot(project, connect, settings.secret, settings.pause, settings.memory)


if __name__ == "__main__":
    sys.exit(run_guarded(lambda: serve("label", make, owner.routes)))
