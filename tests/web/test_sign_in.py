"""Sign in with Hugging Face, step by step, with the local Hub as the provider."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from huggingface_hub.utils import httpx
from signing import allowed, set_cookie, signed_in
from still_ballot import Served, served

from palate.localhub.apps import register
from palate.web.serving import free_port

PAIRS = [(f"Prompt {i}", f"left {i}", f"right {i}") for i in range(4)]


@pytest.fixture(scope="module")
def page(hub, space_python) -> Iterator[Served]:
    """A Space to which people sign in."""
    port = free_port()
    with pytest.MonkeyPatch.context() as environment, space_python.instead():
        for name, value in oauth(hub, port).items():
            environment.setenv(name, value)
        with served(PAIRS, port) as page:
            yield page


def oauth(hub, port: int) -> dict[str, str]:
    """Return the settings of an app that is registered with the Hub."""
    back = f"http://127.0.0.1:{port}/login/callback"
    client_id, secret = register(hub.root, "Titles", [back], 3600)
    return {
        "OAUTH_CLIENT_ID": client_id, "OAUTH_CLIENT_SECRET": secret,
        "OAUTH_SCOPES": "openid profile", "OPENID_PROVIDER_URL": hub.endpoint,
    }  # fmt: skip


@pytest.fixture
def hosted(page) -> str:
    """Its address."""
    return page.url


def name(url: str, headers: dict[str, str]) -> str | None:
    return httpx.get(f"{url}/api/me", headers=headers).json()["name"]


def test_the_code_is_bound_to_the_browser_that_asked_for_it(hub, hosted):
    begin = httpx.get(f"{hosted}/login/huggingface")
    query = parse_qs(urlsplit(begin.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["code_challenge"][0]) == 43
    back = allowed(hub, begin.headers["location"], "you")
    other = httpx.get(f"{hosted}/login/huggingface")
    stolen = back.replace(
        query["state"][0], parse_qs(urlsplit(other.headers["location"]).query)["state"][0]
    )
    refused = httpx.get(stolen, headers=set_cookie(other))
    assert refused.headers["location"] == "/?sign-in=failed"
    assert name(hosted, signed_in(hub, hosted, "you")) == "you"


@pytest.mark.parametrize("query", ["", "?error=access_denied", "?code=x&state=y", "?state=%00"])
def test_a_sign_in_that_fails_is_offered_again(hosted, query):
    answer = httpx.get(f"{hosted}/login/callback{query}")
    assert (answer.status_code, answer.headers["location"]) == (307, "/?sign-in=failed")


def test_cookies_of_two_spaces_on_one_host_do_not_clash(hub, hosted, monkeypatch):
    first = signed_in(hub, hosted, "you")
    port = free_port()
    for variable, value in oauth(hub, port).items():
        monkeypatch.setenv(variable, value)
    with served(PAIRS, port) as other:
        second = signed_in(hub, other.url, "me")
        both = {"cookie": f"{first['cookie']}; {second['cookie']}"}
        assert (name(hosted, both), name(other.url, both)) == ("you", "me")
        assert (name(hosted, second), name(other.url, first)) == (None, None)


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example",
     "evil.example", "javascript:x", "////evil.example", "/\r\nlocation: x"],
)  # fmt: skip
def test_signing_out_leads_nowhere_else(hosted, target):
    answer = httpx.get(f"{hosted}/logout", params={"_target_url": target})
    assert answer.headers["location"] == "/"


def test_a_rotated_token_ends_the_session(hub, page, hosted):
    headers = signed_in(hub, hosted, "you")
    assert name(hosted, headers) == "you"
    file = hub.root / "users.json"
    before = file.read_text()
    users = json.loads(before)
    users["you"]["token"] = "hf_" + "n" * 34
    file.write_text(json.dumps(users))
    try:
        page.tell(later=True)
        assert name(hosted, headers) is None
        body = {"headers": headers | {"content-type": "application/json"}, "content": "{}"}
        assert httpx.post(f"{hosted}/api/next", **body).status_code == 401
    finally:
        file.write_text(before)
        page.tell(later=True)


def test_a_hub_that_is_away_ends_no_session(hub, page, hosted):
    headers = signed_in(hub, hosted, "you") | {"content-type": "application/json"}
    page.tell(later=True, env={"OPENID_PROVIDER_URL": "http://127.0.0.1:9"})
    assert httpx.post(f"{hosted}/api/next", headers=headers, content="{}").status_code == 200
    page.tell(later=True, env={"OPENID_PROVIDER_URL": hub.endpoint})


def test_a_page_of_somebody_who_signed_out_sends_nothing_as_the_next(hub, hosted):
    headers = signed_in(hub, hosted, "you") | {"content-type": "application/json"}
    for who, status in (("you", 200), ("me", 401)):
        answer = httpx.post(
            f"{hosted}/api/next", headers=headers | {"x-annotator": who}, content="{}"
        )
        assert answer.status_code == status
