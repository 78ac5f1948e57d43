"""The search engine's SQL for SQLite: JSON by `json_each`, text by FTS5.

Also the syntax of the search box, for PostgreSQL too: words, "phrases", | for or, -not, prefix*.

The full-text index is the only derived data; triggers update it within Argilla's transactions.
"""

import hashlib
import re
from dataclasses import dataclass

from argilla_server.models import Record
from argilla_server.search_engine.base import RangeFilter, TermsFilter, TextQuery
from sqlalchemy import (
    ColumnElement,
    Float,
    String,
    TableValuedAlias,
    TextClause,
    and_,
    cast,
    column,
    exists,
    func,
    select,
    table,
    text,
)

NAME = "sqlite"
VERSION = "SELECT sqlite_version()"
_PRIME = 2147483647
_MAP = table("embedded_fts_map", column("id"), column("record_id"), column("field"))
_FTS = table("embedded_fts", column("rowid"), column("embedded_fts"))

_FILL = """
INSERT INTO embedded_fts_map(record_id, field) SELECT {r}.id, f.name FROM {frm} fields f
 WHERE f.dataset_id = {r}.dataset_id AND json_extract(f.settings, '$.type') <> 'image' {flt};
INSERT INTO embedded_fts(rowid, body) SELECT m.id,
 (SELECT group_concat(t.atom, ' ') FROM json_tree({r}.fields, '$."' || m.field || '"') t
   WHERE t.type = 'text')
 FROM {frm} embedded_fts_map m WHERE m.record_id = {r}.id {flt};
"""
_DROP = """
DELETE FROM embedded_fts WHERE rowid IN (SELECT id FROM embedded_fts_map WHERE record_id = old.id);
DELETE FROM embedded_fts_map WHERE record_id = old.id;
"""
_NEW = _FILL.format(r="new", frm="", flt="")
_MISSING = "AND records.id NOT IN (SELECT record_id FROM embedded_fts_map)"
PREPARE = [
    "CREATE TABLE IF NOT EXISTS embedded_fts_map"
    " (id INTEGER PRIMARY KEY, record_id CHAR(32) NOT NULL, field TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS embedded_fts_map_record ON embedded_fts_map(record_id)",
    "CREATE VIRTUAL TABLE IF NOT EXISTS embedded_fts"
    " USING fts5(body, tokenize='unicode61 remove_diacritics 2')",
    f"CREATE TRIGGER IF NOT EXISTS embedded_fts_ai AFTER INSERT ON records BEGIN {_NEW} END",
    f"CREATE TRIGGER IF NOT EXISTS embedded_fts_ad AFTER DELETE ON records BEGIN {_DROP} END",
    "CREATE TRIGGER IF NOT EXISTS embedded_fts_au AFTER UPDATE OF fields ON records"
    f" BEGIN {_DROP} {_NEW} END",
    # two steps, so that the second touches only rows that the first has mapped
    _FILL.format(r="records", frm="records,", flt=_MISSING).split(";")[0],
    _FILL.format(
        r="records", frm="records,", flt="AND m.id NOT IN (SELECT rowid FROM embedded_fts)"
    ).split(";")[1],
]


@dataclass(frozen=True)
class Term:
    """A word or a phrase; a prefix also matches words that start with it."""

    text: str
    prefix: bool


def parse(q: str) -> tuple[list[list[Term]], list[Term]]:
    """Return the alternatives, one of which must match with all its terms, and excluded terms."""
    alternatives: list[list[Term]] = [[]]
    excluded = []
    for minus, phrase, bare in re.findall(r'(-?)(?:"([^"]*)"|([^\s"]+))', q):
        word = phrase or bare
        if bare == "|":
            alternatives.append([])
        elif re.search(r"\w", word):
            term = Term(word.rstrip("*"), word.endswith("*"))
            (excluded if minus else alternatives[-1]).append(term)
    return [terms for terms in alternatives if terms], excluded


def containing(query: TextQuery) -> ColumnElement[bool] | None:
    """Return the condition that a record's text matches the query, None for an empty query."""
    alternatives, excluded = parse(query.q)
    if not alternatives:
        return None
    match = " OR ".join("(" + " AND ".join(map(_quoted, terms)) + ")" for terms in alternatives)
    match = f"({match})" + "".join(f" NOT {_quoted(t)}" for t in excluded)
    hits = (
        select(_MAP.c.record_id)
        .join(_FTS, _FTS.c.rowid == _MAP.c.id)
        .where(_FTS.c.embedded_fts.op("MATCH")(match))
    )
    if query.field:
        hits = hits.where(_MAP.c.field == query.field)
    return Record.id.in_(hits)


def _quoted(term: Term) -> str:
    return '"' + term.text.replace('"', '""') + '"' + ("*" if term.prefix else "")


def shuffled(user_id: object) -> TextClause:
    """Return an order of the records that is random but stable per user."""
    h = hashlib.sha256(str(user_id).encode()).digest()
    a, b, c = (int.from_bytes(h[i : i + 4], "big") % _PRIME for i in (0, 4, 8))
    x = f"((records.rowid * {a | 1} + {b}) % {_PRIME})"
    return text(f"({x} * ({x} % 46337 + {c})) % {_PRIME}")


def holds(
    col: ColumnElement, names: list[str], test: TermsFilter | RangeFilter
) -> ColumnElement[bool]:
    """Return the condition that the value at a path, or an item of its list, passes the filter."""
    items = func.json_each(col, _path(names)).table_valued("value", "type")
    value = items.c.value
    if isinstance(test, TermsFilter):
        condition = cast(value, String).in_([str(v) for v in test.values])
    else:
        bounds = [] if test.ge is None else [value >= test.ge]
        condition = and_(*bounds, *([] if test.le is None else [value <= test.le]))
    return exists(select(1).select_from(items).where(condition))


def first(col: ColumnElement, names: list[str]) -> ColumnElement:
    """Return the value at a path, or null, to sort by."""
    return func.json_extract(col, _path(names))


def mean(col: ColumnElement, names: list[str]) -> ColumnElement:
    return func.avg(cast(first(col, names), Float))


def values(
    col: ColumnElement, names: list[str]
) -> tuple[TableValuedAlias, ColumnElement, ColumnElement[bool]]:
    """Return a table of the values at a path, its value column, and the condition to count it."""
    items = func.json_each(col, _path(names)).table_valued("value", "type")
    return items, items.c.value, items.c.type != "null"


def number(value: ColumnElement) -> ColumnElement:
    return value


def _path(names: list[str]) -> str:
    return "$" + "".join('."' + n.replace('"', '""') + '"' for n in names)
