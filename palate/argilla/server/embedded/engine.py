"""A SearchEngine for argilla-server 2.8.0 that reads Argilla's own SQL tables.

There is no second index: records, responses, suggestions and metadata are read where Argilla stores
them, so nothing can drift. What differs between SQLite and PostgreSQL is in their own modules.
"""

from collections.abc import Iterable, Sequence

from argilla_server.enums import MetadataPropertyType
from argilla_server.errors.future import UnprocessableEntityError
from argilla_server.models import (
    Dataset,
    MetadataProperty,
    Record,
    Response,
    Suggestion,
    User,
    VectorSettings,
)
from argilla_server.search_engine.base import (
    Filter,
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    MetadataMetrics,
    Order,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    TermsMetrics,
    TextQuery,
)
from embedded.database import SEARCH_CONNECTIONS, condition, order_column, pool, sql
from sqlalchemy import (
    Executable,
    Row,
    func,
    select,
    text,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

ENGINE_NAME = "embedded"


class _Shared:
    # A separate pool: a request that holds a connection of Argilla's pool must never wait for a
    # second one of the same pool, which deadlocks once requests hold all of them.
    sessions: async_sessionmaker[AsyncSession] | None = None


@SearchEngine.register(ENGINE_NAME)
class EmbeddedSearchEngine(SearchEngine):
    @classmethod
    async def new_instance(cls) -> "EmbeddedSearchEngine":
        if _Shared.sessions is None:
            _Shared.sessions = async_sessionmaker(
                bind=pool(SEARCH_CONNECTIONS), expire_on_commit=False
            )
        return cls()

    async def close(self) -> None:  # called after every request: keep the shared pool
        pass

    async def _all(self, statement: Executable) -> Sequence[Row]:
        async with _Shared.sessions() as db:
            return (await db.execute(statement)).all()

    async def ping(self) -> bool:
        return (await self._all(text("SELECT 1")))[0][0] == 1

    async def info(self) -> dict:
        version = (await self._all(text(sql.VERSION)))[0][0]
        return {
            "name": ENGINE_NAME,
            "version": {"number": version, "distribution": sql.NAME},
            "tagline": "embedded",
        }

    # Writes: Argilla has committed the rows already, so there is nothing to do.
    async def create_index(self, dataset: Dataset) -> None:
        pass

    async def delete_index(self, dataset: Dataset) -> None:
        pass

    async def configure_metadata_property(
        self, dataset: Dataset, metadata_property: MetadataProperty
    ) -> None:
        pass

    async def configure_index_vectors(self, vector_settings: VectorSettings) -> None:
        pass

    async def index_records(self, dataset: Dataset, records: Iterable[Record]) -> None:
        pass

    async def partial_record_update(self, record: Record, **update: object) -> None:
        pass

    async def delete_records(self, dataset: Dataset, records: Iterable[Record]) -> None:
        pass

    async def update_record_response(self, response: Response) -> None:
        pass

    async def delete_record_response(self, response: Response) -> None:
        pass

    async def update_record_suggestion(self, suggestion: Suggestion) -> None:
        pass

    async def delete_record_suggestion(self, suggestion: Suggestion) -> None:
        pass

    async def get_dataset_progress(self, dataset: Dataset) -> dict:
        if dataset.is_draft:
            return {}
        rows = await self._all(
            select(Record.status, func.count())
            .where(Record.dataset_id == dataset.id)
            .group_by(Record.status)
        )
        return {"total": sum(n for _, n in rows), **{str(s): n for s, n in rows}}

    async def get_dataset_user_progress(self, dataset: Dataset, user: User) -> dict:
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
        self,
        dataset: Dataset,
        query: TextQuery | str | None = None,
        filter: Filter | None = None,
        sort: list[Order] | None = None,
        offset: int = 0,
        limit: int = 100,
        user_id: str | None = None,
    ) -> SearchResponses:
        where = [Record.dataset_id == dataset.id]
        order = []
        if query is not None:
            query = TextQuery(q=query) if isinstance(query, str) else query
            text_condition = sql.containing(query)
            if text_condition is None:
                return SearchResponses(items=[], total=0)
            where.append(text_condition)
        if filter is not None:
            where.append(condition(dataset, filter))
        for o in sort or []:
            col = order_column(dataset, o.scope)
            order.append(col.desc().nulls_last() if o.order == "desc" else col.asc().nulls_last())
        if not sort:
            if user_id is not None:  # like Argilla: a different but stable order per user
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

    async def compute_metrics_for(self, metadata_property: MetadataProperty) -> MetadataMetrics:
        table, value, counts = sql.values(Record.metadata_, [metadata_property.name])
        where = [Record.dataset_id == metadata_property.dataset_id, counts]
        if metadata_property.type == MetadataPropertyType.terms:
            rows = await self._all(
                select(value, func.count())
                .select_from(Record)
                .join(table, true())
                .where(*where)
                .group_by(value)
                .order_by(func.count().desc(), value)
            )
            return TermsMetrics(
                total=sum(n for _, n in rows),
                values=[TermsMetrics.TermCount(term=str(t), count=n) for t, n in rows],
            )
        value = sql.number(value)
        ends = select(func.min(value), func.max(value)).select_from(Record).join(table, true())
        lo, hi = (await self._all(ends.where(*where)))[0]
        whole = metadata_property.type == MetadataPropertyType.integer
        return (IntegerMetadataMetrics if whole else FloatMetadataMetrics)(min=lo, max=hi)

    async def similarity_search(
        self, dataset: Dataset, vector_settings: VectorSettings, **_: object
    ) -> SearchResponses:
        raise UnprocessableEntityError(
            "similarity search needs a full Argilla with Elasticsearch or OpenSearch"
        )
