"""The apps that may offer "Sign in with Hugging Face", kept in `apps.json`."""

import fcntl
import json
import os
import secrets
from pathlib import Path

from palate.localhub.accounts import create_private


def register(root: Path, name: str, redirect_uris: list[str], seconds: float) -> tuple[str, str]:
    """Register an app with the Hub in `root`; return its client id and secret.

    A session lasts `seconds`, which a Space sets as `hf_oauth_expiration_minutes`.
    """
    client_id, secret = secrets.token_hex(16), secrets.token_urlsafe(32)
    with os.fdopen(os.open(root / "apps.lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        apps = registered(root)
        apps[client_id] = {
            "name": name, "secret": secret, "redirect_uris": redirect_uris, "seconds": seconds
        }  # fmt: skip
        scratch = root / f"apps.{secrets.token_hex(4)}.new"
        create_private(scratch, json.dumps(apps, indent=2))
        scratch.replace(root / "apps.json")
    return client_id, secret


def registered(root: Path) -> dict[str, dict]:
    """Return the registered apps by client id."""
    file = root / "apps.json"
    return json.loads(file.read_text()) if file.exists() else {}
