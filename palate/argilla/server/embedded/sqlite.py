"""How the search engine asks SQLite: JSON by `json_each`, text by FTS5.

Full text is the only derived data; SQL triggers keep it inside Argilla's transactions.
"""

import hashlib

from argilla_server.models import Record
from argilla_server.search_engine.base import TermsFilter
from embedded.query import Term, parse
from sqlalchemy import Float, String, and_, cast, column, exists, func, select, table, text

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
    # two separate steps so that the second only touches rows the first just mapped
    _FILL.format(r="records", frm="records,", flt=_MISSING).split(";")[0],
    _FILL.format(
        r="records", frm="records,", flt="AND m.id NOT IN (SELECT rowid FROM embedded_fts)"
    ).split(";")[1],
]


def containing(query):
    """Return the condition that a record's text answers the query; None if it asks for nothing."""
    alternatives, unwanted = parse(query.q)
    if not alternatives:
        return None
    match = " OR ".join("(" + " AND ".join(map(_quoted, terms)) + ")" for terms in alternatives)
    match = f"({match})" + "".join(f" NOT {_quoted(t)}" for t in unwanted)
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


def shuffled(user_id):
    """Return an order of the records that differs from user to user and is stable for each."""
    h = hashlib.sha256(str(user_id).encode()).digest()
    a, b, c = (int.from_bytes(h[i : i + 4], "big") % _PRIME for i in (0, 4, 8))
    x = f"((records.rowid * {a | 1} + {b}) % {_PRIME})"
    return text(f"({x} * ({x} % 46337 + {c})) % {_PRIME}")


def holds(col, names, wanted):
    """Return the condition that the scalar there, or one of the list, passes the filter."""
    found = func.json_each(col, _path(names)).table_valued("value", "type")
    value = found.c.value
    if isinstance(wanted, TermsFilter):
        test = cast(value, String).in_([str(v) for v in wanted.values])
    else:
        bounds = [] if wanted.ge is None else [value >= wanted.ge]
        test = and_(*bounds, *([] if wanted.le is None else [value <= wanted.le]))
    return exists(select(1).select_from(found).where(test))


def first(col, names):
    """Return what to sort by: the value there, null where there is none."""
    return func.json_extract(col, _path(names))


def mean(col, names):
    return func.avg(cast(first(col, names), Float))


def values(col, names):
    """Return what to join to get all values there, the value, and when it counts."""
    found = func.json_each(col, _path(names)).table_valued("value", "type")
    return found, found.c.value, found.c.type != "null"


def number(value):
    return value


def _path(names) -> str:
    return "$" + "".join('."' + n.replace('"', '""') + '"' for n in names)
