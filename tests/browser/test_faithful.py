"""What people see is what was written: answers as models write them, in the page, in Chromium.

`answers/expected.json` holds what micromark with GFM makes of each answer, and its formulas.
"""

import json
import re
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from devices import DESK, PHONE
from still_ballot import served

ANSWERS = Path(__file__).parent / "answers"
TEXTS = {file.stem: file.read_text("utf-8") for file in sorted(ANSWERS.glob("*.txt"))}
EXPECTED = json.loads((ANSWERS / "expected.json").read_text("utf-8"))
NAMED = {text: name for name, text in TEXTS.items()}
REST = [*TEXTS.values(), "The end."]
PAIRS = [(f"Prompt {i}", *REST[i : i + 2]) for i in range(0, len(REST) - 1, 2)]
# Where the page shows more than GFM does
DIFFERS = {
    "dunder": {"strong": 1},  # __init__.py keeps its underscores
    "footnotes": {"a": 0},  # numbers that lead nowhere, as the notes are in sight
    "html-script": {"img": 0},  # shown as text
    "links-odd": {"a": 1},  # others than web addresses are shown as text
    "links-reference": {"a": 3},  # the definition that nothing uses is shown
}
NAMES = {
    "del": "s", "img": ":is([data-image], img)", "input": "li[data-task]",
}  # fmt: skip
# What may be markup: names of tags and entities, labels of links and notes
SILENT = {
    "table-breaks": "br sub sup", "html-inline": "kbd b u mark",
    "entities": "lt gt amp copy 8364 nbsp",
    "links-reference": "1 two", "footnotes": "1 note",
    "rtl-override": "", "list-tasks": "x X",
}  # fmt: skip
KATEX = """([tex, displayMode]) => {
  const box = document.createElement('span')
  katex.render(tex.replace(/(?<!\\\\)%/g, '\\\\%'), box, { displayMode, strict: 'ignore' })
  return box.innerHTML
}"""
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def url(space_python):
    with space_python.instead(), served(PAIRS) as page:
        yield page.url


@pytest.fixture
def shown(visit):
    """Opens the page on one answer, beside another."""
    with ExitStack() as stack:

        def shown(name: str, device: dict, other: str = "Something else."):
            pairs = [("Which?", TEXTS.get(name, name), other)]
            v = visit(stack.enter_context(served(pairs)).url, "Ada", device)
            v.ready()
            return v

        yield shown


def answers(v):
    """Yield the name of each answer, and where it is, while it is on screen."""
    for _, left, right in PAIRS:
        v.ready()
        for side, text in (("left", left), ("right", right)):
            if text in NAMED:
                yield NAMED[text], f"[data-f={side}]"
        v.press("x")


def seen(v, where: str) -> str:
    """Return all that can be read in an answer: text, formulas, labels and addresses."""
    return v.page.evaluate(
        """(where) => {
      const root = document.querySelector(where).cloneNode(true)
      for (const e of root.querySelectorAll('[data-source]'))
        if (e.dataset.source) e.replaceWith(e.dataset.source)
      const links = [...root.querySelectorAll('a')].map((a) => a.href + ' ' + a.title)
      const numbers = [...root.querySelectorAll('li')].map((li) => {
        const list = li.parentElement
        const index = [...list.children].filter((e) => e.matches('li')).indexOf(li)
        return li.hasAttribute('value') ? li.value : (list.start || 1) + index
      })
      const images = [...root.querySelectorAll('img')].map((e) => e.alt + ' ' + e.src)
      return [root.textContent, ...links, ...images, ...numbers].join(' ')
    }""",
        where,
    )


def test_every_answer_is_shown_as_it_was_written(url, visit):
    v = visit(url, "Ada", DESK)
    wrong: dict[str, object] = {}
    for name, where in answers(v):
        if EXPECTED[name]["maths"] and name != "maths-wrong":
            v.page.wait_for_selector(f"{where} .katex", timeout=20000)
        text, silent = seen(v, where), SILENT.get(name, "").split()
        words = set(re.findall(r"[^\W_]+", TEXTS[name]))
        if lost := {word for word in words if word not in text and word not in silent}:
            wrong[f"{name}: lost"] = lost
        elements = EXPECTED[name]["elements"] | DIFFERS.get(name, {})
        counts = {
            tag: v.page.locator(
                f"{where} {NAMES.get(tag, tag)}:not([data-notes], [data-notes] *)"
            ).count()
            for tag in elements
        }
        if counts != elements:
            wrong[f"{name}: elements"] = (counts, elements)
    assert wrong == {}
    assert (v.complaints, v.strangers) == ([], [])
    assert v.page.evaluate("window.hurt") is None


