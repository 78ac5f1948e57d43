"""A SearchEngine for argilla-server 2.8.0 that answers from Argilla's own SQL tables.

Nothing is indexed twice: records, responses, suggestions and metadata are read where Argilla
already stores them, so the index cannot drift. What SQLite and PostgreSQL write differently lies
in the modules of their names.
"""

from datetime import UTC, datetime

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
    TermsMetrics,
    TextQuery,
)
from argilla_server.settings import settings
from embedded.pools import READS, pool
from sqlalchemy import and_, exists, false, func, not_, or_, select, text, true
from sqlalchemy.ext.asyncio import async_sessionmaker

if settings.database_is_sqlite:
    from embedded import sqlite as sql
else:
    from embedded import postgres as sql

ENGINE_NAME = "embedded"


class _Shared:
    # A read pool of its own: a request that holds a connection of Argilla's pool must never wait
    # for a second one of the same pool (it deadlocks once there are as many requests as places).
    sessions = None


def _range(col, filter: RangeFilter, conv=lambda v: v):
    if filter.ge is not None:
        yield col >= conv(filter.ge)
    if filter.le is not None:
        yield col <= conv(filter.le)


def _as_date(value):
    """Return the time as Argilla's tables hold it: UTC, without saying so."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime.fromtimestamp(value, UTC).replace(tzinfo=None)


@SearchEngine.register(ENGINE_NAME)
class EmbeddedSearchEngine(SearchEngine):
    @classmethod
    async def new_instance(cls):
        if _Shared.sessions is None:
            _Shared.sessions = async_sessionmaker(bind=pool(READS), expire_on_commit=False)
        return cls()

    async def close(self):  # called after every request: keep the shared pool
        pass

    async def _all(self, stmt):
        async with _Shared.sessions() as db:
            return (await db.execute(stmt)).all()

    async def ping(self) -> bool:
        return (await self._all(text("SELECT 1")))[0][0] == 1

    async def info(self) -> dict:
        version = (await self._all(text(sql.VERSION)))[0][0]
        return {
            "name": ENGINE_NAME,
            "version": {"number": version, "distribution": sql.NAME},
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
            found = sql.containing(query)
            if found is None:
                return SearchResponses(items=[], total=0)
            where.append(found)
        if filter is not None:
            where.append(self._where(dataset, filter))
        for o in sort or []:
            col = self._order_column(dataset, o.scope)
            order.append(col.desc().nulls_last() if o.order == "desc" else col.asc().nulls_last())
        if not sort:
            if user_id is not None:  # Argilla: a different, but stable, order for each user
                order.append(sql.shuffled(user_id))
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
            return sql.holds(Record.metadata_, [s.metadata_property], f)
        if isinstance(s, SuggestionFilterScope):
            col = getattr(Suggestion, s.property)
            test = sql.holds(col, [], f) if s.property in ("value", "score") else col.in_(f.values)
            return exists(_suggestion(dataset, s.question, 1).where(test))
        if isinstance(s, ResponseFilterScope):
            return self._responses_where(s, f)
        raise UnprocessableEntityError(f"Cannot process filter {f}")

    def _responses_where(self, s, f):
        mine = _responses_of(s.user)
        if s.question:
            test = sql.holds(Response.values, [s.question, "value"], f)
            return exists(select(1).select_from(Response).where(*mine, test))
        values = [str(v) for v in f.values]
        alternatives = []
        if ResponseStatusFilter.pending in values:
            alternatives.append(not_(exists(select(1).select_from(Response).where(*mine))))
        rest = [v for v in values if v != ResponseStatusFilter.pending]
        if rest:
            some = select(1).select_from(Response).where(*mine, Response.status.in_(rest))
            alternatives.append(exists(some))
        return or_(false(), *alternatives)

    def _order_column(self, dataset, s):
        if isinstance(s, RecordFilterScope):
            return getattr(Record, s.property)
        if isinstance(s, MetadataFilterScope):
            return sql.first(Record.metadata_, [s.metadata_property])
        if isinstance(s, SuggestionFilterScope):
            col = getattr(Suggestion, s.property)
            col = sql.first(col, []) if s.property in ("value", "score") else col
            return _suggestion(dataset, s.question, col).limit(1).scalar_subquery()
        if s.question:
            col = sql.mean(Response.values, [s.question, "value"])
        else:
            col = func.min(Response.status)
        return select(col).where(*_responses_of(s.user)).scalar_subquery()

    async def compute_metrics_for(self, metadata_property):
        found, value, counts = sql.values(Record.metadata_, [metadata_property.name])
        here = [Record.dataset_id == metadata_property.dataset_id, counts]
        if metadata_property.type == MetadataPropertyType.terms:
            rows = await self._all(
                select(value, func.count())
                .select_from(Record)
                .join(found, true())
                .where(*here)
                .group_by(value)
                .order_by(func.count().desc(), value)
            )
            return TermsMetrics(
                total=sum(n for _, n in rows),
                values=[TermsMetrics.TermCount(term=str(t), count=n) for t, n in rows],
            )
        value = sql.number(value)
        ends = select(func.min(value), func.max(value)).select_from(Record).join(found, true())
        lo, hi = (await self._all(ends.where(*here)))[0]
        whole = metadata_property.type == MetadataPropertyType.integer
        return (IntegerMetadataMetrics if whole else FloatMetadataMetrics)(min=lo, max=hi)

    async def similarity_search(self, dataset, vector_settings, **_):
        raise UnprocessableEntityError(
            "similarity search needs the full deployment (Elasticsearch/OpenSearch)"
        )


def _suggestion(dataset, question: str, what):
    """Select it of a record's suggestion for the question."""
    return (
        select(what)
        .select_from(Suggestion)
        .join(Question, Question.id == Suggestion.question_id)
        .where(
            Suggestion.record_id == Record.id,
            Question.dataset_id == dataset.id,
            Question.name == question,
        )
    )


def _responses_of(user) -> list:
    """Return what holds of a record's responses, or of one user's alone."""
    return [Response.record_id == Record.id, *([Response.user_id == user.id] if user else [])]
