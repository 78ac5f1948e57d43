"""A SearchEngine for argilla-server 2.8.0 that answers from Argilla's own SQLite tables.

Nothing is indexed twice: records, responses, suggestions and metadata are read where Argilla
already stores them, so the index cannot drift. Only full text is derived data (FTS5), kept by SQL
triggers inside Argilla's transactions.
"""

import hashlib
import re
from datetime import datetime

from argilla_server.enums import MetadataPropertyType, ResponseStatusFilter
from argilla_server.errors.future import UnprocessableEntityError
from argilla_server.models import Question, Record, Response, Suggestion
from argilla_server.search_engine.base import (
    AndFilter,
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    MetadataFilterScope,
    RangeFilter,
    RecordFilterScope,
    ResponseFilterScope,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    SuggestionFilterScope,
    TermsFilter,
    TermsMetrics,
    TextQuery,
)
from argilla_server.settings import settings
from sqlalchemy import (
    Float,
    String,
    and_,
    cast,
    column,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    table,
    text,
    true,
)
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

ENGINE_NAME = "embedded"
_PRIME = 2147483647
MAP = table("embedded_fts_map", column("id"), column("record_id"), column("field"))
FTS = table("embedded_fts", column("rowid"), column("embedded_fts"))

FTS_DDL = [
    "CREATE TABLE IF NOT EXISTS embedded_fts_map"
    " (id INTEGER PRIMARY KEY, record_id CHAR(32) NOT NULL, field TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS embedded_fts_map_record ON embedded_fts_map(record_id)",
    "CREATE VIRTUAL TABLE IF NOT EXISTS embedded_fts"
    " USING fts5(body, tokenize='unicode61 remove_diacritics 2')",
]
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
_new = _FILL.format(r="new", frm="", flt="")
FTS_DDL += [
    f"CREATE TRIGGER IF NOT EXISTS embedded_fts_ai AFTER INSERT ON records BEGIN {_new} END",
    f"CREATE TRIGGER IF NOT EXISTS embedded_fts_ad AFTER DELETE ON records BEGIN {_DROP} END",
    "CREATE TRIGGER IF NOT EXISTS embedded_fts_au AFTER UPDATE OF fields ON records"
    f" BEGIN {_DROP} {_new} END",
]
_MISSING = "AND records.id NOT IN (SELECT record_id FROM embedded_fts_map)"
FTS_BACKFILL = [
    # two separate steps so that the second only touches rows the first just mapped
    _FILL.format(r="records", frm="records,", flt=_MISSING).split(";")[0],
    _FILL.format(
        r="records", frm="records,", flt="AND m.id NOT IN (SELECT rowid FROM embedded_fts)"
    ).split(";")[1],
]


def to_fts5(q: str) -> str | None:
    """simple_query_string -> FTS5: implicit AND, "phrases", | for OR, -not, prefix*."""
    parts, negs, op = [], [], None
    for neg, phrase, bare in re.findall(r'(-?)(?:"([^"]*)"|([^\s"]+))', q):
        if bare == "|":
            op = "OR"
            continue
        word = phrase or bare
        if not re.search(r"\w", word):
            continue
        term = '"' + word.rstrip("*").replace('"', '""') + '"' + ("*" if word.endswith("*") else "")
        if neg:
            negs.append(term)
            continue
        if parts:
            parts.append(op or "AND")
        parts.append(term)
        op = None
    if not parts:
        return None
    match = "(" + " ".join(parts) + ")"
    return match + "".join(f" NOT {n}" for n in negs)


def _sqlite_engine():
    # A read pool of its own: a request that holds a connection of Argilla's pool must never wait
    # for a second one of the same pool (it deadlocks once there are as many requests as places).
    return create_async_engine(
        settings.database_url,
        pool_size=4,
        max_overflow=0,
        pool_timeout=60,
        **settings.database_engine_args,
    )


class _Shared:
    engine = None
    sessions = None


def _json_values(col, path):
    """EXISTS-able list of scalar values at `path`; works for scalars and for lists."""
    return func.json_each(col, path).table_valued("value", "type")


def _path(*names):
    return "$" + "".join('."' + n.replace('"', '""') + '"' for n in names)


def _match_values(col, filter):
    if isinstance(filter, TermsFilter):
        return cast(col, String).in_([str(v) for v in filter.values])
    return and_(*_range(col, filter))


