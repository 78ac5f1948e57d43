"""The ballot with axe-core and by keyboard alone: every screen and dialog, themes and widths."""

import pytest
from axe_core import wrong_with
from rich_ballot import aid, opened, press, ready

DIALOGS = {
    "help": "[data-act=help]", "settings": "[data-act=settings]", "session": "[data-act=session]",
    "note": "c", "flag": "f", "rewrite": "w",
}  # fmt: skip
FIGURES = {"judged": 12, "prompts": 9, "seconds": 8.5, "implied": 0, "repeats": 3, "same": 2}
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_nothing_is_wrong_with_page_and_dialogs(page):
    opened(page, "Axe")
    page.wait_for_selector("[data-f=left] .katex")
    page.wait_for_selector("[data-f=prompt] img")
    wrong = wrong_with(page, "ballot")
    for name, way in DIALOGS.items():
        if way.startswith("["):
            page.click(way)
        else:
            page.keyboard.press(way)
        wrong += checked(page, name)
        page.keyboard.press("Escape")
        page.wait_for_selector(".b-dialog:not([open])", state="attached")
    assert wrong == []


def test_nothing_is_wrong_with_what_a_person_sees_on_the_way(page):
    opened(page, "Way")
    page.keyboard.press("d")  # differences
    page.wait_for_selector(".b-more [data-act=diff][aria-pressed=true]", state="attached")
    wrong = wrong_with(page, "ballot-differences")
    page.keyboard.press("r")
    page.wait_for_selector(".b-written")
    wrong += wrong_with(page, "ballot-written")
    press(page, "1")
    assert page.inner_text(".b-said") == "A: Much better"
    wrong += wrong_with(page, "ballot-long")
    press(page, "9")
    wrong += wrong_with(page, "ballot-bad-input")
    press(page, "t")
    wrong += wrong_with(page, "ballot-wide")
    press(page, "b")
    wrong += wrong_with(page, "ballot-nothing")
    press(page, "b")
    page.keyboard.press("f")
    page.fill(".b-dialog textarea", "Odd")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".b-toast:not([hidden])")
    wrong += wrong_with(page, "ballot-flagged")
    page.reload()
    page.wait_for_selector(".b-toast:has-text('You left off at pair')")
    ready(page)
    wrong += wrong_with(page, "ballot-left-off")
    while page.get_attribute(".ballot", "data-state") != "empty":
        before = aid(page)
        page.keyboard.press("x")
        page.wait_for_selector(f'.ballot:not([data-aid="{before}"])')
        page.wait_for_timeout(270)
    page.wait_for_selector(".b-prompt .b-figures")
    wrong += wrong_with(page, "ballot-done")
    assert wrong == []


def told(page, **changes: object) -> None:
    """Let the server describe the project and the person with these changes."""

    def answer(route) -> None:
        route.fulfill(json=route.fetch().json() | changes)

    page.unroute("**/api/me*")
    page.route("**/api/me*", answer)


def checked(page, name: str) -> list[str]:
    """Return what is wrong with the open dialog, everything in it unfolded."""
    page.wait_for_selector(".b-dialog[open]")
    page.eval_on_selector_all(".b-dialog details", "all => all.forEach(d => d.open = true)")
    return wrong_with(page, f"ballot-dialog-{name}")


def test_nothing_is_wrong_with_the_dialogs_that_open_on_their_own(page):
    url = page.server.url
    opened(page, "More", width=390, height=844)
    page.click("[data-act=menu]")
    assert page.inner_text(".b-dialog h2") == "More"
    wrong = checked(page, "more")

    opened(page, "Name")
    page.evaluate("localStorage.clear()")
    page.goto(url)
    page.wait_for_selector(".b-dialog[open] input")
    wrong += checked(page, "name")
    for name, where, changes in (
        ("sign-in", "/", {"sign_in": True, "name": None}),
        ("sign-in failed", "/?sign-in=failed", {"sign_in": True, "name": None}),
        ("refused", "/", {"sign_in": True, "name": "Ada", "may": False}),
    ):
        told(page, **changes)
        page.goto(f"{url}{where}")
        wrong += checked(page, name)

    told(page, kind="evaluate", guidelines="")
    page.route("**/api/figures*", lambda route: route.fulfill(json=FIGURES))
    opened(page, "Stop")
    page.click("[data-act=session]")
    page.click(".b-dialog[open] [data-act=result]")
    page.wait_for_selector(".b-dialog[open] [data-act=stop]")
    wrong += checked(page, "stop")
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
    wrong += checked(page, "warm-up")
    page.unroute("**/api/events*")

    opened(page, "Two")
    other = page.context.new_page()
    other.goto(f"{url}/?as=Two")
    wrong += checked(other, "other-tab")
    assert "another tab" in other.inner_text(".b-dialog")
    other.close()
    assert wrong == []


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
