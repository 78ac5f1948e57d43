"""The search engine's SQL for PostgreSQL: JSON by jsonpath, text by an expression index.

Nothing is stored twice, so several servers cannot disagree.
"""

import hashlib
import json
import re
import unicodedata

from argilla_server.models import Record
from argilla_server.search_engine.base import RangeFilter, TermsFilter, TextQuery
from embedded.sqlite import Term, parse
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    String,
    TableValuedAlias,
    and_,
    cast,
    func,
    literal,
    literal_column,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, phraseto_tsquery, to_tsquery

NAME = "postgresql"
VERSION = "SELECT current_setting('server_version')"
MARKS = "\u0300-\u036f"  # combining accents, after decomposition
PREPARE = [
    # a record whose text is too long to index is still saved, and found by its beginning
    f"""
CREATE OR REPLACE FUNCTION embedded_words(body json) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE COST 1000 AS $$
DECLARE content text;
BEGIN
  SELECT string_agg(t #>> '{{}}', ' ') INTO content FROM jsonb_path_query(
    body::jsonb, 'strict $.** ? (@.type() == "string" && !(@ starts with "data:"))') t;
  RETURN to_tsvector('simple', regexp_replace(normalize(content, NFD), '[{MARKS}]', '', 'g'));
EXCEPTION WHEN program_limit_exceeded OR data_exception THEN
  RETURN to_tsvector('simple', left(body::text, 100000));
END $$""",
    "CREATE INDEX IF NOT EXISTS embedded_words_of_records ON records"
    " USING gin (embedded_words(fields))",
]


def containing(query: TextQuery) -> ColumnElement[bool] | None:
    """Return the condition that a record's text matches the query, None for an empty query."""
    alternatives, excluded = parse(query.q)
    if not alternatives:
        return None
    tsquery = _fold("or", [_fold("and", [_term(t) for t in terms]) for terms in alternatives])
    tsquery = _fold("and", [tsquery, *(func.tsquery_not(_term(t)) for t in excluded)])
    match = func.embedded_words(Record.fields).op("@@")(tsquery)
    if query.field:
        # the index selects candidates, then the one field is searched
        return and_(match, func.embedded_words(Record.fields[query.field]).op("@@")(tsquery))
    return match


def _fold(how: str, queries: list[ColumnElement]) -> ColumnElement:
    folded = queries[0]
    for query in queries[1:]:
        folded = getattr(func, f"tsquery_{how}")(folded, query)
    return folded


def _term(term: Term) -> ColumnElement:
    plain = re.sub(f"[{MARKS}]", "", unicodedata.normalize("NFD", term.text))
    if term.prefix and re.fullmatch(r"\w+", plain):
        return to_tsquery("simple", f"{plain}:*")
    return phraseto_tsquery("simple", plain)


def shuffled(user_id: object) -> ColumnElement:
    """Return an order of the records that is random but stable per user."""
    seed = int.from_bytes(hashlib.sha256(str(user_id).encode()).digest()[:8], "big", signed=True)
    return func.hashtextextended(cast(Record.id, String), literal(seed, BigInteger))


def holds(
    col: ColumnElement, names: list[str], test: TermsFilter | RangeFilter
) -> ColumnElement[bool]:
    """Return the condition that the value at a path, or an item of its list, passes the filter.

    For jsonpath values of different types are unequal, so a comparison cannot fail.
    """
    if isinstance(test, TermsFilter):
        terms = [str(v) for v in test.values]
        numbers = [json.loads(t) for t in terms if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", t)]
        condition, variables = "@ == $terms[*]", {"terms": terms + numbers}
    else:
        variables = {k: v for k, v in (("ge", test.ge), ("le", test.le)) if v is not None}
        signs = {"ge": "@ >= $ge", "le": "@ <= $le"}
        condition = " && ".join(signs[k] for k in variables) or "1 == 1"
    path = f"{_path(names)}[*] ? ({condition})"
    return func.jsonb_path_exists(cast(col, JSONB), _jsonpath(path), _jsonb(variables))


def first(col: ColumnElement, names: list[str]) -> ColumnElement:
    """Return the value at a path, or null, to sort by."""
    return _first(col, names, '@.type() != "null"')


def mean(col: ColumnElement, names: list[str]) -> ColumnElement:
    return func.avg(number(_text(_first(col, names, '@.type() == "number"'))))


def values(
    col: ColumnElement, names: list[str]
) -> tuple[TableValuedAlias, ColumnElement, ColumnElement[bool]]:
    """Return a table of the values at a path, its value column, and the condition to count it."""
    path = _jsonpath(f'{_path(names)}[*] ? (@.type() != "null")')
    items = func.jsonb_path_query(cast(col, JSONB), path).table_valued("value").render_derived()
    return items, _text(items.c.value), true()


def number(value: ColumnElement) -> ColumnElement:
    return cast(value, Float)


def _first(col: ColumnElement, names: list[str], condition: str) -> ColumnElement:
    path = _jsonpath(f"{_path(names)}[*] ? ({condition})")
    return func.jsonb_path_query_first(cast(col, JSONB), path)


def _text(value: ColumnElement) -> ColumnElement:
    return value.op("#>>")(literal_column("'{}'"))


def _path(names: list[str]) -> str:
    return "$" + "".join(f".{json.dumps(n)}" for n in names)


def _jsonpath(path: str) -> ColumnElement:
    return cast(literal(path, String), JSONPATH)


def _jsonb(variables: dict[str, object]) -> ColumnElement:
    return cast(literal(json.dumps(variables), String), JSONB)