def _range(col, filter: RangeFilter, conv=lambda v: v):
    if filter.ge is not None:
        yield col >= conv(filter.ge)
    if filter.le is not None:
        yield col <= conv(filter.le)


def _as_date(value):
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return value.replace(tzinfo=None)
    return datetime.utcfromtimestamp(value)


@SearchEngine.register(ENGINE_NAME)
class EmbeddedSearchEngine(SearchEngine):
    @classmethod
    async def new_instance(cls):
        if _Shared.engine is None:
            _Shared.engine = _sqlite_engine()
            _Shared.sessions = async_sessionmaker(bind=_Shared.engine, expire_on_commit=False)
        return cls()

    async def close(self):  # called after every request: keep the shared pool
        pass

    async def _all(self, stmt):
        async with _Shared.sessions() as db:
            return (await db.execute(stmt)).all()

    async def ping(self) -> bool:
        return (await self._all(text("SELECT 1")))[0][0] == 1

    async def info(self) -> dict:
        version = (await self._all(text("SELECT sqlite_version()")))[0][0]
        return {
            "name": ENGINE_NAME,
            "version": {"number": version, "distribution": "sqlite"},
            "tagline": "embedded",
        }

    # Writes: Argilla has committed the SQL rows already, so nothing is left to do.
    async def create_index(self, dataset):
        pass

    async def delete_index(self, dataset):
        pass

    async def configure_metadata_property(self, dataset, metadata_property):
        pass

    async def configure_index_vectors(self, vector_settings):
        pass

    async def index_records(self, dataset, records):
        pass

    async def partial_record_update(self, record, **update):
        pass

    async def delete_records(self, dataset, records):
        pass

    async def update_record_response(self, response):
        pass

    async def delete_record_response(self, response):
        pass

    async def update_record_suggestion(self, suggestion):
        pass

    async def delete_record_suggestion(self, suggestion):
        pass

    async def get_dataset_progress(self, dataset) -> dict:
        if dataset.is_draft:
            return {}
        rows = await self._all(
            select(Record.status, func.count())
            .where(Record.dataset_id == dataset.id)
            .group_by(Record.status)
        )
        return {"total": sum(n for _, n in rows), **{str(s): n for s, n in rows}}

    async def get_dataset_user_progress(self, dataset, user) -> dict:
        if dataset.is_draft:
            return {}
        rows = await self._all(
            select(Response.status, func.count())
            .join(Record, Record.id == Response.record_id)
            .where(Record.dataset_id == dataset.id, Response.user_id == user.id)
            .group_by(Response.status)
        )
        return {"total": sum(n for _, n in rows), **{str(s): n for s, n in rows}}

    async def search(
        self, dataset, query=None, filter=None, sort=None, offset=0, limit=100, user_id=None
    ):
        where = [Record.dataset_id == dataset.id]
        order = []
        if query is not None:
            query = TextQuery(q=query) if isinstance(query, str) else query
            match = to_fts5(query.q)
            if match is None:
                return SearchResponses(items=[], total=0)
            hits = (
                select(MAP.c.record_id)
                .join(FTS, FTS.c.rowid == MAP.c.id)
                .where(FTS.c.embedded_fts.op("MATCH")(match))
            )
            if query.field:
                hits = hits.where(MAP.c.field == query.field)
            where.append(Record.id.in_(hits))
        if filter is not None:
            where.append(self._where(dataset, filter))
        for o in sort or []:
            col = self._order_column(dataset, o.scope)
            order.append(col.desc().nulls_last() if o.order == "desc" else col.asc().nulls_last())
        if not sort:
            if user_id is not None:  # Argilla: a different, but stable, order for each user
                h = hashlib.sha256(str(user_id).encode()).digest()
                a, b, c = (int.from_bytes(h[i : i + 4], "big") % _PRIME for i in (0, 4, 8))
                x = f"((records.rowid * {a | 1} + {b}) % {_PRIME})"
                order.append(text(f"({x} * ({x} % 46337 + {c})) % {_PRIME}"))
            order += [Record.inserted_at.asc(), Record.id.asc()]
        async with _Shared.sessions() as db:
            total = (
                await db.execute(select(func.count()).select_from(Record).where(*where))
            ).scalar_one()
            ids = (
                await db.execute(
                    select(Record.id).where(*where).order_by(*order).offset(offset).limit(limit)
                )
            ).scalars()
            return SearchResponses(
                items=[SearchResponseItem(record_id=i) for i in ids], total=total
            )

    def _where(self, dataset, f):
        if isinstance(f, AndFilter):
            return and_(true(), *[self._where(dataset, x) for x in f.filters])
        s = f.scope
        if isinstance(s, RecordFilterScope):
            col = getattr(Record, s.property)
            if isinstance(f, RangeFilter):
                conv = _as_date if s.property in ("inserted_at", "updated_at") else (lambda v: v)
                return and_(*_range(col, f, conv))
            return col.in_(f.values)
        if isinstance(s, MetadataFilterScope):
            v = _json_values(Record.metadata_, _path(s.metadata_property))
            return exists(select(1).select_from(v).where(_match_values(v.c.value, f)))
        if isinstance(s, SuggestionFilterScope):
            base = (
                select(1)
                .join(Question, Question.id == Suggestion.question_id)
                .where(
                    Suggestion.record_id == Record.id,
                    Question.dataset_id == dataset.id,
                    Question.name == s.question,
                )
            )
            if s.property in ("value", "score"):
                v = _json_values(getattr(Suggestion, s.property), "$")
                return exists(
                    base.select_from(Suggestion).join(v, true()).where(_match_values(v.c.value, f))
                )
            return exists(
                base.select_from(Suggestion).where(getattr(Suggestion, s.property).in_(f.values))
            )
        if isinstance(s, ResponseFilterScope):
            mine = [Response.record_id == Record.id] + (
                [Response.user_id == s.user.id] if s.user else []
            )
            if s.question:
                v = _json_values(Response.values, _path(s.question, "value"))
                return exists(
                    select(1)
                    .select_from(Response)
                    .join(v, true())
                    .where(*mine, _match_values(v.c.value, f))
                )
            values = [str(v) for v in f.values]
            alt = []
            if ResponseStatusFilter.pending in values:
                alt.append(not_(exists(select(1).select_from(Response).where(*mine))))
            rest = [v for v in values if v != ResponseStatusFilter.pending]
            if rest:
                alt.append(
                    exists(select(1).select_from(Response).where(*mine, Response.status.in_(rest)))
                )
            return or_(false(), *alt)
        raise UnprocessableEntityError(f"Cannot process filter {f}")

    def _order_column(self, dataset, s):
        if isinstance(s, RecordFilterScope):
            return getattr(Record, s.property)
        if isinstance(s, MetadataFilterScope):
            return func.json_extract(Record.metadata_, _path(s.metadata_property))
        if isinstance(s, SuggestionFilterScope):
            col = getattr(Suggestion, s.property)
            col = func.json_extract(col, "$") if s.property in ("value", "score") else col
            return (
                select(col)
                .join(Question, Question.id == Suggestion.question_id)
                .where(
                    Suggestion.record_id == Record.id,
                    Question.dataset_id == dataset.id,
                    Question.name == s.question,
                )
                .limit(1)
                .scalar_subquery()
            )
        mine = [Response.record_id == Record.id] + (
            [Response.user_id == s.user.id] if s.user else []
        )
        col = (
            func.avg(cast(func.json_extract(Response.values, _path(s.question, "value")), Float))
            if s.question
            else func.min(Response.status)
        )
        return select(col).where(*mine).scalar_subquery()

    async def compute_metrics_for(self, metadata_property):
        v = _json_values(Record.metadata_, _path(metadata_property.name))
        base = [Record.dataset_id == metadata_property.dataset_id, v.c.type != "null"]
        if metadata_property.type == MetadataPropertyType.terms:
            rows = await self._all(
                select(v.c.value, func.count())
                .select_from(Record)
                .join(v, true())
                .where(*base)
                .group_by(v.c.value)
                .order_by(func.count().desc(), v.c.value)
            )
            return TermsMetrics(
                total=sum(n for _, n in rows),
                values=[TermsMetrics.TermCount(term=str(t), count=n) for t, n in rows],
            )
        lo, hi = (
            await self._all(
                select(func.min(v.c.value), func.max(v.c.value))
                .select_from(Record)
                .join(v, true())
                .where(*base)
            )
        )[0]
        cls = (
            IntegerMetadataMetrics
            if metadata_property.type == MetadataPropertyType.integer
            else FloatMetadataMetrics
        )
        return cls(min=lo, max=hi)

    async def similarity_search(self, dataset, vector_settings, **_):
        raise UnprocessableEntityError(
            "similarity search needs the full deployment (Elasticsearch/OpenSearch)"
        )
