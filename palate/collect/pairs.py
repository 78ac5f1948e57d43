"""Labelled pairs out of a table: the one reader that an import and an audit share. Pure: no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from palate.collect import cells
from palate.collect.cells import BadCell, Fault
from palate.collect.columns import Columns, Template
from palate.collect.tables import Table
from palate.core.errors import BadInput
from palate.core.schema import Message

Choice = Literal["left", "right", "tie", "neither"]
LEFT_WORDS = {"a", "0", "left", "first", "model_a", "false"}
RIGHT_WORDS = {"b", "1", "right", "second", "model_b", "true"}
FAULTS: dict[Fault, str] = {
    "prompt": "with an empty or malformed prompt",
    "text": "with an empty or malformed text",
    "choice": "whose choice is neither of the two texts nor a tie",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Two texts that answer a prompt, and which one somebody preferred.

    `neither` means that both are bad. `messages` is the prompt as the source has it.
    """

    number: int
    prompt: str
    left: str
    right: str
    choice: Choice
    split: str | None = None
    annotator: str = ""
    messages: str | list[Message] = ""
    models: tuple[str, str] | None = None  # that wrote left and right

    @property
    def winner(self) -> str:
        return self.left if self.choice == "left" else self.right

    @property
    def loser(self) -> str:
        return self.right if self.choice == "left" else self.left


@dataclass
class Rows:
    """The rows of a source; `problems` are those that cannot be used (what → their numbers)."""

    source: str
    rows: list[Row]
    total: int
    sided: bool  # whether left and right are the sides that were shown
    problems: dict[str, list[int]] = field(default_factory=dict)

    def problem(self, what: str, number: int) -> None:
        self.problems.setdefault(what, []).append(number)


def read(table: Table, columns: Columns, template: Template | None, *, strict: bool) -> Rows:
    """Return the labelled pairs of a table; in a `chosen`/`rejected` table chosen is left.

    With `strict`, raise BadInput naming row and field where a row cannot be used or has the same
    text on both sides. Without, count the rows that cannot be used.
    """
    preferences = columns.check(table)
    result = Rows(table.source, [], len(table.rows), sided=not preferences)
    splits: Iterable[object] = table.splits or (row.get("split") for row in table.rows)
    for row, number, split in zip(table.rows, table.numbers, splits, strict=True):
        try:
            messages, left, right, choice = _pair(row, columns, template, preferences)
            if strict:
                _differ(left, right, columns, preferences)
        except BadCell as error:
            if strict:
                raise BadInput(
                    table.source, error.problem, row=number, field=error.column
                ) from None
            result.problem(FAULTS[error.fault], number)
            continue
        result.rows.append(
            Row(
                number=number,
                prompt=plain(messages),
                left=left,
                right=right,
                choice=choice,
                split=str(split) if split else None,
                annotator=str(row.get(columns.person or "annotator") or ""),
                messages=messages,
                models=_models(row, columns.models),
            )
        )
    return result


def _models(row: Mapping[str, object], columns: tuple[str, str] | None) -> tuple[str, str] | None:
    return (str(row.get(columns[0])), str(row.get(columns[1]))) if columns else None


def plain(messages: str | list[Message]) -> str:
    """Return a prompt as a person reads it."""
    if isinstance(messages, str):
        return messages
    return "\n\n".join(m["content"] for m in messages)


def _pair(
    row: Mapping[str, object], columns: Columns, template: Template | None, preferences: bool
) -> tuple[str | list[Message], str, str, Choice]:
    """Return prompt, left, right and choice of a row, or raise BadCell."""
    first, second = _text_columns(columns, preferences)
    before, left = cells.completion(row.get(first), first)
    _, right = cells.completion(row.get(second), second)
    choice = "left" if preferences else _choice(row, columns, left, right)
    column = columns.prompt or "prompt"
    if template:
        return cells.text(template(row), column, "prompt"), left, right, choice
    if not preferences or column in row:
        return cells.prompt(row.get(column), column), left, right, choice
    if not before:
        raise BadCell(column, "there is no such column", "prompt")
    return before, left, right, choice


def _choice(row: Mapping[str, object], columns: Columns, left: str, right: str) -> Choice:
    """Return what the choice column says: a word, a column's name, one of the texts, or a tie."""
    column = columns.choice or ""
    value = str(row.get(column)).strip()
    word = value.casefold().removesuffix(".0")
    if word in LEFT_WORDS or value in (columns.a, left):
        return "left"
    if word in RIGHT_WORDS or value in (columns.b, right):
        return "right"
    if word.startswith("tie"):
        return "tie"
    raise BadCell(
        column,
        f"expected a or 0 for {columns.a!r}, b or 1 for {columns.b!r}, or tie;"
        f" found {value[:60]!r}",
        "choice",
    )


def _differ(left: str, right: str, columns: Columns, preferences: bool) -> None:
    if left == right:
        first, second = _text_columns(columns, preferences)
        raise BadCell(
            f"{first}, {second}",
            f"both sides have the same text ({left[:60]!r}), so nobody can prefer one",
            "text",
        )


def _text_columns(columns: Columns, preferences: bool) -> tuple[str, str]:
    if preferences:
        return columns.chosen, columns.rejected
    return columns.a or "", columns.b or ""
