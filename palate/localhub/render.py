"""Untrusted cards, rows and metadata as HTML that is safe to show."""

import csv
import io
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from urllib.parse import quote, unquote, urlsplit

import nh3
from markdown_it import MarkdownIt

from palate.localhub import metadata

_markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
MAX_CELL = 2000  # characters
MAX_COLUMNS = 100  # of a table: each row of a file may have other names


def card(text: str, files: str, pages: str) -> str:
    """Return a card's Markdown as HTML without scripts, styles or requests to other servers.

    Relative images load from `files`, relative links lead to `pages`, both without a final slash.
    """

    def attribute(tag: str, name: str, value: str) -> str | None:
        try:
            return resolved(tag, name, value)
        except ValueError:  # not a URL; nh3 keeps the value if this function raises
            return None

    def resolved(tag: str, name: str, value: str) -> str | None:
        if (tag, name) == ("img", "src"):
            return _relative(value, files)  # an image from another server would track readers
        if (tag, name) == ("a", "href") and not urlsplit(value).scheme and value[:1] not in "/#":
            return _relative(value, pages)
        return value

    html = _markdown.render(metadata.body(text))
    allowed = nh3.ALLOWED_ATTRIBUTES | {
        "img": {"src", "alt", "title", "width", "height"},
        "td": {"align", "style"},
        "th": {"align", "style"},
    }
    for tag in ("p", "div", "h1", "h2", "h3"):
        allowed[tag] = {"align"}
    return _reachable(
        nh3.clean(
            html,
            attributes=allowed,
            attribute_filter=attribute,
            filter_style_properties={"text-align"},
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer nofollow",
        )
    )


def _reachable(clean: str) -> str:
    """Let the keyboard scroll what may be wide; a heading without words is no heading."""
    clean = re.sub(r"<(pre|table)(?=[ >])", r'<\1 tabindex="0"', clean)
    return re.sub(r"<th(?: [^>]*)?></th>", "<td></td>", clean)


def _relative(target: str, base: str) -> str | None:
    parts = urlsplit(target)
    path = posixpath.normpath(unquote(parts.path)).lstrip("/")
    if parts.scheme or parts.netloc or path.startswith("..") or not parts.path:
        return None
    return f"{base}/{quote(path)}"


def facts(data: dict) -> list[tuple[str, str, tuple[str, str]]]:
    """Return label, value, and kind and id of the repo it names, for facts in the front matter."""
    facts: list[tuple[str, str, tuple[str, str]]] = []
    for key, label, kind in (
        ("license", "licence", ""),
        ("language", "language", ""),
        ("library_name", "library", ""),
        ("base_model", "base model", "model"),
        ("datasets", "dataset", "dataset"),
        ("pipeline_tag", "task", ""),
        ("tags", "tag", ""),
    ):
        facts += [(label, v, (kind, v if kind else "")) for v in metadata.as_list(data.get(key))]
    return facts


def results(data: dict) -> list[dict[str, str]]:
    """Return the rows of `model-index`: task, dataset, metric and value."""

    def items(value: object, key: str) -> list[dict]:
        inner = value.get(key) if isinstance(value, dict) else None
        return [i for i in inner if isinstance(i, dict)] if isinstance(inner, list) else []

    def name(value: object) -> str:
        text = value.get("name") or value.get("type") if isinstance(value, dict) else value
        return str(text or "–")

    index = data.get("model-index")
    return [
        {
            "task": name(result.get("task")),
            "dataset": name(result.get("dataset")),
            "metric": name(metric),
            "value": number(metric.get("value")),
        }
        for model in (index if isinstance(index, list) else [])
        for result in items(model, "results")
        for metric in items(result, "metrics")
    ]


def number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def records(path: str, text: str) -> list[dict]:
    """Return the rows of a JSONL, CSV or TSV file, none of any other file."""
    ending = path.rsplit(".", 1)[-1].lower()
    readers: dict[str, Callable[[str], list[dict]]] = {
        "jsonl": _json_lines,
        "csv": lambda t: list(csv.DictReader(io.StringIO(t), restkey="more")),
        "tsv": lambda t: list(csv.DictReader(io.StringIO(t), restkey="more", delimiter="\t")),
    }
    try:
        return readers[ending](text) if ending in readers else []
    except (ValueError, RecursionError, csv.Error):
        return []


def table(records: Iterable[Mapping]) -> dict[str, object]:
    """Return columns and rows of a table, and how many more columns there are than it shows."""
    names: dict[str, None] = {}
    cells = []
    for record in records:  # each may be large, and only its cells are kept
        names |= dict.fromkeys(map(str, record))
        shown = list(islice(names, MAX_COLUMNS))
        cells.append({name: cell(record[name]) for name in shown if name in record})
    columns = list(islice(names, MAX_COLUMNS))
    rows = [[row.get(name, "") for name in columns] for row in cells]
    return {"columns": columns, "rows": rows, "more": len(names) - len(columns)}


def _json_lines(text: str) -> list[dict]:
    values = [json.loads(line) for line in text.split("\n") if line.strip()]
    if not all(isinstance(v, dict) for v in values):
        raise ValueError("a row that is not an object")
    return values


def cell(value: object) -> str:
    """Return a value as readable text; chat messages as 'role: text'."""
    if value is None:
        return ""
    try:
        text = _text(value)
    except RecursionError:
        return "nested too deeply to show"
    return text if len(text) <= MAX_CELL else text[:MAX_CELL] + " …"


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(m, dict) and "content" in m for m in value):
        value = "\n".join(f"{m.get('role', '?')}: {m['content']}" for m in value)
    if isinstance(value, float):
        return number(value)
    return (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_other)
    )


def _other(value: object) -> str:
    """Return in words what Parquet holds and JSON cannot, such as a time or an image."""
    return size(len(value)) if isinstance(value, bytes) else str(value)


def size(count: int) -> str:
    """Return a number of bytes with its unit."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError
