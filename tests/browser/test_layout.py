"""The ballot on screens of all sizes: nothing is hidden or clipped, and layout is a choice."""

import pytest
from rich_ballot import aid, opened, ready, skip_to, wide

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("size", [(390, 844), (768, 1024), (1440, 900), (2560, 1300), (720, 450)])
def test_the_question_is_in_sight_and_nothing_is_clipped(page, size):
    opened(page, f"See{size[0]}", *size)
    for prompt in ("What is a loaf?", "Long?", "Bad input?", "Wide?", "Nothing?"):
        skip_to(page, prompt)
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(120)
        assert not wide(page), prompt
        question = page.locator(".b-brand").bounding_box()
        tools = page.locator(".b-scale[data-side=left]").bounding_box()
        assert question["y"] >= 0
        assert tools["y"] + tools["height"] <= size[1]
        if size[0] == 390:  # in reach of a thumb, and at the same place for every pair
            bar = page.locator(".b-tools").bounding_box()
            assert bar["y"] + bar["height"] == pytest.approx(size[1], abs=2)
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
    page.set_viewport_size({"width": 390, "height": 844})
    bar, more = (page.locator(f".{name}").bounding_box() for name in ("b-sub", "b-menu"))
    assert more["x"] + more["width"] == pytest.approx(bar["x"] + bar["width"], abs=2)
    assert not wide(page)


def test_images_and_turns_are_shown(page):
    opened(page, "Show")
    page.wait_for_selector("[data-f=prompt] img[alt='a loaf']")
    assert page.locator("[data-role]").count() == 4
    assert page.inner_text("[data-role=assistant] .b-role") == "Assistant"
    assert "https://e.example/x.png" in page.inner_text("[data-f=left]")
    page.keyboard.press("r")
    assert "assistant: Bread in *one* piece." in page.inner_text("[data-f=prompt]")
