"""The labelling Space: pairs of a project's candidates; labels to Argilla, and on to the Hub.

PALATE_PROJECT names the project, HF_TOKEN writes to it, PALATE_SECRET keys pseudonyms and ballots.
ARGILLA_API_URL and ARGILLA_API_KEY name an Argilla; without them one starts beside the page.
"""

import os
import sys
import threading
from functools import cache
from pathlib import Path

from palate.argilla.store import LabelStore
from palate.core.errors import PalateError, run_guarded
from palate.core.project import Project
from palate.web.ballot import signin
from palate.web.ballot.argilla_pages import BASE
from palate.web.ballot.labelling import LabelBallot
from palate.web.ballot.serve import Settings, serve

starting = threading.Lock()


def connect() -> LabelStore:
    with starting:  # one Argilla, however often the page starts anew, also while it is made
        return LabelStore(*argilla())


@cache
def argilla() -> tuple[str, str]:
    """Return the address and the key of Argilla, which may take a minute."""
    url, key = os.environ.get("ARGILLA_API_URL"), os.environ.get("ARGILLA_API_KEY")
    if url and key:
        return url, key
    from palate.argilla.server import EmbeddedArgilla, ServeError

    home = Path(os.environ.get("PALATE_HOME", ".palate"))
    base = BASE if signin.required() else "/"  # on the Hub owners see its pages through the Space
    try:
        server = EmbeddedArgilla(home / "argilla", base_url=base).start()
    except ServeError as error:
        raise PalateError(str(error)) from error
    return server.url, server.api_key


def make(settings: Settings) -> LabelBallot:
    project = Project.load(settings.project)
    return LabelBallot(project, connect, settings.secret, settings.pause, settings.memory)


if __name__ == "__main__":
    sys.exit(run_guarded(lambda: serve("label", make)))
