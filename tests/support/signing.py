"""Signing in with Hugging Face, on the local Hub's own pages."""

from playwright.sync_api import Page


def sign_in(hub, page: Page, user: str) -> None:
    """Go through the Hub's own pages: the token of the user, then Allow."""
    page.wait_for_selector(".b-dialog[open] a.b-main")
    page.click(".b-dialog[open] a.b-main")
    page.wait_for_selector("input[name=token], #allow")
    if page.locator("input[name=token]").count():
        page.fill("input[name=token]", hub.tokens[user])
        page.click("form.login button")
    page.click("#allow")
    page.wait_for_selector(".ballot")
