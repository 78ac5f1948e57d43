"""What a file of another tool becomes: a plain table of pairs. Pure: no I/O."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from palate.collect.cells import BadCell, is_nothing
from palate.collect.columns import Columns
from palate.collect.rows import BadRow, Record, Table

NEITHER = "which no person judged"
# a row, what is wrong with one, or why one is set aside
Unit = Record | BadCell | str


@dataclass(frozen=True)
class Shaped:
    """A table with usual columns, and what of the source's columns went into it."""

    table: Table
    columns: Columns
    format: str = ""
    used: dict[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    set_aside: Counter[str] = field(default_factory=Counter)


def build(table: Table, units: Iterator[tuple[int, Unit]]) -> tuple[Table, Counter[str]]:
    """Return the table of the units, of which a text says why one is set aside."""
    rows: list[Record] = []
    numbers: list[int] = []
    bad = list(table.bad)
    aside: Counter[str] = Counter()
    for number, unit in units:
        if isinstance(unit, BadCell):
            kind = "that cannot be read"
            bad.append(BadRow(number, unit.column, unit.problem, kind))
        elif isinstance(unit, str):
            aside[unit] += 1
        else:
            rows.append(unit)
            numbers.append(number)
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return Table(table.source, columns, rows, numbers, bad=tuple(bad)), aside


def has(table: Table, column: str, kind: type | tuple[type, ...]) -> bool:
    """Tell whether a column holds values of a kind, and nothing else."""
    values = [row.get(column) for row in table.rows]
    full = [value for value in values if not is_nothing(value)]
    return column in table.columns and bool(full) and all(isinstance(v, kind) for v in full)


def dict_of(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def list_of(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else []
