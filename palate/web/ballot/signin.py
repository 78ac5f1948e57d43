"""Who a request comes from: the session of "Sign in with Hugging Face", or a typed name."""

import hashlib
import os
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from palate.web.ballot.access import Person


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
    user, token = info["userinfo"], info["access_token"]
    return Person(
        f"hf:{user['sub']}",
        user["preferred_username"],
        verified=True,
        organisations=lambda: _organisations(token),
    )


@lru_cache(maxsize=10_000)
def _organisations(token: str) -> dict[str, str]:
    """Return the organisations of whoever the token is for, with their role in each."""
    from huggingface_hub.utils import get_session

    url = os.environ.get("OPENID_PROVIDER_URL", "https://huggingface.co") + "/oauth/userinfo"
    answer = get_session().get(url, headers={"authorization": f"Bearer {token}"}, timeout=10)
    answer.raise_for_status()
    orgs = answer.json().get("orgs") or ()
    return {o["preferred_username"]: o.get("roleInOrg") or "read" for o in orgs}
