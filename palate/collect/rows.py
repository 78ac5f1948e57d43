"""Rows of a source with their columns, and the rows that cannot be used. Pure: no I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from palate.collect.cells import is_nothing
from palate.core.errors import BadInput

Record = dict[str, object]  # a row by column
LISTED = 20  # bad rows that an error lists


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: its number, its field if one is to blame, and the problem.

    `kind` counts rows with the same problem.
    """

    number: int
    field: str | None
    problem: str
    kind: str = "that cannot be read"

    def __str__(self) -> str:
        where = f"row {self.number}"
        return f"{where}, field {self.field!r}: {self.problem}" if self.field else (
            f"{where}: {self.problem}"
        )  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows as the source has them; errors name a row by its entry in `numbers`.

    `splits` names each row's split if the source has several. `bad` are rows that were not read.
    """

    source: str
    columns: tuple[str, ...]
    rows: list[Record]
    numbers: list[int]
    splits: list[str] | None = None
    bad: tuple[BadRow, ...] = field(default=())

    def need(self, *columns: str) -> None:
        """Raise BadInput unless the table has these columns."""
        for column in columns:
            if column not in self.columns:
                have = ", ".join(self.columns) or "none"
                by_name = {c.casefold(): c for c in self.columns}
                near = get_close_matches(column.casefold(), by_name, 1)
                hint = f". Did you mean {by_name[near[0]]!r}?" if near else ""
                problem = f"there is no such column; found: {have}{hint}"
                raise BadInput(self.source, problem, field=column)

    def named(self, names: Iterable[str]) -> list[str]:
        """Return the columns with these names, in the order of the names.

        Case makes no difference, nor does a space or hyphen for an underscore.
        """
        by_name = {re.sub("[ -]", "_", c.casefold()): c for c in reversed(self.columns)}
        return [by_name[name] for name in names if name in by_name]

    def fills(self, column: str) -> bool:
        """Tell whether any row has a value in the column."""
        return any(not is_nothing(row.get(column)) for row in self.rows)

    def has_lists(self, column: str) -> bool:
        return any(isinstance(row.get(column), (list, tuple)) for row in self.rows)

    def name_of(self, column: str) -> str:
        """Return the column of this name, in another case if only one column matches then.

        Raises BadInput if there is none.
        """
        matches = [c for c in self.columns if c.casefold() == column.casefold()]
        if column not in self.columns and len(matches) == 1:
            return matches[0]
        self.need(column)
        return column


def table_of(
    source: str,
    rows: list[Record],
    numbers: list[int] | None = None,
    bad: tuple[BadRow, ...] = (),
) -> Table:
    """Return the table of rows that need not all have the same columns."""
    columns = dict.fromkeys(key for row in rows for key in row)
    return Table(source, tuple(columns), rows, numbers or list(range(1, len(rows) + 1)), bad=bad)


def bad_rows(source: str, bad: Iterable[BadRow], *, can_skip: bool = True) -> BadInput:
    """Return the error that lists the rows, up to `LISTED` of them."""
    # several judges of one row meet the same problem
    rows = list(dict.fromkeys(sorted(bad, key=lambda row: row.number)))
    if len(rows) == 1:
        (row,) = rows
        advice = ". --skip leaves the row out." if can_skip else ""
        return BadInput(source, row.problem + advice, row=row.number, field=row.field)
    more = f"\n… and {len(rows) - LISTED:,} more" if len(rows) > LISTED else ""
    listed = "\n".join(map(str, rows[:LISTED]))
    advice = " --skip leaves them out." if can_skip else ""
    number = len({row.number for row in rows})
    return BadInput(
        source,
        f"{number:,} {'row' if number == 1 else 'rows'} cannot be used.{advice}\n{listed}{more}",
    )
