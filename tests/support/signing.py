"""Signing in with Hugging Face, on the local Hub's own pages, in Chromium or step by step."""

import re
from collections.abc import Callable
from html import unescape

from huggingface_hub.utils import httpx
from playwright.sync_api import Page


def sign_in(
    hub, page: Page, user: str, look: Callable[[Page, str], object] = lambda page, name: None
) -> None:
    """Go through the Hub's own pages: the token of the user, then Allow.

    `look` is called with the page and the name of each screen.
    """
    page.wait_for_selector(".b-dialog[open] a.b-main")
    page.click(".b-dialog[open] a.b-main")
    page.wait_for_selector("input[name=token], #allow")
    if page.locator("input[name=token]").count():
        look(page, "sign-in-token")
        page.fill("input[name=token]", hub.tokens[user])
        page.click("form.login button")
    page.wait_for_selector("#allow")
    look(page, "sign-in-allow")
    page.click("#allow")
    page.wait_for_selector(".ballot")


def set_cookie(answer: httpx.Response) -> dict[str, str]:
    """Return what a browser sends from now on; httpx keeps secure cookies from 127.0.0.1."""
    name, _, rest = answer.headers["set-cookie"].partition("=")
    return {"cookie": f"{name}={rest.partition(';')[0]}"}


def allowed(hub, address: str, user: str) -> str:
    """Go through the Hub's own pages; return the address that they lead back to."""
    with httpx.Client(base_url=hub.endpoint) as browser:
        browser.post("/login", data={"token": hub.tokens[user], "next": "/"})
        form = browser.get(address.removeprefix(hub.endpoint))
        signed = unescape(re.search(r'name="signed" value="([^"]+)"', form.text)[1])
        sent = browser.post("/oauth/authorize", data={"signed": signed, "answer": "allow"})
        return unescape(re.search(r'url=([^"]+)"', sent.text)[1])


def signed_in(hub, url: str, user: str) -> dict[str, str]:
    """Sign in to the Space at `url`; return what the browser sends from then on."""
    begin = httpx.get(f"{url}/login/huggingface?_target_url=/")
    back = allowed(hub, begin.headers["location"], user)
    end = httpx.get(back, headers=set_cookie(begin))
    assert (end.status_code, end.headers["location"]) == (307, "/")
    return set_cookie(end)
