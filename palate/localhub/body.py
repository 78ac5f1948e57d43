"""A JSON object from a client, read field by field."""

import json
from typing import TypeVar

from palate.localhub.errors import HubError

T = TypeVar("T")


class Body:
    """A JSON object; a missing field or a field of the wrong type is a `HubError` 400.

    A field with a default is optional: null counts as missing.
    """

    def __init__(self, value: object):
        if not isinstance(value, dict):
            raise HubError(400, f"Expected a JSON object, got {type(value).__name__}")
        self.value: dict[str, object] = value

    @classmethod
    def parse(cls, raw: bytes) -> "Body":
        """Parse `raw`, {} if it is empty."""
        try:
            value = json.loads(raw or b"{}", parse_constant=_refuse_constant)
            if b"\\u" in raw:  # an escaped half of a surrogate pair cannot be stored
                json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as e:
            raise HubError(400, f"Malformed JSON: {e}") from None
        return cls(value)

    def _optional(self, key: str, kind: type[T]) -> T | None:
        value = self.value.get(key)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise HubError(400, f'"{key}" must be of type {kind.__name__}, got {value!r:.80}')
        return value

    def _field(self, key: str, kind: type[T], default: T | None) -> T:
        value = self._optional(key, kind)
        if value is not None:
            return value
        if default is None:
            raise HubError(400, f'"{key}" is required, of type {kind.__name__}')
        return default

    def text(self, key: str, default: str | None = None) -> str:
        return self._field(key, str, default)

    def optional_text(self, key: str) -> str | None:
        return self._optional(key, str)

    def integer(self, key: str, default: int | None = None) -> int:
        value = self._field(key, int, default)
        if abs(value) >= 2**63:
            raise HubError(400, f'"{key}" is too large')
        return value

    def flag(self, key: str) -> bool:
        return self._field(key, bool, False)

    def objects(self, key: str, default: list[object] | None = None) -> list["Body"]:
        return [Body(item) for item in self._field(key, list, default)]

    def texts(self, key: str, default: list[str] | None = None) -> list[str]:
        values = self._field(key, list, default)
        if not all(isinstance(value, str) for value in values):
            raise HubError(400, f'"{key}" must be a list of strings')
        return values

    def mapping(self, key: str) -> dict[str, str]:
        """Return an object of strings; numbers become strings, a missing field {}."""
        pairs = self._field(key, dict, {})
        if not all(isinstance(value, str | int | float) for value in pairs.values()):
            raise HubError(400, f'"{key}" must map names to strings')
        return {name: str(value) for name, value in pairs.items()}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
