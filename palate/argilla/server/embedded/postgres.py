"""How the search engine asks PostgreSQL: JSON by jsonpath, text by an index over an expression.

Nothing is stored twice, so there is nothing that one server could know and another not.
"""

import hashlib
import json
import re
import unicodedata

from argilla_server.models import Record
from argilla_server.search_engine.base import TermsFilter
from embedded.query import Term, parse
from sqlalchemy import (
    BigInteger,
    Float,
    String,
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
MARKS = "\u0300-\u036f"  # accents, once letters are taken apart
PREPARE = [
    # a record whose text cannot be indexed as a whole is saved all the same, and found by its start
    f"""
CREATE OR REPLACE FUNCTION embedded_words(body json) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE COST 1000 AS $$
DECLARE said text;
BEGIN
  SELECT string_agg(t #>> '{{}}', ' ') INTO said FROM jsonb_path_query(
    body::jsonb, 'strict $.** ? (@.type() == "string" && !(@ starts with "data:"))') t;
  RETURN to_tsvector('simple', regexp_replace(normalize(said, NFD), '[{MARKS}]', '', 'g'));
EXCEPTION WHEN program_limit_exceeded OR data_exception THEN
  RETURN to_tsvector('simple', left(body::text, 100000));
END $$""",
    "CREATE INDEX IF NOT EXISTS embedded_words_of_records ON records"
    " USING gin (embedded_words(fields))",
]


def containing(query):
    """Return the condition that a record's text answers the query; None if it asks for nothing."""
    alternatives, unwanted = parse(query.q)
    if not alternatives:
        return None
    wanted = _fold("or", [_fold("and", [_term(t) for t in terms]) for terms in alternatives])
    wanted = _fold("and", [wanted, *(func.tsquery_not(_term(t)) for t in unwanted)])
    found = func.embedded_words(Record.fields).op("@@")(wanted)
    if query.field:
        # the index narrows it down, then the one field is looked at
        return and_(found, func.embedded_words(Record.fields[query.field]).op("@@")(wanted))
    return found


def _fold(how: str, queries: list):
    folded = queries[0]
    for query in queries[1:]:
        folded = getattr(func, f"tsquery_{how}")(folded, query)
    return folded


def _term(term: Term):
    plain = re.sub(f"[{MARKS}]", "", unicodedata.normalize("NFD", term.text))
    if term.prefix and re.fullmatch(r"\w+", plain):
        return to_tsquery("simple", f"{plain}:*")
    return phraseto_tsquery("simple", plain)


def shuffled(user_id):
    """Return an order of the records that differs from user to user and is stable for each."""
    seed = int.from_bytes(hashlib.sha256(str(user_id).encode()).digest()[:8], "big", signed=True)
    return func.hashtextextended(cast(Record.id, String), literal(seed, BigInteger))


def holds(col, names, wanted):
    """Return the condition that the scalar there, or one of the list, passes the filter.

    jsonpath compares like with like and takes anything else for unequal, so nothing can fail.
    """
    if isinstance(wanted, TermsFilter):
        terms = [str(v) for v in wanted.values]
        numbers = [json.loads(t) for t in terms if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", t)]
        test, given = "@ == $terms[*]", {"terms": terms + numbers}
    else:
        given = {k: v for k, v in (("ge", wanted.ge), ("le", wanted.le)) if v is not None}
        signs = {"ge": "@ >= $ge", "le": "@ <= $le"}
        test = " && ".join(signs[k] for k in given) or "1 == 1"
    path = f"{_path(names)}[*] ? ({test})"
    return func.jsonb_path_exists(cast(col, JSONB), _jsonpath(path), _jsonb(given))


def first(col, names):
    """Return what to sort by: the value there, null where there is none."""
    return _first(col, names, '@.type() != "null"')


def mean(col, names):
    return func.avg(number(_text(_first(col, names, '@.type() == "number"'))))


def values(col, names):
    """Return what to join to get all values there, the value, and when it counts."""
    path = _jsonpath(f'{_path(names)}[*] ? (@.type() != "null")')
    found = func.jsonb_path_query(cast(col, JSONB), path).table_valued("value").render_derived()
    return found, _text(found.c.value), true()


def number(value):
    return cast(value, Float)


def _first(col, names, test: str):
    path = _jsonpath(f"{_path(names)}[*] ? ({test})")
    return func.jsonb_path_query_first(cast(col, JSONB), path)


def _text(value):
    return value.op("#>>")(literal_column("'{}'"))


def _path(names) -> str:
    return "$" + "".join(f".{json.dumps(n)}" for n in names)


def _jsonpath(path: str):
    return cast(literal(path, String), JSONPATH)


def _jsonb(given: dict):
    return cast(literal(json.dumps(given), String), JSONB)
