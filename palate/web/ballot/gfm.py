"""Markdown as GitHub and chat pages show it; what they would swallow stays visible. Pure: no I/O.

Tables, task lists, footnotes, struck text and bare addresses are GitHub's.
"""

import re
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported when the first page needs them
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

DEPTH = 32  # of quotes and lists, two for each list
FILLED_CELLS = 2000  # that a table may lack: a table of more is shown as text
HTML = re.compile(r"<(/?)(b|code|del|em|i|ins|kbd|mark|s|small|strong|sub|sup|u)>")
ADDRESS = re.compile(r"(?<![\w@/.])(https?://|www\.)[^\s<]+")
TASK = re.compile(r"\[([ xX])\]\s")
BUILT_IN = (object, type, dict, int, str, set, Exception, types.ModuleType, types.FunctionType)
DUNDER = re.compile(r"__([a-z]+(?:_[a-z]+)*)__(?!\w)(?=(\.\w|\(|\[|\s*==)?)")
MORE = "all enter exit file future main path pycache slots version"
DUNDERS = {name.strip("_") for of in BUILT_IN for name in dir(of)} | {*MORE.split()}


def parser() -> "MarkdownIt":
    """Return the parser; render.py makes HTML of its tokens."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.footnote import footnote_plugin

    options = {
        "html": True,
        "breaks": True,
        "maxNesting": DEPTH,
        "store_labels": True,
        "strikethrough_single_tilde": True,
    }
    md = MarkdownIt("commonmark", options).enable(["table", "strikethrough"]).disable("html_block")
    footnote_plugin(md, inline=False)
    md.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    md.block.ruler.at("reference", _reference)
    md.inline.ruler.before("emphasis", "dunder", _dunder)
    md.core.ruler.before("inline", "rows", _rows)
    md.core.ruler.before("footnote_tail", "unused", _unused)
    for rule in (_definitions, _html, _links, _addresses, _numbers):
        md.core.ruler.push(rule.__name__, rule)
    return md


def _dunder(state: "StateInline", silent: bool) -> bool:
    """Keep `__init__.py` and such as they are."""
    match = DUNDER.match(state.src, state.pos)
    if not match or not (match[2] or match[1] in DUNDERS):
        return False
    if not silent:
        state.push("text", "", 0).content = match[0]
    state.pos = match.end()
    return True


def _line(state: "StateBlock", line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()


def _table(state: "StateBlock", start: int, end: int, silent: bool) -> bool:
    from markdown_it.rules_block import table

    if not table(state, start, end, True):
        return False
    columns, lacking = _line(state, start + 1).count("|"), 0
    for line in range(start, end):
        if not (text := _line(state, line)):
            break
        lacking += max(0, columns - text.count("|"))
    return lacking <= FILLED_CELLS and table(state, start, end, silent)


def _rows(state: "StateCore") -> None:
    """Keep the cells that a row has too many; make alignment and tasks visible."""
    from markdown_it.rules_block.table import escapedSplit

    lines, tokens = state.src.split("\n"), state.tokens
    for i, token in enumerate(tokens):
        if token.type == "tr_open" and token.map:
            _keep_cells(tokens, i, escapedSplit(_row(lines[token.map[0]])))
        elif token.type in ("th_open", "td_open") and token.attrs:
            token.attrs = {"align": str(token.attrs["style"]).removeprefix("text-align:")}
        task = TASK.match(token.content) if token.type == "inline" else None
        if task and i > 1 and tokens[i - 2].type == "list_item_open":
            box = "☐" if task[1] == " " else "☑"
            token.content = f"{box} {token.content[task.end() :]}"
            tokens[i - 2].attrSet("data-task", "")


def _keep_cells(tokens: "list[Token]", start: int, written: list[str]) -> None:
    end = next(i for i in range(start, len(tokens)) if tokens[i].type == "tr_close")
    cells = [t for t in tokens[start:end] if t.type == "inline"]
    if len(written) > len(cells):
        cells[-1].content = " | ".join(c.strip() for c in written[len(cells) - 1 :])


def _row(line: str) -> str:
    """Return a row without what surrounds its cells, such as the marks of a quote."""
    row = line.strip()
    while row.startswith(">"):
        row = row[1:].strip()
    return row.removeprefix("|").removesuffix("|" if not row.endswith("\\|") else "")


def _reference(state: "StateBlock", start: int, end: int, silent: bool) -> bool:
    from markdown_it.rules_block import reference

    if not reference(state, start, end, silent):
        return False
    if not silent:
        token = state.push("definition", "", 0)
        token.content = state.getLines(start, state.line, state.blkIndent, False)
    return True


def _text(content: str) -> "Token":
    from markdown_it.token import Token

    return Token("text", "", 0, content=content)


def _paragraph(text: str) -> "Iterator[Token]":
    from markdown_it.token import Token

    yield Token("paragraph_open", "p", 1, block=True)
    yield Token("inline", "", 0, content=text, children=[_text(text)])
    yield Token("paragraph_close", "p", -1, block=True)


def _unused(state: "StateCore") -> None:
    """Show footnotes that nothing refers to where they are, not nowhere; so those within others."""
    refs = dict(state.env.get("footnotes", {}).get("refs", {}))
    tokens: list[Token] = []
    shown: list[bool] = []  # of the footnotes that are open
    for token in state.tokens:
        if token.type == "footnote_reference_open":
            label = token.meta["label"]
            shown.append(not all(shown) or refs.get(f":{label}", -1) < 0)
            refs[f":{label}"] = -1  # a second one of that name is not referred to
            tokens += _paragraph(f"[^{label}]:") if shown[-1] else [token]
        elif token.type != "footnote_reference_close" or not shown.pop():
            tokens.append(token)
    state.tokens = tokens


def _definitions(state: "StateCore") -> None:
    """Show the definitions of links that nothing uses."""
    from markdown_it.common.utils import normalizeReference

    inline = (child for token in state.tokens for child in token.children or ())
    used = {t.meta.get("label") for t in inline if t.type in ("link_open", "image")}
    tokens: list[Token] = []
    for token in state.tokens:
        if token.type != "definition":
            tokens.append(token)
            continue
        label = normalizeReference(token.content.partition("]:")[0].strip()[1:])
        if label in used:
            used.discard(label)
        else:
            tokens += _paragraph(token.content.strip())
    state.tokens = tokens


def _each(state: "StateCore", change: "Callable[[list[Token]], list[Token]]") -> None:
    for token in state.tokens:
        if token.children:
            token.children = change(token.children)


def _html(state: "StateCore") -> None:
    """Keep pairs of harmless tags; show every other tag as it is written."""

    def change(children: "list[Token]") -> "list[Token]":
        open_tags: list[Token] = []
        for token in children:
            if token.type != "html_inline":
                continue
            match = HTML.fullmatch(token.content.lower())
            token.type = "text"
            if re.fullmatch(r"<br\s*/?>", token.content.lower()):
                token.type = "hardbreak"
            elif match and not match[1]:
                open_tags.append(token)
            elif match and open_tags and open_tags[-1].content.lower() == f"<{match[2]}>":
                open_tags.pop().type = token.type = "html_inline"
        return children

    _each(state, change)


def _links(state: "StateCore") -> None:
    """Show links that lead to no web page or address as written, and links without words."""

    def change(children: "list[Token]") -> "list[Token]":
        result: list[Token] = []
        addresses: list[str] = []  # of the links that are open; "" for the others
        for i, token in enumerate(children):
            if token.type == "link_open":
                address = str(token.attrGet("href") or "")
                ends = {"autolink": ("<", ">")}.get(token.markup, ("[", f"]({address})"))
                good = address.lower().startswith(("http://", "https://", "mailto:"))
                addresses.append("" if good else ends[1])
                result.append(token if good else _text(ends[0]))
                if good and children[i + 1].type == "link_close":
                    result.append(_text(address))
            elif token.type == "link_close":
                written = addresses.pop()
                result.append(_text(written) if written else token)
            else:
                result.append(token)
        return result

    _each(state, change)


def _addresses(state: "StateCore") -> None:
    """Make links of bare web addresses."""

    def change(children: "list[Token]") -> "list[Token]":
        result: list[Token] = []
        depth = 0
        for token in children:
            depth += token.nesting if token.type.startswith("link_") else 0
            plain = token.type == "text" and not depth
            result += _linked(token.content) if plain else [token]
        return result

    _each(state, change)


def _linked(text: str) -> "Iterator[Token]":
    from markdown_it.token import Token

    done = 0
    for match in ADDRESS.finditer(text):
        address = match[0].rstrip("?!.,:*_~'\";")
        while address.endswith(")") and address.count(")") > address.count("("):
            address = address[:-1].rstrip("?!.,:*_~'\";")
        if "." not in address.removeprefix("www."):
            continue
        yield _text(text[done : match.start()])
        href = address if match[1] != "www." else f"http://{address}"
        yield Token("link_open", "a", 1, attrs={"href": href})
        yield _text(address)
        yield Token("link_close", "a", -1)
        done = match.start() + len(address)
    yield _text(text[done:])


def _numbers(state: "StateCore") -> None:
    """Number lists as written, such as 3, 2, 1; ones alone are counted."""
    lists: list[list[Token]] = []
    for token in state.tokens:
        if token.type == "ordered_list_open":
            lists.append([])
        elif token.type == "list_item_open" and token.info and lists:
            lists[-1].append(token)
        elif token.type == "ordered_list_close":
            items = lists.pop()
            if len({item.info for item in items}) > 1:
                for item in items:
                    item.attrSet("value", item.info)
