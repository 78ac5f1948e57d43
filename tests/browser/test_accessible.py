"""The ballot with axe-core and by keyboard alone: every page and dialog, themes and widths."""

import os
import re

import pytest
from axe_core import AXE, RUN
from rich_ballot import aid, opened, press, ready, wide

WIDTHS = [(390, 844), (768, 1024), (1440, 900)]
DIALOGS = {
    "help": "[data-act=help]", "settings": "[data-act=settings]", "session": "[data-act=session]",
    "note": "c", "flag": "f", "rewrite": "w",
}  # fmt: skip
FIGURES = {"judged": 12, "prompts": 9, "seconds": 8.5, "implied": 0, "repeats": 3, "same": 2}
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_axe_finds_nothing(page):
    opened(page, "Axe")
    page.wait_for_selector("[data-f=left] .katex")
    page.wait_for_selector("[data-f=prompt] img")
    page.evaluate(AXE)
    wrong = {}
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(150)
            wrong[theme, width, "page"] = page.evaluate(RUN)
            for name, way in DIALOGS.items():
                if way.startswith("["):
                    page.click(way)
                else:
                    page.keyboard.press(way)
                page.wait_for_selector(".b-dialog[open]")
                page.eval_on_selector_all(
                    ".b-dialog details", "all => all.forEach(d => d.open = true)"
                )
                wrong[theme, width, name] = page.evaluate(RUN)
                page.keyboard.press("Escape")
                page.wait_for_selector(".b-dialog:not([open])", state="attached")
            assert not wide(page)
    page.emulate_media(color_scheme="light")
    assert {where: found for where, found in wrong.items() if found} == {}


def told(page, **changes: object) -> None:
    """Let the server describe the project and the person with these changes."""

    def answer(route) -> None:
        route.fulfill(json=route.fetch().json() | changes)

    page.unroute("**/api/me*")
    page.route("**/api/me*", answer)


def checked(page) -> dict:
    """Return what axe-core finds in the open dialog, by theme and width."""
    page.wait_for_selector(".b-dialog[open]")
    page.evaluate(AXE)
    wrong = {}
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(150)
            wrong[theme, width] = page.evaluate(RUN)
            assert not wide(page)
            if folder := os.environ.get("SHOTS"):
                name = re.sub(r"\W+", "-", page.inner_text(".b-dialog h2")).casefold()
                page.screenshot(path=f"{folder}/ballot-{name}-{theme}-{width}.png")
    page.emulate_media(color_scheme="light")
    return {where: found for where, found in wrong.items() if found}


def test_axe_finds_nothing_in_the_dialogs_that_open_on_their_own(page):
    url = page.server.url
    opened(page, "More", width=390, height=844)
    page.click("[data-act=menu]")
    assert page.inner_text(".b-dialog h2") == "More"
    found = {"more": checked(page)}

    opened(page, "Name")
    page.evaluate("localStorage.clear()")
    page.goto(url)
    page.wait_for_selector(".b-dialog[open] input")
    found["name"] = checked(page)
    for name, where, changes in (
        ("sign in", "/", {"sign_in": True, "name": None}),
        ("sign-in failed", "/?sign-in=failed", {"sign_in": True, "name": None}),
        ("refused", "/", {"sign_in": True, "name": "Ada", "may": False}),
    ):
        told(page, **changes)
        page.goto(f"{url}{where}")
        found[name] = checked(page)

    told(page, kind="evaluate", guidelines="")
    page.route("**/api/figures*", lambda route: route.fulfill(json=FIGURES))
    opened(page, "Stop")
    page.click("[data-act=session]")
    page.click(".b-dialog[open] [data-act=result]")
    page.wait_for_selector(".b-dialog[open] [data-act=stop]")
    found["stop"] = checked(page)
    page.unroute("**/api/me*")
    page.unroute("**/api/figures*")

    def warm_up(route) -> None:
        results = route.fetch().json()["results"]
        told_why = {"right": False, "answer": "left", "why": "<p>It is shorter.</p>"}
        route.fulfill(json={"results": [r | {"warm_up": told_why} for r in results]})

    page.route("**/api/events*", warm_up)
    opened(page, "Warm")
    page.keyboard.press("1")
    page.wait_for_selector(".b-dialog[open] [data-f=why]:has-text('It is shorter.')")
    found["warm-up"] = checked(page)
    page.unroute("**/api/events*")

    opened(page, "Two")
    other = page.context.new_page()
    other.goto(f"{url}/?as=Two")
    found["other tab"] = checked(other)
    assert "another tab" in other.inner_text(".b-dialog")
    other.close()
    assert found == {name: {} for name in found}


def test_everything_is_reached_and_done_by_tab_and_enter(page):
    opened(page, "Tab")
    seen, focus = [], "document.activeElement.outerHTML.slice(0, 90)"
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(focus))
    buttons = page.eval_on_selector_all(
        ".ballot button:not([tabindex]), .b-card, .ballot a, .b-table, pre",
        "all => all.filter((e) => e.checkVisibility()).map((e) => e.outerHTML.slice(0, 90))",
    )
    assert len(buttons) > 18
    assert [b for b in buttons if b not in seen] == []
    before = aid(page)
    page.focus(".b-scale[data-side=right] [data-v='2']")
    page.keyboard.press("Enter")
    page.wait_for_selector(f'.ballot:not([data-aid="{before}"])')
    assert page.inner_text(".b-said") == "B: Slightly better"
    ready(page)
    page.focus("[data-act=undo]")
    page.keyboard.press("Enter")
    page.wait_for_selector(f'.ballot[data-aid="{before}"]')


def test_keys_can_be_turned_off_and_be_ones_own(page):
    opened(page, "Keys")
    assert page.inner_text(".b-scale[data-side=left] [data-v='3'] kbd") == "←"
    page.click("[data-act=settings]")
    page.uncheck("[data-set=keys_on]")
    page.keyboard.press("Escape")
    first = aid(page)
    for key in ("1", "t", "x", "ArrowRight"):
        page.keyboard.press(key)
    assert aid(page) == first
    assert page.locator(".b-tools kbd").count() == 0
    page.click("[data-act=settings]")
    page.check("[data-set=keys_on]")
    page.click(".b-own summary")
    page.click("[data-key=bad]")
    page.keyboard.press("1")  # was: A is much better
    assert page.inner_text("[data-key=bad]") == "1"
    assert page.inner_text("[data-key=left-4]") == "–"
    page.keyboard.press("Escape")
    page.reload()  # this device keeps them
    ready(page)
    press(page, "1")
    assert page.inner_text(".b-said") == "Both bad"
    assert "Both bad. Next pair" in page.text_content(".b-live")
    page.wait_for_selector('.b-sync :text-is("on the Hub")', state="attached")
    assert [e["kind"] for e in page.server.sent["Keys"]] == ["both_bad"]
    page.reload()
    ready(page)
    assert page.inner_text(".b-toast") == "You left off at pair 2."
