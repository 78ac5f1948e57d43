"""Rows from JSON lines, checked where they enter."""

import json
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import NoneType
from typing import TypeVar, get_args, get_type_hints

from palate.core.errors import BadInput
from palate.core.schema import Candidate, Event, Gold, Preference, Prompt
from palate.core.typed import adapter, read

R = TypeVar("R", bound=Prompt | Candidate | Event | Preference | Gold)


def read_file(cls: type[R], file: Path, source: object) -> Iterator[R]:
    """Yield the rows of a file. Raises BadInput naming `source`, the row and the field."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            yield read_line(cls, line, source, number)


def read_line(cls: type[R], line: bytes | str, source: object, number: int) -> R:
    """Return the row that a line of JSON holds, or raise BadInput."""
    try:
        row = adapter(cls).validate_json(line, strict=True)
    except ValueError:  # pydantic's ValidationError is one
        return _read_leniently(cls, line, source, number)
    return _consistent(row, source, number)


def _read_leniently(cls: type[R], line: bytes | str, source: object, number: int) -> R:
    """Read what other tools and earlier versions wrote, where null and absent mean the same."""
    try:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(source, f"not JSON: {error}", row=number) from None
    if isinstance(value, dict):
        value = dict.fromkeys(_nullable(cls)) | {k: v for k, v in value.items() if v is not None}
    row = read(cls, value, source, row=number)
    # an escape can name half a character; it is replaced, so that ids of the text no longer fit
    return row if "\\ud" in text.lower() else _consistent(row, source, number)


def _consistent(row: R, source: object, number: int) -> R:
    contradiction = row.contradiction()
    if contradiction:
        field, problem = contradiction
        raise BadInput(source, problem, row=number, field=field)
    return row


@cache
def _nullable(cls: type[R]) -> tuple[str, ...]:
    """Return the fields that may be null."""
    hints = get_type_hints(cls)
    return tuple(f.name for f in fields(cls) if NoneType in get_args(hints[f.name]))
