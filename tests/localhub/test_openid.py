"""The Hub as an OpenID provider: the code flow step by step, and its refusals."""

import base64
import hashlib
import json
import re
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from huggingface_hub.utils import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

from palate.localhub.apps import register

BACK = "http://127.0.0.1:9/login/callback"
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()


@pytest.fixture
def app(hub) -> tuple[str, str]:
    return register(hub.root, "Titles", [BACK], seconds=3600)


@pytest.fixture
def browser(hub):
    """A browser that is signed in to the Hub as its first user."""
    with httpx.Client(base_url=hub.endpoint) as client:
        client.get(hub.login_url().removeprefix(hub.endpoint))
        yield client


def parameters(app, **changes) -> dict:
    return {
        "response_type": "code", "client_id": app[0], "redirect_uri": BACK, "state": "s t/é",
        "scope": "openid profile", "nonce": "n", "code_challenge": CHALLENGE.rstrip("="),
        "code_challenge_method": "S256",
    } | changes  # fmt: skip


def decide(browser, query: dict, answer: str = "allow") -> dict:
    """Answer the form and return what the app gets in its callback URL."""
    form = browser.get("/oauth/authorize", params=query)
    assert form.status_code == 200, form.text
    signed = re.search(r'name="signed" value="([^"]+)"', form.text)[1]
    sent = browser.post("/oauth/authorize", data={"signed": unescape(signed), "answer": answer})
    target = unescape(re.search(r'url=([^"]+)"', sent.text)[1])
    assert target.startswith(BACK)
    return {k: v[0] for k, v in parse_qs(urlsplit(target).query).items()}


def exchange(browser, app, code: str, /, **changes):
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": BACK,
        "client_id": app[0], "client_secret": app[1], "code_verifier": VERIFIER,
    }  # fmt: skip
    return browser.post("/oauth/token", data=form | changes)


def test_the_whole_flow(hub, app, browser):
    about = browser.get("/.well-known/openid-configuration").json()
    assert about["authorization_endpoint"] == f"{hub.endpoint}/oauth/authorize"
    back = decide(browser, parameters(app))
    assert back["state"] == "s t/é"
    answer = exchange(browser, app, back["code"]).json()
    keys = KeySet.import_key_set(browser.get("/oauth/jwks").json())
    claims = jwt.decode(answer["id_token"], keys).claims
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (hub.endpoint, app[0], "n")
    assert claims["preferred_username"] == hub.user
    bearer = {"authorization": f"Bearer {answer['access_token']}"}
    who = browser.get("/oauth/userinfo", headers=bearer).json()
    assert who["sub"] == claims["sub"]
    assert [(o["preferred_username"], o["roleInOrg"]) for o in who["orgs"]] == [("my-org", "admin")]
    # it identifies the user and opens nothing else
    assert browser.get("/api/whoami-v2", headers=bearer).status_code == 401


def test_the_secret_may_come_in_the_header(browser, app):
    code = decide(browser, parameters(app))["code"]
    basic = base64.b64encode(":".join(app).encode()).decode()
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    form["code_verifier"] = VERIFIER
    header = {"authorization": f"Basic {basic}"}
    assert browser.post("/oauth/token", data=form, headers=header).status_code == 200


def test_a_code_counts_once(browser, app):
    code = decide(browser, parameters(app))["code"]
    assert exchange(browser, app, code).status_code == 200
    again = exchange(browser, app, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"code": "made.up"}, 400, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:9/other"}, 400, "invalid_grant"),
        ({"code_verifier": "another"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_wrong_exchange_is_refused(browser, app, changes, status, error):
    answer = exchange(browser, app, decide(browser, parameters(app))["code"], **changes)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_code_is_for_one_app(hub, browser, app):
    other = register(hub.root, "Other", [BACK], seconds=3600)
    code = decide(browser, parameters(app))["code"]
    assert exchange(browser, other, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://evil.example/"},
        {"redirect_uri": BACK + "/more"},
        {"response_type": "token"},
        {"code_challenge_method": "plain"},
    ],
)
def test_a_wrong_request_is_refused(browser, app, changes):
    assert browser.get("/oauth/authorize", params=parameters(app, **changes)).status_code == 400


def test_an_unknown_app_is_refused(browser):
    answer = browser.get("/oauth/authorize", params=parameters(("nobody", "")))
    assert answer.status_code in (303, 401)


def test_a_refusal_is_passed_to_the_app(browser, app):
    assert decide(browser, parameters(app), "deny") == {"error": "access_denied", "state": "s t/é"}


def test_a_visitor_is_asked_to_sign_in(hub, app):
    answer = httpx.get(f"{hub.endpoint}/oauth/authorize?{urlencode(parameters(app))}")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=%2Foauth%2Fauthorize%3F")


def test_nobody_can_answer_for_another_user(hub, browser, app):
    form = browser.get("/oauth/authorize", params=parameters(app)).text
    signed = unescape(re.search(r'name="signed" value="([^"]+)"', form)[1])
    data = {"signed": signed, "answer": "allow"}
    assert httpx.post(f"{hub.endpoint}/oauth/authorize", data=data).status_code == 403


def test_a_session_ends(hub, browser):
    app = register(hub.root, "Brief", [BACK], seconds=-1)
    token = exchange(browser, app, decide(browser, parameters(app))["code"]).json()["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    assert browser.get("/oauth/userinfo", headers=bearer).status_code == 403


def test_only_their_owner_may_read_the_files(hub, browser, app):
    browser.get("/oauth/jwks")
    for name in ("apps.json", "openid.json"):
        file = hub.root / name
        assert file.stat().st_mode & 0o777 == 0o600
        json.loads(file.read_text())
