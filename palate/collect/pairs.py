"""Labelled pairs out of a table: the one reader that an import and an audit share. Pure: no I/O."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from palate.collect import cells, conversations, formats, ratings
from palate.collect.cells import BadCell, Fault, Reader, is_nothing
from palate.collect.choices import BY_MODEL, Case, Choice, Codebook, decide
from palate.collect.columns import Columns, Roles, Template, roles_of
from palate.collect.formats import Shaped
from palate.collect.onehot import OneHot
from palate.collect.rows import BadRow, Record, Table
from palate.core.schema import Message, digest

FAULTS: dict[Fault, str] = {
    "prompt": "with an empty or malformed prompt",
    "text": "with an empty or malformed text",
    "choice": "whose choice is neither of the two texts nor a tie",
}
NO_CHOICE = "without a choice"


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


@dataclass(frozen=True)
class Doubted:
    """A label that the reward finds unlikely, and whether the person said the same again."""

    chosen: str
    rejected: str
    probability: float  # of this choice, by the reward
    again: bool | None  # None: not answered again yet


@dataclass
class Rows:
    """The rows of a source, and those that cannot be used.

    `used` says for what each column is used, `unused` names the others, `set_aside` counts what the
    source itself marks as no judgement, and `codes` says what the choice's values mean.
    """

    source: str
    rows: list[Row]
    total: int
    sided: bool  # whether left and right are the sides that were shown
    bad: list[BadRow] = field(default_factory=list)
    format: str = ""
    used: dict[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    set_aside: Counter[str] = field(default_factory=Counter)
    codes: str = ""
    texts: str = "chosen, rejected"  # the columns of the two texts
    annotator: str | None = None  # the column that says who chose
    models: tuple[str, str] | None = None  # the columns that say who wrote
    remarks: Counter[str] = field(default_factory=Counter)  # on rows that are used, counted
    excluded: int = 0  # people of a project whose judgements the owner does not count
    project: str = ""  # its name; empty for a file
    doubted: tuple[Doubted, ...] = ()  # labels of a project that its reward finds unlikely

    @property
    def problems(self) -> dict[str, list[int]]:
        """The numbers of the rows that cannot be used, by what is wrong with them."""
        numbers: dict[str, list[int]] = {}
        for row in self.bad:
            numbers.setdefault(row.kind, []).append(row.number)
        return numbers

    def problem(self, what: str, number: int) -> None:
        self.bad.append(BadRow(number, None, what, what))


def read(
    table: Table, columns: Columns, template: Template | None = None, *, needs_prompt: bool = True
) -> Rows:
    """Return the labelled pairs of a table; where the chosen text is known, it is left.

    Without a prompt column, if `needs_prompt` is False, each pair of texts gets its own prompt.
    Raises UsageError where it is uncertain what the columns or the choice's values mean.
    """
    shaped = formats.shape(table, columns) or Shaped(table, columns)
    roles = roles_of(shaped.table, shaped.columns, template, needs_prompt=needs_prompt)
    reader = Reader()
    conversation = conversations.Conversations(roles, reader, shaped.table.rows)
    pending, bad = _texts(shaped.table, conversation, roles)
    codebook = _codebook(shaped, roles, pending) if roles.choice else None
    result = Rows(
        table.source, [], len(shaped.table.rows) + len(shaped.table.bad),
        sided=not roles.is_preference, bad=[*shaped.table.bad, *bad], format=shaped.format,
        set_aside=shaped.set_aside, codes=codebook.words if codebook else "",
        texts=f"{roles.first}, {roles.second}", annotator=roles.annotator, models=roles.models,
    )  # fmt: skip
    if roles.is_preference:
        result.remarks = ratings.contradictions(shaped.table)
    result.used = shaped.used or roles.used()
    if columns.judges:
        kept = {c: use for c, use in result.used.items() if c in table.columns}
        result.used = kept | dict.fromkeys(columns.judges, "choice of one judge, under a pseudonym")
    if roles.models and needs_prompt and result.codes != BY_MODEL:
        result.used = {c: use for c, use in result.used.items() if c not in roles.models}
    result.unused = (
        *(c for c in (shaped.unused or table.columns) if c not in result.used),
        *reader.left_out,
    )
    for row, case in pending:
        choice = codebook.of(case) if codebook else "left"
        if choice is None:
            result.bad.append(_unclear(row, roles, case, codebook))
        else:
            result.rows.append(_with_choice(row, choice))
    return result


def _texts(
    table: Table, conversation: "conversations.Conversations", roles: Roles
) -> tuple[list[tuple[Row, Case]], list[BadRow]]:
    """Return the rows whose texts can be read, each with its choice as the source has it."""
    pending: list[tuple[Row, Case]] = []
    bad: list[BadRow] = []
    splits: Sequence[object] = table.splits or [
        row.get(roles.split) if roles.split else None for row in table.rows
    ]
    for record, number, split in zip(table.rows, table.numbers, splits, strict=True):
        try:
            messages, left, right = conversation.read(record)
            value = _value(record, roles)
            models = _models(record, roles.models)
            who = record.get(roles.annotator) if roles.annotator else None
        except BadCell as error:
            bad.append(BadRow(number, error.column, error.problem, FAULTS[error.fault]))
            continue
        if not messages:
            messages = f"Comparison {digest(left, right)[:8]}"
        row = Row(
            number=number, prompt=plain(messages), left=left, right=right, choice="left",
            split=None if is_nothing(split) else str(split),
            annotator="" if is_nothing(who) else str(who),
            messages=messages, models=models,
        )  # fmt: skip
        pending.append((row, Case(value, (left, right), models)))
    return pending, bad


def _value(record: Record, roles: Roles) -> object:
    """Return what the choice column says, or the one of several columns that says yes."""
    if roles.choice is None:
        return None
    if not isinstance(roles.choice, OneHot):
        return record.get(roles.choice)
    if (value := roles.choice.of(record)) is None:
        cells_of = {column: record.get(column) for column in roles.choice.columns}
        names = ", ".join(roles.choice.columns)
        problem = f"expected 1 in exactly one of the columns, found {cells.shown(cells_of)}"
        raise BadCell(names, problem, "choice")
    return value


def _codebook(shaped: Shaped, roles: Roles, pending: Sequence[tuple[Row, Case]]) -> Codebook:
    sides = roles.first, roles.second
    if isinstance(roles.choice, OneHot):
        return roles.choice.codebook()
    column = roles.choice or ""
    cases = [case for _, case in pending]
    return decide(cases, column, sides, shaped.columns.given, shaped.table.source)


def _unclear(row: Row, roles: Roles, case: Case, codebook: Codebook | None) -> BadRow:
    empty = is_nothing(case.value)
    words = codebook.words if codebook else ""
    problem = (
        f"expected a choice ({words}), found {'nothing' if empty else cells.shown(case.value)}"
    )
    return BadRow(row.number, str(roles.choice), problem, NO_CHOICE if empty else FAULTS["choice"])


def _with_choice(row: Row, choice: Choice) -> Row:
    return Row(
        row.number, row.prompt, row.left, row.right, choice, row.split, row.annotator,
        row.messages, row.models,
    )  # fmt: skip


def _models(row: Mapping[str, object], columns: tuple[str, str] | None) -> tuple[str, str] | None:
    if columns is None:
        return None
    first, second = (cells.text(row.get(column), column) for column in columns)
    return first.strip(), second.strip()


def plain(messages: str | list[Message]) -> str:
    """Return a prompt as a person reads it."""
    if isinstance(messages, str):
        return messages
    return "\n\n".join(m["content"] for m in messages)
