"""Text from anywhere shows itself in a card, and never becomes markup."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from palate.core import markdown
from palate.core.errors import BadInput
from palate.core.paths import shipped

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
anything = st.text(alphabet="`|<>#-*_[]()!\\&{}%\n\r\t x1.~$;'", max_size=40) | st.text(max_size=40)


def visible(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


@settings(max_examples=150)
@given(anything)
@example("</td><script>alert(1)</script>")
@example("[y](javascript:alert) ![x](x.png) &lt; &#60;")
@example("a\u2028b \u202e\ud800")
def test_text_shows_itself_wherever_it_stands(text):
    (paragraph,) = (t for t in PARSER.parse(f"x {markdown.inline(text)} x") if t.type == "inline")
    assert {t.type for t in paragraph.children or []} <= {"text", "text_special"}
    shown = "".join(t.content for t in paragraph.children or [])
    assert shown.split() == f"x {visible(text)} x".split()


@settings(max_examples=150)
@given(anything)
@example("a | b")
@example("`")
@example("a\\")
def test_a_cell_stays_a_cell(text):
    table = f"| a | b |\n|---|---|\n| {markdown.inline(text)} | {markdown.code(text)} |\n"
    types = [t.type for t in PARSER.parse(table)]
    assert types.count("td_open") == 2
    assert types.count("tr_open") == 2
    assert types[-1] == "table_close"


@settings(max_examples=150)
@given(anything)
@example("````\n# out of the fence\n```")
def test_nothing_leaves_a_code_block(text):
    tokens = PARSER.parse(f"{markdown.fence(text, 'json')}\n\nafter")
    assert [t.type for t in tokens][:2] == ["fence", "paragraph_open"]
    assert tokens[0].content.split() == text.replace("\0", "\ufffd").split()


def test_what_a_template_writes_is_escaped_unless_a_filter_made_it_markdown(tmp_path):
    template = tmp_path / "t.md.j2"
    template.write_text("{{ x }} {{ x | code }} {{ n }} {{ x | markdown }}")
    assert markdown.render(template, {"x": "*a*", "n": 1234}) == "&#42;a&#42; `*a*` 1,234 *a*"


def test_a_missing_fact_is_named(tmp_path):
    template = tmp_path / "t.md.j2"
    template.write_text("rate {{ rate }}")
    with pytest.raises(BadInput, match=r"t\.md\.j2: a fact is missing: 'rate' is undefined"):
        markdown.render(template, {})


def test_numbers_read_well():
    assert markdown.count(1, "vote") == "1 vote"
    assert markdown.count(1140, "label") == "1,140 labels"
    assert markdown.count(2, "person", "people") == "2 people"
    assert markdown.interval((0.623, 0.79)) == "62.3–79.0%"
    assert markdown.reasons({"ties": 12, "skipped": 3}) == "3 skipped; 12 ties."
    assert markdown.reasons({}) == "nothing."


@pytest.mark.parametrize("file", sorted(shipped("cards").rglob("*.j2")), ids=lambda file: file.name)
def test_no_card_has_a_macro(file):
    """What a macro returns would be escaped once more. A part that is included is not."""
    assert "{% macro" not in file.read_text("utf-8")