def test_formulas_are_what_katex_makes_of_them(url, visit):
    v = visit(url, "Bo", DESK)
    compared = 0
    for name, where in answers(v):
        formulas = EXPECTED[name]["maths"]
        if not formulas or name == "maths-wrong":
            continue
        v.page.wait_for_selector(f"{where} .katex", timeout=20000)
        shown = v.page.eval_on_selector_all(
            f"{where} [data-math]", "all => all.map((e) => [e.dataset.math, e.innerHTML])"
        )
        assert len(shown) == len(formulas), name
        for written, (kind, html) in zip(formulas, shown, strict=True):
            tex = re.sub(r"^(\$\$?|\\[(\[])|(\$\$?|\\[)\]])$", "", written)
            tex = tex.replace("\n> ", "\n") if name == "maths-quote" else tex
            tex = re.sub(r"(?m)^   ", "", tex) if name == "maths-in-list" else tex
            # a wide one scrolls by keyboard, too
            plain = re.sub(r' (data-wide=""|tabindex="0")', "", html)
            assert plain == v.page.evaluate(KATEX, [tex, kind == "display"]), written
            compared += 1
    assert compared > 40


def test_a_formula_that_is_none_stays_as_written(shown):
    v = shown("maths-wrong", DESK)
    v.page.wait_for_selector("[data-f=left] [data-source]", state="attached")
    text = v.page.inner_text("[data-f=left]")
    assert r"$\frac{1}{2$" in text
    assert r"\(\undefinedcommand{x}\)" in text


@pytest.mark.parametrize("device", [DESK, PHONE], ids=["desk", "phone"])
def test_words_of_a_table_do_not_break(shown, device):
    v = shown("table-wide", device)
    broken = v.page.evaluate("""() => {
      const range = document.createRange(), broken = []
      const table = document.querySelector('[data-f=left] table')
      const walk = document.createTreeWalker(table, NodeFilter.SHOW_TEXT)
      for (let node = walk.nextNode(); node; node = walk.nextNode())
        for (const m of node.data.matchAll(/\\w+/g)) {
          range.setStart(node, m.index)
          range.setEnd(node, m.index + m[0].length)
          if (range.getClientRects().length > 1) broken.push(m[0])
        }
      return broken
    }""")
    assert broken == []
    wide = "e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX === 'auto'"
    assert v.page.eval_on_selector("[data-f=left] .b-table", wide)
    assert not v.page.evaluate("document.scrollingElement.scrollWidth > innerWidth")


@pytest.mark.parametrize("device", [DESK, PHONE], ids=["desk", "phone"])
def test_code_scrolls_has_its_language_and_can_be_copied(shown, device):
    v = shown("code-python", device)
    v.context.grant_permissions(["clipboard-read", "clipboard-write"])
    wide = "e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX === 'auto'"
    assert v.page.eval_on_selector("[data-f=left] pre", wide)
    assert not v.page.evaluate("document.scrollingElement.scrollWidth > innerWidth")
    assert v.page.inner_text("[data-f=left] .b-code-head span") == "python"
    v.page.click("[data-f=left] .b-copy")
    v.page.wait_for_selector('[data-f=left] .b-copy:text-is("Copied")')
    code = TEXTS["code-python"].split("```")[1].removeprefix("python\n")
    assert v.page.evaluate("navigator.clipboard.readText()") == code
    assert v.current()  # copying is no answer


def test_a_key_shows_what_was_written(shown):
    v = shown("maths-bracket", DESK)
    v.page.keyboard.press("r")
    assert v.page.text_content("[data-f=left]") == TEXTS["maths-bracket"]
    v.page.keyboard.press("r")
    v.page.wait_for_selector("[data-f=left] .katex")
    assert v.page.locator(".b-written").count() == 0


def test_arrows_scroll_what_has_the_focus_and_are_no_answer(shown):
    v = shown("A line.\n\n" * 200, DESK)
    v.page.focus(".b-card[data-side=left]")
    v.page.keyboard.press("ArrowDown")
    v.page.wait_for_timeout(300)
    assert v.current() == "Ada-0"
    assert v.page.eval_on_selector(".b-card[data-side=left]", "e => e.scrollTop") > 0
    v.page.keyboard.press("ArrowLeft")
    v.page.wait_for_selector(".ballot[data-state=empty]")


