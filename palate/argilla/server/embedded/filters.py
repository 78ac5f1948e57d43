"""Filters and sort orders of Argilla's search as SQL over its tables."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from argilla_server.enums import ResponseStatusFilter
from argilla_server.errors.future import UnprocessableEntityError
from argilla_server.models import Dataset, Question, Record, Response, Suggestion, User
from argilla_server.search_engine.base import (
    AndFilter,
    Filter,
    FilterScope,
    MetadataFilterScope,
    RangeFilter,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
)
from argilla_server.settings import settings
from sqlalchemy import ColumnElement, Select, and_, exists, false, func, not_, or_, select, true

if settings.database_is_sqlite:
    from embedded import sqlite as sql
else:
    from embedded import postgres as sql


def condition(dataset: Dataset, f: Filter) -> ColumnElement[bool]:
    """Return the condition that a record passes a filter."""
    if isinstance(f, AndFilter):
        return and_(true(), *[condition(dataset, x) for x in f.filters])
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
        return _responses_condition(s, f)
    raise UnprocessableEntityError(f"Cannot process filter {f}")


def _responses_condition(s: ResponseFilterScope, f: Filter) -> ColumnElement[bool]:
    responses = _responses_of(s.user)
    if s.question:
        test = sql.holds(Response.values, [s.question, "value"], f)
        return exists(select(1).select_from(Response).where(*responses, test))
    values = [str(v) for v in f.values]
    alternatives = []
    if ResponseStatusFilter.pending in values:
        alternatives.append(not_(exists(select(1).select_from(Response).where(*responses))))
    rest = [v for v in values if v != ResponseStatusFilter.pending]
    if rest:
        some = select(1).select_from(Response).where(*responses, Response.status.in_(rest))
        alternatives.append(exists(some))
    return or_(false(), *alternatives)


def order_column(dataset: Dataset, s: FilterScope) -> ColumnElement:
    """Return what to sort records by."""
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


def _range(
    col: ColumnElement, bounds: RangeFilter, conv: Callable[[object], object] = lambda v: v
) -> Iterator[ColumnElement[bool]]:
    if bounds.ge is not None:
        yield col >= conv(bounds.ge)
    if bounds.le is not None:
        yield col <= conv(bounds.le)


def _as_date(value: str | float) -> datetime:
    """Return the time as Argilla's tables store it: UTC without a time zone."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime.fromtimestamp(value, UTC).replace(tzinfo=None)


def _suggestion(dataset: Dataset, question: str, what: ColumnElement | int) -> Select:
    """Select `what` from a record's suggestion for the question."""
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


def _responses_of(user: User | None) -> list[ColumnElement[bool]]:
    """Return the conditions that select a record's responses, of one user if given."""
    return [Response.record_id == Record.id, *([Response.user_id == user.id] if user else [])]
