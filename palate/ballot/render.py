"""Text that a model or a stranger wrote, made into harmless HTML."""

from functools import lru_cache

LONGEST = 20_000  # characters shown of one text
TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
    "ol", "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
# Characters that turn the direction of what follows could make one answer look like the other.
BIDI = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C])


@lru_cache(maxsize=4096)
def markdown(text: str) -> str:
    """Return sanitised HTML: no raw HTML, no images, no script; links open elsewhere."""
    import nh3
    from markdown_it import MarkdownIt

    clean = text.translate(BIDI).encode("utf-8", "replace").decode()
    if len(clean) > LONGEST:
        clean = clean[:LONGEST] + " …"
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
    return nh3.clean(
        parser.render(clean),
        tags=TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
