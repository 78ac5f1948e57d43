"""Who is at the page, who may label, and who owns the project.

On the Hub, people sign in with Hugging Face; on one's own machine they type a name.
"""

import hashlib
import hmac
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from palate.core.errors import Unreachable
from palate.core.project import Project

if TYPE_CHECKING:  # `palate deploy` imports this module where Gradio is not installed
    from starlette.requests import Request

WRITER_ROLES = ("admin", "write")  # in an organisation
NAME_CHARACTERS = 80
RIGHTS_SECONDS = 120.0  # for which an organization's answer counts


@dataclass(frozen=True)
class Person:
    """Somebody at the page: `subject` identifies them, and only Argilla is told `name`."""

    subject: str
    name: str
    verified: bool = False  # signed in with Hugging Face, not a name typed on this machine
    # organisation → role there; looked up only when a rule needs it
    organisations: Callable[[], dict[str, str]] = field(default=dict, compare=False)


@dataclass(frozen=True)
class Access:
    """A project's rule for who may label: anyone, an organisation, or a list of people.

    Owners may always label.
    """

    owner: str  # the namespace of the project's repo
    annotators: str | tuple[str, ...] = "anyone"

    @classmethod
    def of(cls, project: Project) -> "Access":
        return cls(project.id.partition("/")[0], project.settings.annotators)

    def may_label(self, person: Person) -> bool:
        """Tell whether the person may label; anyone who types a name on this machine may."""
        if not person.verified or self.annotators == "anyone" or self.owns(person):
            return True
        if isinstance(self.annotators, str):
            return self.annotators.casefold() in {org.casefold() for org in person.organisations()}
        return person.name.casefold() in {name.casefold() for name in self.annotators}

    def owns(self, person: Person) -> bool:
        """Tell whether the person may write to the project's repo, alone or by an organisation."""
        if not person.verified or person.name.casefold() == self.owner.casefold():
            return person.verified
        roles = {org.casefold(): role for org, role in person.organisations().items()}
        return roles.get(self.owner.casefold()) in WRITER_ROLES


def owner_key(secret: str) -> str:
    """Return the key to the owner's page on this machine, where nobody signs in."""
    return hmac.new(secret.encode(), b"owner", hashlib.sha256).hexdigest()[:32]


def sign_in_required() -> bool:
    """Tell whether people sign in, as they do on the Hub, instead of typing a name."""
    return bool(os.environ.get("OAUTH_CLIENT_ID"))


def session_key() -> str:
    """Return the key of Gradio's sign-in sessions, so that our routes can read them."""
    from gradio import oauth

    return hashlib.sha256(((oauth.OAUTH_CLIENT_SECRET or "") + "-v4").encode()).hexdigest()


def person_of(request: "Request") -> Person | None:
    """Return who sent the request, or None if they have neither signed in nor given a name."""
    if sign_in_required():
        return _signed_in(request)
    name = unquote(request.headers.get("x-annotator", ""), errors="replace").strip()
    name = name[:NAME_CHARACTERS]
    return Person(f"local:{name.casefold()}", name) if name else None


def _signed_in(request: "Request") -> Person | None:
    from gradio import oauth

    info = oauth._get_valid_oauth_info_from_session(request.session)
    if not info:
        return None
    user, token = info["userinfo"], info["access_token"]
    return Person(
        f"hf:{user['sub']}",
        user["preferred_username"],
        verified=True,
        organisations=lambda: _organisations(token, int(time.monotonic() // RIGHTS_SECONDS)),
    )


@lru_cache(maxsize=10_000)
def _organisations(token: str, period: int) -> dict[str, str]:
    """Return the token's user's organisations, with their role in each; asked once a `period`.

    Raises Unreachable when they cannot be asked: nobody has rights that cannot be checked.
    """
    from huggingface_hub.utils import get_session

    provider = os.environ.get("OPENID_PROVIDER_URL", "https://huggingface.co")
    headers = {"authorization": f"Bearer {token}"}
    try:
        response = get_session().get(f"{provider}/oauth/userinfo", headers=headers, timeout=10)
        response.raise_for_status()
        organisations = response.json().get("orgs") or ()
        return {o["preferred_username"]: o.get("roleInOrg") or "read" for o in organisations}
    except Exception as error:  # whatever the answer was
        raise Unreachable(
            f"{provider} does not say which organizations you belong to"
            f" ({type(error).__name__}). Try again in a minute, or sign in again."
        ) from error
