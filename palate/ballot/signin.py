"""Who a request comes from: the session of "Sign in with Hugging Face", or a typed name."""

import hashlib
import os
from typing import Any
from urllib.parse import unquote

from palate.ballot.access import Person

WRITERS = ("admin", "write")


def required() -> bool:
    """Tell whether people sign in: on a Space they do, on one's own machine they type a name."""
    return bool(os.environ.get("OAUTH_CLIENT_ID"))


def session_key() -> str:
    """Return the key of Gradio's own sign-in, so that our routes can read what it wrote."""
    from gradio import oauth

    return hashlib.sha256(((oauth.OAUTH_CLIENT_SECRET or "") + "-v4").encode()).hexdigest()


def person_of(request: Any) -> Person | None:
    """Return who is at the page, or None before they said."""
    if required():
        return _signed_in(request)
    name = unquote(request.headers.get("x-annotator", ""), errors="replace").strip()[:80]
    return Person(f"local:{name.casefold()}", name) if name else None


def _signed_in(request: Any) -> Person | None:
    from gradio import oauth

    info = oauth._get_valid_oauth_info_from_session(request.session)
    if not info:
        return None
    user = info["userinfo"]
    orgs = {o["preferred_username"]: o.get("roleInOrg") for o in user.get("orgs") or ()}
    return Person(
        f"hf:{user['sub']}",
        user["preferred_username"],
        verified=True,
        orgs=frozenset(orgs),
        writes=frozenset(name for name, role in orgs.items() if role in WRITERS),
    )
