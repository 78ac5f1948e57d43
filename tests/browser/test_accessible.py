"""The ballot with axe-core and by keyboard alone: every page and dialog, themes and widths."""

import os
import re
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator

import pytest
from axe_core import AXE, RUN
from still_ballot import served

WIDTHS = [(390, 844), (768, 1024), (1440, 900)]
DIALOGS = {
    "help": "[data-act=help]", "settings": "[data-act=settings]", "session": "[data-act=session]",
    "note": "c", "flag": "f", "rewrite": "w",
}  # fmt: skip


def png(width: int, height: int) -> str:
    """Return an image's data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = zlib.compress(b"".join(b"\0" + b"\x4f\x46\xe5" * width for _ in range(height)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{b64encode(content).decode()}"


CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "What is a loaf?"},
    {"role": "assistant", "content": "Bread in *one* piece."},
    {"role": "user", "content": f"Like this? ![a loaf]({png(40, 20)})"},
]
RICH = (
    "Use $x^2$.\n\n```python\nprint('a line that is longer than a card of a phone is wide')\n```\n"
    "\n| one | two | three | four | five | six | seven |\n|-|-|-|-|-|-|-|\n|a|b|c|d|e|f|g|\n\n"
    "> quoted\n\n- [x] done\n\n[a link](https://e.example) ![gone](https://e.example/x.png)"
)
LONG = "\n\n".join(f"Paragraph {i} says something that takes a line or two." for i in range(80))
PAIRS = [
    (CHAT, RICH, "Short."),
    ("Long?", LONG, LONG[:2000]),
    ("Bad input?", "word " * 40_000, "w" * 10_000),
    ("Nothing?", "", "\n\n"),
    *((f"Prompt {i}", f"left {i}", f"right {i}") for i in range(16)),
]
FIGURES = {"judged": 12, "prompts": 9, "seconds": 8.5, "implied": 0, "repeats": 3, "same": 2}
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(chromium) -> Iterator:
    """One page in one context for all of these tests; each is a person of its name."""
    with served(PAIRS) as server:
        page = chromium.new_context(locale="en-US").new_page()
        page.server = server
        yield page
        page.context.close()


def opened(page, name: str, width: int = 1440, height: int = 900, **kept: str):
    """Open the page as this person, with what their browser keeps."""
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{page.server.url}/ballot/inter-LICENSE.txt")
    page.evaluate(
        """(kept) => { localStorage.clear()
      for (const [k, v] of Object.entries(kept)) localStorage.setItem(`palate:${k}`, v) }""",
        kept,
    )
    page.goto(f"{page.server.url}/?as={name}")
    ready(page)


def ready(page) -> None:
    page.wait_for_selector(".ballot[data-state=ready]", timeout=60000)
    page.wait_for_timeout(270)


def aid(page) -> str:
    return page.get_attribute(".ballot", "data-aid")


def press(page, key: str) -> None:
    before = aid(page)
    page.keyboard.press(key)
    page.wait_for_selector(f'.ballot:not([data-aid="{before}"])')
    ready(page)


def skip_to(page, prompt: str) -> None:
    while prompt not in page.inner_text("[data-f=prompt]"):
        press(page, "x")


def wide(page) -> bool:
    return page.evaluate("document.scrollingElement.scrollWidth > innerWidth")


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


@pytest.mark.parametrize("size", [(390, 844), (768, 1024), (1440, 900), (2560, 1300), (720, 450)])
def test_the_question_is_in_sight_and_nothing_is_clipped(page, size):
    opened(page, f"See{size[0]}", *size)
    for prompt in ("What is a loaf?", "Long?", "Bad input?", "Nothing?"):
        skip_to(page, prompt)
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(120)
        assert not wide(page), prompt
        question = page.locator(".b-brand").bounding_box()
        tools = page.locator(".b-scale[data-side=left]").bounding_box()
        assert question["y"] >= 0
        assert tools["y"] + tools["height"] <= size[1]
        clipped = page.eval_on_selector_all(
            ".b-tools button, .b-brand, .b-count",
            "all => all.filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)",
        )
        assert clipped == [], prompt
    assert page.inner_text("[data-f=left]") == ""
    empty = "getComputedStyle(document.querySelector('[data-f=left]'), '::before').content"
    assert "This answer is empty." in page.evaluate(empty)


def test_a_long_answer_says_so_and_both_scroll_together(page):
    opened(page, "Scroll")
    skip_to(page, "Long?")
    left, right = (f".b-card[data-side={side}]" for side in ("left", "right"))
    page.wait_for_selector(f"{left}[data-below] .b-below")
    page.click(f"{left} .b-below span")
    page.wait_for_timeout(600)
    top = "e => e.scrollTop"
    assert page.eval_on_selector(left, top) > 100
    assert page.eval_on_selector(right, top) == 0
    first = aid(page)
    page.click("[data-act=settings]")
    page.check("[data-set=together]")
    page.keyboard.press("Escape")
    page.eval_on_selector(left, "e => { e.scrollTop = e.scrollHeight }")
    page.wait_for_selector(f"{left}:not([data-below])")
    page.wait_for_selector(f"{right}:not([data-below])")
    page.eval_on_selector(left, "e => { e.scrollTop = 0 }")
    page.wait_for_selector(f"{right}[data-below]")
    page.focus(".b-prompt")
    page.keyboard.press("ArrowDown")  # scrolls, and is no tie
    page.wait_for_timeout(200)
    assert page.eval_on_selector(left, top) > 0
    assert aid(page) == first


def test_layout_theme_and_language_are_the_persons(page):
    opened(page, "Look")
    skip_to(page, "Long?")
    page.click("[data-act=settings]")
    for name, value in (
        ("layout", "stacked"),
        ("width", "full"),
        ("theme", "dark"),
        ("language", "ar"),
    ):
        page.select_option(f"[data-set={name}]", value)
    page.keyboard.press("Escape")
    for reload in (False, True):
        if reload:
            page.reload()
            ready(page)
        a, b = (page.locator(f".b-card[data-side={s}]").bounding_box() for s in ("left", "right"))
        assert b["y"] > a["y"]
        assert a["width"] > 1300
        assert page.get_attribute("html", "dir") == "rtl"
        assert page.get_attribute("html", "class") == "dark"
        assert page.inner_text("[data-act=tie] span") == "تعادل"
    page.click("[data-act=settings]")
    page.select_option("[data-set=layout]", "columns")
    page.keyboard.press("Escape")
    a, b = (page.locator(f".b-card[data-side={s}]").bounding_box() for s in ("left", "right"))
    assert a["x"] < b["x"]  # what is recorded as left is on the left
    assert not wide(page)


def test_images_and_turns_are_shown(page):
    opened(page, "Show")
    page.wait_for_selector("[data-f=prompt] img[alt='a loaf']")
    assert page.locator("[data-role]").count() == 4
    assert page.inner_text("[data-role=assistant] .b-role") == "Assistant"
    assert "https://e.example/x.png" in page.inner_text("[data-f=left]")
    page.keyboard.press("r")
    assert "assistant: Bread in *one* piece." in page.inner_text("[data-f=prompt]")
