import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.web.ballot.render import MATH_TAGS, SHOWN_CHARACTERS, TAGS, markdown


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("<script>x</script>", "<script"),
        ('<img src=x onerror="x">', "<img"),
        ("![x](http://example.com/a.png)", "<img"),
        ("[x](javascript:x)", "href"),
        ("[x](data:text/html,x)", "href"),
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


def test_a_text_of_enormous_length_is_cut():
    assert len(markdown("w" * 100_000)) < SHOWN_CHARACTERS + 100


@given(st.text(max_size=200))
def test_only_known_tags_come_out(text):
    import re

    assert set(re.findall(r"<\s*([a-z0-9]+)", markdown(text))) <= TAGS | MATH_TAGS
