"""The owner of an embedded Argilla."""

import json
import os
import secrets
from pathlib import Path

from palate.argilla.server.errors import ServeError

OWNER = "owner"


def owner_of(root: Path) -> dict[str, str]:
    """Return the owner's name, password and key and the server's secret, created on first use.

    They are in `owner.json` (mode 600) and never change, so sign-ins survive a restart. Raises
    ServeError if the folder cannot be used.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ServeError(f"cannot use {root} as Argilla's folder: {e.strerror}") from None
    file = root / "owner.json"
    if not file.exists():
        owner = {
            "username": OWNER,
            "password": secrets.token_urlsafe(18),
            "api_key": secrets.token_urlsafe(32),
            "auth_secret_key": secrets.token_hex(32),
        }
        scratch = root / f"owner.{os.getpid()}.tmp"
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump(owner, out, indent=2)
        scratch.replace(file)
    return json.loads(file.read_text())
