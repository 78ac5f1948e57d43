"""Dataclasses from JSON and from files of JSON lines, checked against their annotations."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Generic, Protocol, TypeVar, get_args, get_type_hints

from palate.core.errors import BadInput, PalateError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema, ErrorDetails, ValidationError

T = TypeVar("T")
SHOWN = 60  # characters of a wrong value
# what pydantic calls the wrong types, as Python names the right ones
TYPES = {
    "string_type": "str",
    "int_type": "int",
    "float_type": "float",
    "bool_type": "bool",
    "list_type": "list",
    "tuple_type": "list",
    "dict_type": "an object",
    "dataclass_type": "an object",
}


class RowLike(Protocol):
    """A row, which can say whether its fields contradict each other."""

    def contradiction(self) -> tuple[str, str] | None:
        """Return the field whose value contradicts another one, and the problem."""
        ...


R = TypeVar("R", bound=RowLike)


@dataclass(frozen=True)
class Check(Generic[T]):
    """Annotates a type whose values must also pass `fits`; `wanted` says so in words."""

    fits: Callable[[T], bool]
    wanted: str

    def __get_pydantic_core_schema__(
        self, source: object, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        from pydantic_core import PydanticCustomError, core_schema

        def check(value: T) -> T:
            if not self.fits(value):
                raise PydanticCustomError("check", "{wanted}", {"wanted": self.wanted})
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))


@dataclass(frozen=True)
class Within:
    """Annotates whole numbers: the least and the greatest that are allowed."""

    least: int
    greatest: int

    def __get_pydantic_core_schema__(
        self, source: object, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        from pydantic_core import core_schema

        return core_schema.int_schema(ge=self.least, le=self.greatest)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def is_aspect(name: str) -> bool:
    """Tell whether it can name an aspect: it becomes part of a repo's name."""
    return len(name) <= 24 and re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name) is not None


def are_aspects(names: Sequence[str]) -> bool:
    """Tell whether they can be the aspects of a project: what it asks of each pair."""
    return 2 <= len(names) <= 4 and len(set(names)) == len(names) and all(map(is_aspect, names))


ASPECTS = "2 to 4 different names of a-z, 0-9 and -, each at most 24 characters"
WEIGHTS = "a number above 0 for each aspect"
Time = Annotated[str, Check(_is_time, "a time such as 2026-01-31T09:00:00.000Z")]
Aspect = Annotated[str, Check(is_aspect, "an aspect: a-z, 0-9 and -, at most 24 characters")]


def read(
    cls: type[T],
    value: object,
    source: object,
    field: str | None = None,
    *,
    row: int | None = None,
) -> T:
    """Return `value`, parsed JSON, as the dataclass `cls`.

    A key that is absent gets the field's default; keys that `cls` does not know are ignored. Raises
    BadInput naming `source`, `row` and the path of the field, which begins with `field`.
    """
    from pydantic import ValidationError

    if not isinstance(value, dict):
        raise BadInput(source, f"expected an object, found {_shown(value)}", row=row, field=field)
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    try:
        return adapter(cls).validate_json(text, strict=True)
    except ValidationError as error:
        problem, path = _first(error, value)
        if field:
            path = f"{field}.{path}" if path else field
        raise BadInput(source, problem, row=row, field=path or None) from None


def read_text(file: Path, source: object) -> str:
    """Return the text of a UTF-8 file. Raises BadInput for another encoding."""
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(source, f"not valid UTF-8: byte {error.start:,} cannot be read") from None


def read_object(file: Path, source: object) -> dict[str, object]:
    """Return the JSON object of a file. Raises BadInput for anything else, however nested."""
    try:
        value = json.loads(read_text(file, source))
    except (ValueError, RecursionError) as error:
        raise BadInput(source, f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadInput(source, f"expected an object, found {type(value).__name__}")
    return value


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
    return tuple(name for name, kind in hints.items() if NoneType in get_args(kind))


@cache
def adapter(cls: type[T]) -> "TypeAdapter[T]":
    """Return what checks JSON against a dataclass; `strict=True` converts no types."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def version_of(value: object, newest: int, source: object) -> int:
    """Return the version of a stored record: its `version`, 0 in files older than the field.

    Raises PalateError where a newer palate wrote it.
    """
    version = value.get("version", 0) if isinstance(value, dict) else 0
    if not isinstance(version, int) or isinstance(version, bool):
        raise BadInput(source, f"expected a number, found {_shown(version)}", field="version")
    if version > newest:
        raise PalateError(
            f"{source} has version {version}, and this palate reads up to version {newest}."
            " A newer palate wrote it. Upgrade with: pip install --upgrade palate"
        )
    return version


def _first(error: "ValidationError", value: object) -> tuple[str, str]:
    """Return the problem and the path of the first field that does not fit."""
    errors = error.errors(include_url=False)
    path = _path(errors[0], value)
    # a union has an error for each of its types
    same = [e for e in errors if _path(e, value) == path]
    if errors[0]["type"] == "missing":
        return "is missing", path
    if errors[0]["type"] == "extra_forbidden":
        return "is an unknown key", path
    wanted = " or ".join(dict.fromkeys(_wanted(e) for e in same))
    return f"expected {wanted}, found {_shown(errors[0]['input'])}", path


def _wanted(error: "ErrorDetails") -> str:
    context = error.get("ctx", {})
    kind = error["type"]
    if kind == "literal_error":
        return context["expected"]
    if kind == "check":
        return context["wanted"]
    return TYPES.get(kind, error["msg"].removeprefix("Input should be "))


def _path(error: "ErrorDetails", value: object) -> str:
    """Return `parts[0].rate`; the names of a union's types, which `loc` holds too, are left out."""
    path, missing = "", error["type"] == "missing"
    for i, key in enumerate(error["loc"]):
        last = missing and i == len(error["loc"]) - 1
        if isinstance(value, dict) and (key in value or last):
            path += f".{key}"
            value = value.get(key)
        elif isinstance(value, Sequence) and isinstance(key, int):
            path += f"[{key}]"
            value = value[key] if key < len(value) else None
    return path.removeprefix(".")


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:SHOWN]
