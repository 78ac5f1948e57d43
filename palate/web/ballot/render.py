"""HTML for the pages: their templates, and text by models or strangers made harmless."""

import html
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # both are imported when the first page needs them
    from jinja2 import Environment, Template
    from markdown_it import MarkdownIt

TEMPLATES = Path(__file__).parent / "templates"
SHOWN_CHARACTERS = 20_000  # of one text
TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
    "ol", "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
MATH_TAGS = {
    "math", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mrow", "mspace", "msqrt", "mroot",
    "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover",
}  # fmt: skip
ATTRIBUTES = {
    "a": {"href"},
    "math": {"display"},
    "mo": {"stretchy", "fence", "movablelimits"},
    "mstyle": {"displaystyle"},
    "ol": {"start"},
}
# Characters that reverse the direction of text can make one answer look like the other.
BIDI = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C])


def template(name: str) -> "Template":
    """Return a template of this folder; a missing value is an error."""
    return _environment().get_template(name)


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(TEMPLATES)
    return Environment(loader=loader, undefined=StrictUndefined, autoescape=True)


@lru_cache(maxsize=4096)
def markdown(text: str) -> str:
    """Return sanitised HTML: no raw HTML, no images, no scripts; links open in a new tab.

    Tables and maths between dollar signs are rendered. Longer texts are cut after
    `SHOWN_CHARACTERS`.
    """
    import nh3

    clean = text.translate(BIDI).encode("utf-8", "replace").decode()
    if len(clean) > SHOWN_CHARACTERS:
        clean = clean[:SHOWN_CHARACTERS] + " …"
    return nh3.clean(
        _parser().render(clean),
        tags=TAGS | MATH_TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


@lru_cache(maxsize=1)
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
    return parser.use(
        dollarmath_plugin,
        allow_space=False,
        allow_digits=False,
        double_inline=True,
        renderer=_math,
    )


def _math(latex: str, options: dict) -> str:
    """Return MathML, which browsers render natively; invalid LaTeX is shown as code."""
    from latex2mathml.converter import convert

    try:
        return convert(latex, display="block" if options["display_mode"] else "inline")
    except Exception:  # a model's formula can be wrong in any way
        return f"<code>{html.escape(latex)}</code>"
