"""Sign-in for apps, as the Hub offers it to Spaces: OpenID Connect, code flow with PKCE.

Apps are registered in `apps.json`; codes and access tokens are signed texts, so nothing is kept.
"""

import base64
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from pathlib import Path
from urllib.parse import unquote_plus, urlencode

from starlette.responses import JSONResponse, RedirectResponse, Response

from palate.localhub.accounts import User, create_private
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.pages import page

CODE = 60.0  # seconds
CONSENT = 600.0
SESSION = 8 * 3600.0
SCOPES = ("openid", "profile", "email", "read-repos", "write-repos")
_making = threading.Lock()  # of the key, when the first two people sign in at once
ASKED = ("client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge")


def register(root: Path, name: str, redirect_uris: list[str], seconds: float) -> tuple[str, str]:
    """Add an app to `apps.json`; return its id and its secret. Sessions last `seconds`."""
    file = root / "apps.json"
    id, secret = secrets.token_hex(16), secrets.token_urlsafe(32)
    with os.fdopen(os.open(root / "apps.lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        apps = json.loads(file.read_text()) if file.exists() else {}
        apps[id] = {
            "name": name, "secret": secret, "redirect_uris": redirect_uris, "seconds": seconds
        }  # fmt: skip
        scratch = file.with_name(f"apps.{secrets.token_hex(4)}.new")
        create_private(scratch, json.dumps(apps, indent=2))
        scratch.replace(file)
    return id, secret


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
    """Ask the person who is signed in whether the app may know who they are."""
    asked = {name: call.arg(name) for name in ASKED}
    app = _app(call, asked["client_id"])
    # nobody is sent to an address that the app did not name; Gradio adds where to go then, after ?
    if asked["redirect_uri"].partition("?")[0] not in app["redirect_uris"]:
        raise HubError(400, "The app has not registered this redirect_uri")
    if call.arg("response_type") != "code":
        raise HubError(400, 'response_type has to be "code"')
    if asked["code_challenge"] and call.arg("code_challenge_method") != "S256":
        raise HubError(400, "code_challenge_method has to be S256")
    if call.user is None:
        query = call.request.scope["query_string"].decode("latin-1")
        return RedirectResponse("/login?" + urlencode({"next": f"/oauth/authorize?{query}"}), 303)
    signed = call.hub.signer.sign("consent", CONSENT, user=call.user.name, asked=asked)
    wanted = [scope for scope in asked["scope"].split() if scope in SCOPES]
    values = {"app": app["name"], "scopes": wanted, "signed": signed}
    return page("authorize.html", call.user, values)


@router.route("POST", "/oauth/authorize")
def decide(call: Call) -> Response:
    """Send the person back to the app, with a code or with their refusal."""
    claims = call.hub.signer.check("consent", next(iter(call.form("signed")), ""))
    user, asked = call.hub.session_user(call.request.cookies), claims["asked"]
    if user is None or user.name != claims["user"]:
        raise HubError(403, "Sign in again: this form was made for somebody else")
    if call.form("answer") != ["allow"]:
        back = {"error": "access_denied"}
    else:
        nonce = secrets.token_hex(12)
        back = {"code": call.hub.signer.sign("code", CODE, user=user.name, once=nonce, asked=asked)}
    target = asked["redirect_uri"]
    target += ("&" if "?" in target else "?") + urlencode(back | {"state": asked["state"]})
    # not a redirect: the page's policy lets its form lead nowhere else
    return page("signed_in.html", user, {"target": target})


@router.route("POST", "/oauth/token")
def token(call: Call) -> Response:
    """Change a code for an access token and an id token, once."""
    client, secret = _client(call)
    app = _app(call, client)
    if not hmac.compare_digest(app["secret"].encode(), secret.encode()):
        return _error("invalid_client", "the secret is wrong", 401)
    if call.form("grant_type") != ["authorization_code"]:
        return _error("unsupported_grant_type", "expected authorization_code")
    try:
        claims = call.hub.signer.check("code", next(iter(call.form("code")), ""))
    except HubError:
        return _error("invalid_grant", "the code is wrong or too old")
    asked = claims["asked"]
    if (asked["client_id"], [asked["redirect_uri"]]) != (client, call.form("redirect_uri")):
        return _error("invalid_grant", "the code is for another app or address")
    if asked["code_challenge"] and asked["code_challenge"] != _challenge(call):
        return _error("invalid_grant", "the code_verifier is wrong")
    used = "INSERT OR IGNORE INTO used_ticket VALUES(?,?)"
    if not call.hub.db.run(used, claims["once"], claims["expires"]).rowcount:
        return _error("invalid_grant", "the code was used before")
    user = call.hub.accounts.users().get(claims["user"])
    if user is None:
        return _error("invalid_grant", "there is no such user any more")
    seconds = float(app.get("seconds", SESSION))
    access = call.hub.signer.sign("oauth", seconds, user=user.name, scope=asked["scope"])
    answer = {
        "access_token": f"hf_oauth_{access}",
        "token_type": "bearer",
        "expires_in": int(seconds),
        "scope": asked["scope"],
        "id_token": _id_token(call, user, client, asked["nonce"], seconds),
    }
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


@router.route("GET", "/oauth/userinfo")
def userinfo(call: Call) -> dict:
    """Say who an access token stands for, and in which organisations they are."""
    claims = call.hub.signer.check("oauth", call.access.removeprefix("hf_oauth_"))
    user = call.hub.accounts.users().get(claims["user"])
    if user is None:
        raise HubError(401, "There is no such user any more")
    orgs = [
        {
            "sub": _subject(call, org),
            "name": org,
            "preferred_username": org,
            "picture": f"{call.base}/static/icon.svg",
            "isEnterprise": False,
            "canPay": False,
            "roleInOrg": "admin",
        }
        for org in user.orgs
    ]
    return _profile(call, user) | {"orgs": orgs}


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


def _id_token(call: Call, user: User, client: str, nonce: str, seconds: float) -> str:
    from joserfc import jwt

    now = int(time.time())
    claims = _profile(call, user) | {
        "iss": call.base, "aud": client, "iat": now, "exp": now + int(seconds)
    }  # fmt: skip
    key = _key(call)
    header = {"alg": "RS256", "kid": key.kid}
    return jwt.encode(header, claims | ({"nonce": nonce} if nonce else {}), key)


def _key(call: Call):
    """Return the key that signs id tokens, made at first use."""
    from joserfc.jwk import RSAKey

    file = call.hub.root / "openid.json"
    with _making:
        if not file.exists():
            made = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
            create_private(file, json.dumps(made.as_dict(private=True)))
    return RSAKey.import_key(json.loads(file.read_text()))


def _app(call: Call, client: str) -> dict:
    file = call.hub.root / "apps.json"
    app = json.loads(file.read_text()).get(client) if file.exists() else None
    if app is None:
        raise HubError(401, "There is no such app: client_id is unknown here")
    return app


def _client(call: Call) -> tuple[str, str]:
    """Return the app's id and secret from the header or from the form."""
    scheme, _, basic = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return next(iter(call.form("client_id")), ""), next(iter(call.form("client_secret")), "")
    try:
        id, _, secret = base64.b64decode(basic, validate=True).decode().partition(":")
    except ValueError:
        raise HubError(400, "Malformed Authorization header") from None
    return unquote_plus(id), unquote_plus(secret)


def _challenge(call: Call) -> str:
    verifier = next(iter(call.form("code_verifier")), "")
    digest = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _error(code: str, text: str, status: int = 400) -> Response:
    return JSONResponse({"error": code, "error_description": text}, status)
