"""HTML for the pages: their templates, and text by models or strangers made harmless.

Mathematics between `$`, `$$`, `\\(` or `\\[`, or in an environment such as `align`, stays as
written in an element with `data-math`; maths.js typesets it in the page.
"""

import html
import re
from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from palate.core.schema import Messages
from palate.web.ballot import gfm
from palate.web.ballot.walls import picture

if TYPE_CHECKING:  # all are imported when the first page needs them
    from jinja2 import Environment, Template
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

TEMPLATES = Path(__file__).parent / "templates"
SHOWN_CHARACTERS = 20_000  # of one text
WRITTEN_CHARACTERS = 50_000  # of one text as it is written
IMAGES = 4  # of a text that are shown
TAGS = {
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "i", "ins", "kbd", "li", "mark", "ol", "p", "pre", "s", "small", "span", "strong", "sub", "sup",
    "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
ATTRIBUTES = {
    "a": {"href", "title"},
    "li": {"data-task", "value"},
    "ol": {"data-notes", "start"},
    "p": {"data-note"},
    "pre": {"data-language"},
    "span": {"data-image", "data-math", "data-picture", "data-alt"},
    "td": {"align"},
    "th": {"align"},
}
# an image in the text: its data are base64 without an end in sight
DATA = re.compile(r"\]\((data:image/[\w.+-]{1,40};base64,[A-Za-z0-9+/]+={0,2})(?=[\s)])")
PICTURE = re.compile(r"picture:(\d{1,4})")
ROLES = ("system", "user", "assistant", "tool")
# Characters that cannot be seen: controls, those that reverse the direction of text so that one
# answer can look like the other, and a hidden alphabet where it spells no flag.
UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e\ufff9-\ufffb\ud800-\udfff]"
    "|(?<![\U0001f3f4\U000e0020-\U000e007e])[\U000e0000-\U000e007f]+"
)
ENVIRONMENTS = (
    "align|aligned|alignat|alignedat|gather|gathered|equation|eqnarray|multline|split|cases|rcases"
    "|matrix|pmatrix|bmatrix|Bmatrix|vmatrix|Vmatrix|smallmatrix|array|CD"
)
MATHS = re.compile(rf"\$\$|\\\[|\\begin\{{({ENVIRONMENTS})(\*?)\}}")
PROSE = re.compile(r"(\d+|[A-Za-z]{2,}[,;]?( [A-Za-z]{2,}[,;]?)+[.!?]?)")  # not mathematics
WORD = re.compile(r"[A-Za-z]{2,}")
ORDINAL = re.compile(r"(?<=[\w)}]\$)(st|nd|rd|th|s)\b")  # as in $n$th


def template(name: str) -> "Template":
    """Return a template of this folder; a missing value is an error."""
    return _environment().get_template(name)


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(TEMPLATES)
    return Environment(loader=loader, undefined=StrictUndefined, autoescape=True)


def written(text: str) -> str:
    """Return the text as it is, with placeholders for characters that cannot be seen."""
    return UNSEEN.sub(lambda m: f"[U+{ord(m[0][0]):04X}]", text)


def markdown(text: str) -> str:
    """Return sanitised HTML: no scripts, images as words, links that open in a new tab.

    Nothing of the text vanishes unseen. What is longer than `SHOWN_CHARACTERS` is cut, which the
    HTML says. An image that a page may show is named in `data-picture`; content.js shows it.
    """
    return (_markdown if len(text) < WRITTEN_CHARACTERS else _markdown.__wrapped__)(text)