@pytest.mark.parametrize(
    ("left", "right", "marked"),
    [
        ("今天天气很好。", "今天天气不好。", ["很好", "不好"]),
        ("วันนี้อากาศดีมาก", "วันนี้อากาศร้อนมาก", ["ดี", "ร้อน"]),
        ("one two three", "one four three", ["two", "four"]),
        ("so $x^2$ is", "so $x^3$ is", ["$x^2$", "$x^3$"]),
        ("```py\na = 1\n```", "```js\na = 2\n```", ["1", "2"]),
    ],
)
def test_differences_are_by_word_in_every_script(shown, left, right, marked):
    v = shown(left, DESK, right)
    if "$" in left:
        v.page.wait_for_selector(".katex")
    v.page.keyboard.press("d")
    source = "(m) => m.querySelector('[data-source]')?.dataset.source ?? m.textContent"
    marks = v.page.eval_on_selector_all(".b-md mark", f"all => all.map({source})")
    assert marks == marked
    v.page.keyboard.press("d")
    assert v.page.locator(".b-md mark").count() == 0


BOMBS = {
    "expansion": r"$\def\a{" + "x" * 2000 + r"}" + r"\a" * 900 + "$",
    "recursion": r"$\def\a{\a\a}\a$",
    "size": r"$\rule{99999em}{99999em}$ $\kern99999em x$",
    "braces": "$" + "{" * 2400 + "}" * 2400 + "$",
    "matrix": r"\[\begin{matrix}" + "&" * 4000 + r"\end{matrix}\]",
    "many": "$x^2$ " * 3000,
    "fractions": "$" + r"\frac{1}{" * 400 + "1" + "}" * 400 + "$",
    "links": r"$\href{javascript:window.hurt=1}{x}$ $\includegraphics{https://e.example/x.png}$",
    "classes": r"$\htmlStyle{position:fixed;inset:0}{x}$ $\htmlId{a}{x}$",
}


def test_formulas_that_would_take_the_page_away_are_harmless(visit):
    with served([("Which?", text, "No.") for text in BOMBS.values()]) as page:
        v = visit(page.url, "Ada", DESK)
        for name in BOMBS:
            v.ready()
            started = time.monotonic()
            where = "[data-f=left] [data-source]"
            v.page.wait_for_selector(where, state="attached", timeout=10000)
            assert not v.page.evaluate("document.scrollingElement.scrollWidth > innerWidth"), name
            v.press("x")
            assert time.monotonic() - started < 5, name
        v.page.wait_for_selector(".ballot[data-state=empty]", timeout=5000)
        assert v.page.evaluate("window.hurt") is None
        assert (v.complaints, v.strangers) == ([], [])


CRAMPED = """(where) => [...document.querySelectorAll(where + ' :is(ol, ul)')].filter((list) => {
  const style = getComputedStyle(list), pen = document.createElement('canvas').getContext('2d')
  pen.font = `${style.fontSize} ${style.fontFamily}`
  const numbers = [...list.children].map((li, i) => li.value || list.start + i)
  const widths = list.matches('ol') ? numbers.map((n) => pen.measureText(`${n}. `).width) : [0]
  const room = style.direction === 'rtl' ? style.paddingRight : style.paddingLeft
  return Math.max(...widths) > parseFloat(room)
}).length"""


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("1. 2024. was good\n2. so was 2025", "ltr"),
        ("998. a\n999. b\n1000. c", "ltr"),
        ("- 123456789. x\n- y", "ltr"),
        ("1. أولاً\n2. ثانياً: https://example.com", "rtl"),
        ("> - שלום\n>\n>   עולם\n> - hello", "rtl"),
        ("1990. (123) سنة", "rtl"),
        ("- 1. English\n- أولاً", "ltr"),
    ],
)
@pytest.mark.parametrize("device", [DESK, PHONE], ids=["desk", "phone"])
def test_numbers_of_a_list_have_room_on_the_side_where_its_text_begins(
    shown, device, text, direction
):
    v = shown(text, device)
    where = next(
        f"[data-f={side}]"
        for side in ("left", "right")
        if v.page.locator(f"[data-f={side}] li").count()
    )
    outer = v.page.locator(f"{where} :is(ol, ul)").first
    assert outer.evaluate("(e) => getComputedStyle(e).direction") == direction
    assert v.page.evaluate(CRAMPED, where) == 0


def test_an_image_of_one_pixel_can_be_seen(shown):
    v = shown("image-data", DESK)
    box = v.page.locator(".b-card img").first.bounding_box()
    assert min(box["width"], box["height"]) >= 24
