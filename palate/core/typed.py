"""Dataclasses from JSON, checked against their annotations. Pure: no I/O."""

import json
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from palate.core.errors import BadInput, PalateError

T = TypeVar("T")


def read(cls: type[T], value: object, source: object, field: str | None = None) -> T:
    """Return `value`, parsed JSON, as the dataclass `cls`; nested types are checked, too.

    A key that is absent gets the field's default; keys that `cls` does not know are ignored. Raises
    BadInput naming `source` and the path of the field.
    """
    if not isinstance(value, dict):
        raise BadInput(source, f"expected an object, found {_shown(value)}", field=field)
    hints, given = get_type_hints(cls), {}
    for f in fields(cast(Any, cls)):
        path = f"{field}.{f.name}" if field else f.name
        if f.name in value:
            given[f.name] = _typed(hints[f.name], value[f.name], source, path)
        elif f.default is MISSING and f.default_factory is MISSING:
            raise BadInput(source, "is missing", field=path)
    return cls(**given)


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


def _typed(want: Any, value: object, source: object, field: str) -> Any:
    """Return the value as the annotation `want` has it; tuples are lists in JSON."""
    origin, args = get_origin(want), get_args(want)
    if want is Any:
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in args:
            return None
        options = [arg for arg in args if arg is not NoneType]
        if len(options) == 1:
            return _typed(options[0], value, source, field)
        for option in options:
            try:
                return _typed(option, value, source, field)
            except BadInput:
                continue
    elif is_dataclass(want):
        return read(cast(type, want), value, source, field)
    elif origin is Literal:
        if any(value == arg and type(value) is type(arg) for arg in args):
            return value
    elif origin in (list, tuple) and isinstance(value, list | tuple):
        return _items(want, value, source, field)
    elif origin is dict and isinstance(value, dict):
        return {k: _typed(args[1], v, source, f"{field}.{k}") for k, v in value.items()}
    elif _is_scalar(want, value):
        return value
    raise BadInput(source, f"expected {_name(want)}, found {_shown(value)}", field=field)


def _is_scalar(want: Any, value: object) -> bool:
    if isinstance(value, bool) or want is bool:  # for Python, a bool is an int, too
        return want is bool and isinstance(value, bool)
    if want is float:
        return isinstance(value, int | float)
    return isinstance(want, type) and isinstance(value, want)


def _items(want: Any, values: list | tuple, source: object, field: str) -> Any:
    kind, args = get_origin(want), get_args(want)
    if kind is tuple and args[-1] is not Ellipsis:
        if len(values) != len(args):
            problem = f"expected {len(args)} values, found {len(values)}"
            raise BadInput(source, problem, field=field)
        types = args
    else:
        types = (args[0],) * len(values)
    items = (
        _typed(type_, value, source, f"{field}[{i}]")
        for i, (type_, value) in enumerate(zip(types, values, strict=True))
    )
    return kind(items)


def _name(want: Any) -> str:
    if get_origin(want) is Literal:
        return "one of " + ", ".join(map(str, get_args(want)))
    if get_origin(want) in (Union, UnionType):
        return " or ".join(_name(arg) for arg in get_args(want))
    return want.__name__ if isinstance(want, type) and not get_args(want) else str(want)


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:60]
