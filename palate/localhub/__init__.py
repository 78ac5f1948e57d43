"""The local Hub: a small server for the unmodified Hugging Face clients.

    with LocalHub(Path("hub")) as hub:
        HfApi(endpoint=hub.endpoint, token=hub.token).create_repo("me/titles")

It imports nothing else of palate; clients reach it over HTTP. `app.py` shows how a request is
answered, `server.serve` runs a Hub in this process.
"""

from palate.localhub.child import LocalHub
from palate.localhub.errors import ServeError

__all__ = ["LocalHub", "ServeError"]
