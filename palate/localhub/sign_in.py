"""Signing in and out with a browser, and error pages."""

import time
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from palate.localhub.accounts import User
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.templates import page

SESSION_SECONDS = 30 * 24 * 3600  # that a browser stays signed in


@router.route("GET", "/login")
def login_form(call: Call) -> Response:
    """Show the form for a token; with a ticket from `login_url`, sign in at once."""
    target = _own_path(call.arg("next", "/"))
    if not call.arg("ticket"):
        return page("login.html", call.user, {"target": target, "wrong": False})
    try:
        claims = call.hub.signer.check("login", call.arg("ticket"))
        call.hub.db.run("DELETE FROM used_ticket WHERE expires < ?", time.time())
        used = "INSERT OR IGNORE INTO used_ticket VALUES(?,?)"
        first = call.hub.db.run(used, claims["nonce"], claims["expires"]).rowcount
        user = call.hub.accounts.users().get(claims["user"]) if first else None
    except HubError:
        user = None
    if user is None:
        return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)
    return _signed_in(call, user, target)


@router.route("POST", "/login")
def login(call: Call) -> Response:
    _check_origin(call)
    target = _own_path(next(iter(call.form("next")), "/"))
    token = next(iter(call.form("token")), "").strip()
    user = call.hub.accounts.with_token(token)
    if user is None:
        return page("login.html", None, {"target": target, "wrong": True}, 403)
    return _signed_in(call, user, target)


@router.route("POST", "/logout")
def logout(call: Call) -> Response:
    _check_origin(call)
    response = RedirectResponse("/", 303)
    response.delete_cookie(call.hub.cookie)
    return response


def refuse(path: str, user: User | None, error: HubError) -> Response:
    """Return an error page, or a redirect to the sign-in page where that may help."""
    if error.status == 401:
        return RedirectResponse(f"/login?next={quote(_own_path(path), safe='')}", 303)
    return page("error.html", user, {"error": error}, error.status)


def _check_origin(call: Call) -> None:
    origin = call.headers.get("origin", call.base)
    if origin not in (call.base, "null") or call.headers.get("sec-fetch-site") == "cross-site":
        raise HubError(403, "Sign in on the Hub's own page")


def _own_path(target: str) -> str:
    """Return `target` if it is a page of this Hub, otherwise the home page."""
    own = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if own else "/"


def _signed_in(call: Call, user: User, target: str) -> Response:
    claims = {"user": user.name, "token": call.hub.signer.fingerprint(user.token)}
    session = call.hub.signer.sign("session", SESSION_SECONDS, **claims)
    # not a redirect: a browser coming from another site would not send a strict cookie along
    response = page("signed_in.html", user, {"target": target})
    response.set_cookie(
        call.hub.cookie, session, max_age=SESSION_SECONDS, httponly=True, samesite="strict"
    )
    return response
