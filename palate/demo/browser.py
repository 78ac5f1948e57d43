"""A person in Chromium: signs in on the Hub's own pages and answers pairs by keyboard."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from palate.core.errors import UsageError
from palate.demo.person import SimulatedAnnotator

if TYPE_CHECKING:
    from playwright.sync_api import Page

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_MILLISECONDS = 600_000.0  # a Space with an empty disk installs Argilla first
UNREAD_MILLISECONDS = 270.0  # in which the page ignores keys, since nobody has read the pair yet
KEYS = {"left": "3321", "right": "8890"}  # by strength; the page offers none below "slightly"
PAIR = '.ballot[data-aid]:not([data-aid=""])'
END = ".ballot[data-state=empty]"


def find_chromium() -> str | None:
    """Return the browser's path, or None for Playwright's own; UsageError without either."""
    if not find_spec("playwright"):
        raise UsageError(
            "palate demo --hosted needs Playwright to drive two browsers."
            " Install it with: pip install playwright"
        )
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if not (Path.home() / ".cache/ms-playwright").is_dir():
        raise UsageError(
            "palate demo --hosted needs Chromium. Install it with: apt-get install chromium,"
            " or playwright install chromium"
        )
    return None


def answer_pairs(
    chromium: str | None,
    url: str,
    token: str,
    number: int,
    annotator: SimulatedAnnotator,
    progress: Callable[[int], None],
) -> int:
    """Sign in with a new profile and answer up to `number` pairs; return how many.

    Returns once all answers are on the Hub. `progress` gets the number answered so far.
    """
    from playwright.sync_api import sync_playwright

    answered = 0
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = chrome.new_context(
            viewport={"width": 1100, "height": 760}, locale="en-US"
        ).new_page()
        page.goto(url)
        _sign_in(page, token)
        page.set_default_timeout(START_MILLISECONDS)
        while answered < number:
            # before the first pair there may be none yet
            page.wait_for_selector(f"{PAIR}, {END}" if answered else PAIR)
            if page.get_attribute(".ballot", "data-state") == "empty" and answered:
                break
            _answer(page, annotator)
            answered += 1
            progress(answered)
        page.wait_for_selector('.b-sync :text-is("on the Hub")', state="attached")
        chrome.close()
    return answered


def _answer(page: "Page", annotator: SimulatedAnnotator) -> None:
    """Answer the pair on the page and wait for the next one."""
    page.wait_for_timeout(UNREAD_MILLISECONDS)
    pair = page.get_attribute(".ballot", "data-aid")
    left, right = (page.inner_text(f"[data-f={side}]").strip() for side in ("left", "right"))
    choice, strength = annotator.judge(left, right)
    page.keyboard.press("t" if choice == "tie" else KEYS[choice][strength - 1])
    page.wait_for_selector(f'.ballot:not([data-aid="{pair}"])')


def _sign_in(page: "Page", token: str) -> None:
    """Go through the Hub's pages: sign in there, and let the Space see the name."""
    page.click(".b-dialog[open] a.b-main")
    page.wait_for_selector("input[name=token], #allow")
    if page.locator("input[name=token]").count():
        page.fill("input[name=token]", token)
        page.click("form.login button")
    page.click("#allow")
    page.wait_for_selector(".ballot")
