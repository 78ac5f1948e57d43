"""Text by strangers as HTML: nothing of it runs, nothing vanishes, nothing takes long."""

import re
import time
from html import unescape

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from palate.web.ballot.render import SHOWN_CHARACTERS, TAGS, markdown, written

PIECES = st.sampled_from(
    [*"*_`$\\()[]<>!^~|-#:. \n1", "word", "\\[", "\\]", "\\(", "$$", "\n\n", "[^a]: ", "[^a]",
     "```\n", "| a | b |\n|---|---|\n", "> ", "- ", "- [ ] ", "1. ", "[x]: http://y", "[x]",
     "    ", "\\begin{align}", "\\end{align}", "<b>", "</b>", "![i](http://j)", "[k](l)",
     "http://m.n", "__init__.py", "[^b]: "]
)  # fmt: skip
CELLS = "|a" * 5000 + "|\n" + "|-" * 5000 + "|\n" + "|\n" * 100
BOMBS = {
    "wide table": CELLS,
    "long table": "|a" * 256 + "|\n" + "|-" * 256 + "|\n" + "|\n" * 9000,
    "quotes": ">" * 20_000,
    "nested list": "".join(" " * (2 * i) + "- a\n" for i in range(138)),
    "openings": "\\[\n" * 6600,
    "openings and an end": "\\[\n" * 6600 + "\\] x",
    "dollars": "$a" * 10_000,
    "environments": "\\begin{align}\n" * 1400,
    "tables": "a-b|\n" * 4000,
    "rows": "-|-\n" * 5000,
    "notes": "".join(f"[^{i}]\n\n[^{i}]: a\n\n" for i in range(900)),
    "definitions": "[a]: b\n" * 2800,
    "addresses": "http://" + "a." * 9990,
    "tags": "<b>" * 6000,
    "images": "![" * 10_000,
}


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("<script>x</script>", "<script"),
        ('<img src=x onerror="x">', "<img"),
        ("![x](http://example.com/a.png)", "<img"),
        ("[x](javascript:x)", "href"),
        ("[x](data:text/html,x)", "href"),
        ("[x](/logout)", "href"),
        ("<a href=x onclick=x>y</a>", "<a"),
        ("safe \u202edesrever", "\u202e"),
    ],
)
def test_a_text_cannot_run_anything(text, never):
    assert never not in markdown(text)


def test_plain_markdown_is_rendered():
    html = markdown("**bold**\n\n1. one\n\n```\ncode\n```\n\n| a |\n|---|\n| b |")
    for tag in ("strong", "ol", "pre", "code", "table"):
        assert f"<{tag}" in html


def test_a_text_of_enormous_length_is_cut_and_says_so():
    html = markdown("w" * 100_000)
    assert len(html) < SHOWN_CHARACTERS + 100
    assert "80,000 more characters are not shown here." in html


@given(st.text(max_size=200))
def test_only_known_tags_come_out(text):
    assert set(re.findall(r"<\s*([a-z0-9]+)", markdown(text))) <= TAGS


@settings(max_examples=300)
@example(["[^a]: ", "[^a]: ", "word", "[^a]: "])
@given(st.lists(PIECES, max_size=40))
def test_no_word_vanishes(pieces):
    """Whatever the markup: each word, each address and each label is in what is shown."""
    numbered = [piece.replace("word", f"word{i}") for i, piece in enumerate(pieces)]
    text = "".join(numbered)
    shown = unescape(markdown(text))
    for word in re.findall(r"word\d+", text):
        assert word in shown, text
    if "__init__.py" in text and "`" not in text and "$" not in text:
        assert "init" in shown


def test_characters_that_cannot_be_seen_are_named():
    assert written("a\x00\x1b[31m\u202e\U000e0041\U000e0042b") == (
        "a[U+0000][U+001B][31m[U+202E][U+E0041]b"
    )
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    assert written(f"{flag} \u200d\ufe0f") == f"{flag} \u200d\ufe0f"


@pytest.mark.parametrize("name", BOMBS)
def test_no_text_takes_long_or_grows_much(name):
    text = BOMBS[name]
    started = time.process_time()
    html = markdown(text)
    assert time.process_time() - started < 3
    assert len(html) < 12 * SHOWN_CHARACTERS