@lru_cache(maxsize=4096)
def _markdown(text: str) -> str:
    import nh3

    pictures: list[str] = []  # data that is no text to be cut
    text = DATA.sub(lambda m: f"](picture:{len(pictures)}{pictures.append(m[1]) or ''}", text)
    clean = written(text).replace("\u2028", "\n").replace("\u2029", "\n\n")
    cut = len(clean) - SHOWN_CHARACTERS
    note = f"<p data-note>{cut:,} more characters are not shown here.</p>" if cut > 0 else ""
    return nh3.clean(
        _rendered(clean[:SHOWN_CHARACTERS], pictures) + note,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def chat(messages: Messages) -> str:
    """Return a prompt as HTML: one question as it is, a conversation as turns with roles."""
    if [m["role"] for m in messages] == ["user"]:
        return markdown(messages[0]["content"])
    return "".join(
        f'<div data-role="{m["role"] if m["role"] in ROLES else "tool"}">'
        f"{markdown(m['content'])}</div>"
        for m in messages
    )


def shown_pair(messages: Messages, left: str, right: str) -> dict[str, object]:
    """Return what the page shows of a pair: each text as HTML, and all as they are written."""
    many = len(messages) > 1
    turns = [f"{m['role']}: {m['content']}" if many else m["content"] for m in messages]
    as_written = {
        "prompt": _start("\n\n".join(turns)),
        "left": _start(left),
        "right": _start(right),
    }
    html_of = {"prompt": chat(messages), "left": markdown(left), "right": markdown(right)}
    return html_of | {"written": as_written}


def _start(text: str) -> str:
    text = DATA.sub(lambda m: f"]({m[1][:40]}… [{len(m[1]):,} characters]", text)
    cut = len(text) - WRITTEN_CHARACTERS
    note = f"\n[{cut:,} more characters are not shown here.]" if cut > 0 else ""
    return written(text[:WRITTEN_CHARACTERS]) + note


def _rendered(text: str, pictures: list[str]) -> str:
    parser = _parser()
    env: dict = {"pictures": pictures}
    tokens = parser.parse(text, env)
    if any(token.level >= parser.options.maxNesting - 4 for token in tokens):
        return f"<pre>{html.escape(text)}</pre>"  # the parser leaves out what is nested deeper
    return parser.renderer.render(tokens, parser.options, env)


@lru_cache(maxsize=1)
def _parser() -> "MarkdownIt":
    md = gfm.parser()
    ends = ["paragraph", "reference", "blockquote", "list"]
    md.block.ruler.before("fence", "maths", _block_maths, {"alt": ends})
    md.inline.ruler.before("escape", "maths", _inline_maths)
    for name, render in RENDERERS.items():
        md.add_render_rule(name, render)
    return md


def _block_maths(state: "StateBlock", start: int, end: int, silent: bool) -> bool:
    """Take display mathematics that begins a line and whose end ends one."""
    src, pos = state.src, state.bMarks[start] + state.tShift[start]
    opening = MATHS.match(src, pos)
    if not opening or state.is_code_block(start):
        return False
    closing = _closing(opening)
    at = src.find(closing, opening.end())
    last = bisect_left(state.eMarks, at)
    if not 0 <= at < state.eMarks[end - 1] or src[at + len(closing) : state.eMarks[last]].strip():
        return False
    for line in range(start + 1, last + 1):
        blank = state.isEmpty(line)
        if (blank and closing == "$$") or (not blank and state.sCount[line] < state.blkIndent):
            return False
    if not silent:
        state.line = last + 1
        token = state.push("maths_block", "", 0)
        token.content = state.getLines(start, last + 1, state.blkIndent, False).strip()
    return True


def _closing(opening: re.Match[str]) -> str:
    simple = {"$$": "$$", "\\[": "\\]"}
    return simple.get(opening[0]) or f"\\end{{{opening[1]}{opening[2]}}}"


def _inline_maths(state: "StateInline", silent: bool) -> bool:
    src, pos = state.src[: state.posMax], state.pos
    if src[pos] not in "$\\":
        return False
    if src.startswith("\\(", pos):
        end = _bracketed(src, pos + 2, "\\)")
    elif opening := MATHS.match(src, pos):
        end = _bracketed(src, opening.end(), _closing(opening))
    else:
        end = _dollars(src, pos) if src[pos] == "$" else 0
    if not end:
        return False
    if not silent:
        display = not src.startswith(("$", "\\("), pos) or src.startswith("$$", pos)
        token = state.push("maths_display" if display else "maths", "", 0)
        token.content = src[pos:end]
    state.pos = end
    return True


def _bracketed(src: str, start: int, closing: str) -> int:
    """Return where the mathematics that `closing` closes ends; 0 if it is none."""
    end = src.find(closing, start)
    content = src[start:end]
    if end < 0 or not content.strip() or (closing[1] in "])" and PROSE.fullmatch(content)):
        return 0
    return end + len(closing)


def _dollars(src: str, pos: int) -> int:
    """Return where the mathematics between this dollar and the next ends; 0 if these are prices,
    variables of a shell, and such."""
    if _joins(src[pos - 1 : pos]):
        return 0
    end = src.find("$", pos + 1)
    while end > 0 and src[end - 1] == "\\":
        end = src.find("$", end + 1)
    inside, after = src[pos + 1 : end], src[end + 1 : end + 2]
    if end < 0 or not inside or inside != inside.strip() or "`" in inside:
        return 0
    if (_joins(after) or after in ("{", "(")) and not ORDINAL.match(src, end + 1):
        return 0
    if inside[0].isdigit() and "\\" not in inside and WORD.search(inside):
        return 0
    return end + 1


def _joins(letter: str) -> bool:
    return letter.isascii() and (letter.isalnum() or letter in ("_", "$"))


def _code(self: "RendererHTML", tokens: "list[Token]", i: int, *_: object) -> str:
    language = html.escape(tokens[i].info.strip())
    return f'<pre data-language="{language}"><code>{html.escape(tokens[i].content)}</code></pre>\n'


def _image(
    self: "RendererHTML", tokens: "list[Token]", i: int, options: "OptionsDict", env: dict
) -> str:
    token = tokens[i]
    words = self.renderInlineAsText(token.children, options, env) if token.children else ""
    address = str(token.attrGet("src") or "")
    if (number := PICTURE.fullmatch(address)) and int(number[1]) < len(env["pictures"][:IMAGES]):
        address = env["pictures"][int(number[1])]
    source, refusal = picture(address)
    env["shown"] = env.get("shown", 0) + bool(source)
    if source and env["shown"] > IMAGES:  # each is a request, and a text may name thousands
        source, refusal = "", f"Not shown: only the first {IMAGES} images of a text are."
    named = f'data-picture="{html.escape(source)}" data-alt="{html.escape(words)}"'
    shown = f" {named}" if source else ""
    address = address if len(address) <= 120 else f"{address[:120]}…"
    title = f"“{title}”" if (title := token.attrGet("title")) else ""
    parts = [f"Image: {words}".rstrip(": "), title, f"({address})", refusal]
    return f"<span data-image{shown}>{html.escape(' '.join(filter(None, parts)))}</span>"


def _note(self: "RendererHTML", tokens: "list[Token]", i: int, *_: object) -> str:
    return f"<sup>[{tokens[i].meta['id'] + 1}]</sup>"


def _element(before: str, after: str = "") -> Callable[..., str]:
    """Return a renderer that puts a token's content between the two."""

    def render(self: "RendererHTML", tokens: "list[Token]", i: int, *_: object) -> str:
        return f"{before}{html.escape(tokens[i].content)}{after}"

    return render


RENDERERS: dict[str, Callable[..., str]] = {
    "fence": _code,
    "code_block": _code,
    "image": _image,
    "footnote_ref": _note,
    "footnote_anchor": _element(""),
    "footnote_block_open": _element("<hr><ol data-notes>"),
    "footnote_block_close": _element("</ol>"),
    "footnote_open": _element("<li>"),
    "footnote_close": _element("</li>"),
    "maths": _element('<span data-math="">', "</span>"),
    "maths_display": _element('<span data-math="display">', "</span>"),
    "maths_block": _element('<p><span data-math="display">', "</span></p>\n"),
}
