"""Sign-in for apps such as Spaces: OpenID Connect, authorization code flow with PKCE.

Codes and access tokens are signed texts, so the Hub stores nothing about them but used codes.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus, urlencode

from starlette.responses import JSONResponse, RedirectResponse, Response

from palate.localhub.accounts import User, create_private
from palate.localhub.apps import registered
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.templates import page

if TYPE_CHECKING:  # at run time it costs a third of a second of every start
    from joserfc.jwk import RSAKey

CODE_SECONDS = 60.0
CONSENT_SECONDS = 600.0
SESSION_SECONDS = 8 * 3600.0  # of an app that an earlier version registered without its own
SCOPES = ("openid", "profile", "email", "read-repos", "write-repos")
KEY_BITS = 2048
PARAMETERS = ("client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge")
_key_lock = threading.Lock()  # two people may sign in at once before there is a key


@router.route("GET", "/.well-known/openid-configuration")
def configuration(call: Call) -> dict:
    base = call.base
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}/oauth/authorize",
        "token_endpoint": f"{base}/oauth/token",
        "userinfo_endpoint": f"{base}/oauth/userinfo",
        "jwks_uri": f"{base}/oauth/jwks",
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
    }


@router.route("GET", "/oauth/jwks")
def jwks(call: Call) -> dict:
    return {"keys": [_key(call).as_dict(private=False)]}


@router.route("GET", "/oauth/authorize")
def authorize(call: Call) -> Response:
    """Ask the signed-in user whether the app may know who they are."""
    request = {name: call.arg(name) for name in PARAMETERS}
    app = _app(call, request["client_id"])
    # only registered addresses are redirected to; Gradio appends its own target after the ?
    if request["redirect_uri"].partition("?")[0] not in app["redirect_uris"]:
        raise HubError(400, "The app has not registered this redirect_uri")
    if call.arg("response_type") != "code":
        raise HubError(400, 'response_type must be "code"')
    if request["code_challenge"] and call.arg("code_challenge_method") != "S256":
        raise HubError(400, "code_challenge_method must be S256")
    if call.user is None:
        query = call.request.scope["query_string"].decode("latin-1")
        return RedirectResponse("/login?" + urlencode({"next": f"/oauth/authorize?{query}"}), 303)
    signed = call.hub.signer.sign("consent", CONSENT_SECONDS, user=call.user.name, request=request)
    scopes = [scope for scope in request["scope"].split() if scope in SCOPES]
    values = {"app": app["name"], "scopes": scopes, "signed": signed}
    return page("authorize.html", call.user, values)


@router.route("POST", "/oauth/authorize")
def decide(call: Call) -> Response:
    """Send the user back to the app, with a code or with their refusal."""
    claims = call.hub.signer.check("consent", next(iter(call.form("signed")), ""))
    user, request = call.hub.session_user(call.request.cookies), claims["request"]
    if user is None or user.name != claims["user"]:
        raise HubError(403, "Sign in again: this form belongs to another user")
    if call.form("answer") != ["allow"]:
        answer = {"error": "access_denied"}
    else:
        once = {
            "user": user.name, "once": secrets.token_hex(12), "request": request,
            "token": call.hub.signer.fingerprint(user.token),
        }  # fmt: skip
        answer = {"code": call.hub.signer.sign("code", CODE_SECONDS, **once)}
    target = request["redirect_uri"]
    target += ("&" if "?" in target else "?") + urlencode(answer | {"state": request["state"]})
    # not a redirect: the page's policy does not let its form lead to other servers
    return page("signed_in.html", user, {"target": target})


@router.route("POST", "/oauth/token")
def token(call: Call) -> Response:
    """Exchange a code for an access token and an id token, once."""
    client_id, secret = _client(call)
    app = _app(call, client_id)
    if not hmac.compare_digest(app["secret"].encode(), secret.encode()):
        return _error("invalid_client", "the secret is wrong", 401)
    if call.form("grant_type") != ["authorization_code"]:
        return _error("unsupported_grant_type", "expected authorization_code")
    try:
        claims = call.hub.signer.check("code", next(iter(call.form("code")), ""))
    except HubError:
        return _error("invalid_grant", "the code is wrong or has expired")
    request = claims["request"]
    issued_for = (request["client_id"], [request["redirect_uri"]])
    if issued_for != (client_id, call.form("redirect_uri")):
        return _error("invalid_grant", "the code is for another app or address")
    if request["code_challenge"] and request["code_challenge"] != _challenge(call):
        return _error("invalid_grant", "the code_verifier is wrong")
    used = "INSERT OR IGNORE INTO used_ticket VALUES(?,?)"
    if not call.hub.db.run(used, claims["once"], claims["expires"]).rowcount:
        return _error("invalid_grant", "the code has been used already")
    user = _user(call, claims)
    if user is None:
        return _error("invalid_grant", "the user no longer exists or has a new token")
    seconds = float(app.get("seconds", SESSION_SECONDS))
    granted = {"user": user.name, "scope": request["scope"], "token": claims["token"]}
    access = call.hub.signer.sign("oauth", seconds, **granted)
    answer = {
        "access_token": f"hf_oauth_{access}",
        "token_type": "bearer",
        "expires_in": int(seconds),
        "scope": request["scope"],
        "id_token": _id_token(call, user, client_id, request["nonce"], seconds),
    }
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


@router.route("GET", "/oauth/userinfo")
def userinfo(call: Call) -> dict:
    """Return the user of an access token, with their organisations."""
    claims = call.hub.signer.check("oauth", call.access.removeprefix("hf_oauth_"))
    user = _user(call, claims)
    if user is None:
        raise HubError(401, "The user of this token no longer exists or has a new token")
    orgs = [
        {
            "sub": _subject(call, org),
            "name": org,
            "preferred_username": org,
            "picture": f"{call.base}/static/icon.svg",
            "isEnterprise": user.plan_of(org) == "enterprise",
            "canPay": False,
            "roleInOrg": "admin",
        }
        for org in user.orgs
    ]
    return _profile(call, user) | {"orgs": orgs}


@router.route("GET", "/api/users/{user}/overview")
def overview(call: Call) -> dict:
    """Return what anybody who is signed in may know of a user; `_id` is what apps call `sub`."""
    call.need_user()
    user = call.hub.accounts.users().get(call.params["user"])
    if user is None:
        raise HubError(404, "This user does not exist", "UserNotFound")
    picture = f"{call.base}/static/icon.svg"
    head = {"_id": _subject(call, user.name), "user": user.name, "fullname": user.name}
    pro = user.plan_of(user.name) == "pro"
    return head | {"avatarUrl": picture, "isPro": pro, "type": "user"}


def _user(call: Call, claims: dict) -> User | None:
    """Return the user of a code or an access token; None if they have a new token since."""
    user = call.hub.accounts.users().get(claims["user"])
    same = user and claims.get("token") == call.hub.signer.fingerprint(user.token)
    return user if same else None


def _profile(call: Call, user: User) -> dict:
    return {
        "sub": _subject(call, user.name),
        "name": user.name,
        "preferred_username": user.name,
        "profile": f"{call.base}/{user.name}",
        "picture": f"{call.base}/static/icon.svg",
        "website": "",
    }


def _subject(call: Call, name: str) -> str:
    return call.hub.signer.fingerprint(f"subject:{name.lower()}")


def _id_token(call: Call, user: User, client_id: str, nonce: str, seconds: float) -> str:
    from joserfc import jwt

    now = int(time.time())
    claims = _profile(call, user) | {
        "iss": call.base, "aud": client_id, "iat": now, "exp": now + int(seconds)
    }  # fmt: skip
    key = _key(call)
    header = {"alg": "RS256", "kid": key.kid}
    return jwt.encode(header, claims | ({"nonce": nonce} if nonce else {}), key)


def _key(call: Call) -> "RSAKey":
    """Return the key that signs id tokens, created on first use."""
    from joserfc.jwk import RSAKey

    file = call.hub.root / "openid.json"
    with _key_lock:
        if not file.exists():
            key = RSAKey.generate_key(KEY_BITS, {"use": "sig", "alg": "RS256"}, auto_kid=True)
            create_private(file, json.dumps(key.as_dict(private=True)))
    return RSAKey.import_key(json.loads(file.read_text()))


def _app(call: Call, client_id: str) -> dict:
    app = registered(call.hub.root).get(client_id)
    if app is None:
        raise HubError(401, "No app with this client_id is registered here")
    return app


def _client(call: Call) -> tuple[str, str]:
    """Return the app's id and secret, from the header or from the form."""
    scheme, _, basic = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return next(iter(call.form("client_id")), ""), next(iter(call.form("client_secret")), "")
    try:
        client_id, _, secret = base64.b64decode(basic, validate=True).decode().partition(":")
    except ValueError:
        raise HubError(400, "Malformed Authorization header") from None
    return unquote_plus(client_id), unquote_plus(secret)


def _challenge(call: Call) -> str:
    verifier = next(iter(call.form("code_verifier")), "")
    digest = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _error(code: str, text: str, status: int = 400) -> Response:
    return JSONResponse({"error": code, "error_description": text}, status)
