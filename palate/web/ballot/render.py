"""Text that a model or a stranger wrote, made into harmless HTML."""

from functools import lru_cache

LONGEST = 20_000  # characters shown of one text
TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
    "ol", "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
MATHS = {
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
# Characters that turn the direction of what follows could make one answer look like the other.
BIDI = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C])


@lru_cache(maxsize=4096)
def markdown(text: str) -> str:
    """Return sanitised HTML: no raw HTML, no images, no script; links open elsewhere.

    Tables and maths between dollar signs show as such.
    """
    import nh3

    clean = text.translate(BIDI).encode("utf-8", "replace").decode()
    if len(clean) > LONGEST:
        clean = clean[:LONGEST] + " …"
    return nh3.clean(
        _parser().render(clean),
        tags=TAGS | MATHS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


@lru_cache(maxsize=1)
def _parser():
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
    return parser.use(
        dollarmath_plugin,
        allow_space=False,
        allow_digits=False,
        double_inline=True,
        renderer=_maths,
    )


def _maths(latex: str, options: dict) -> str:
    """Return MathML, which browsers show by themselves; what is no LaTeX stays as it is."""
    import html

    from latex2mathml.converter import convert

    try:
        return convert(latex, display="block" if options["display_mode"] else "inline")
    except Exception:  # a model's formula can be wrong in any way
        return f"<code>{html.escape(latex)}</code>"
