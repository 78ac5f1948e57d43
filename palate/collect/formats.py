"""Files of other tools, by their look, as plain tables of pairs. Pure: no I/O.

Each format has a function that returns the table with usual columns, or None for another format.
"""

import json
from dataclasses import replace

from palate.collect import annotations, ratings
from palate.collect.cells import is_nothing
from palate.collect.columns import Columns
from palate.collect.rows import Record, Table
from palate.collect.shapes import Shaped, dict_of, has, list_of

CHOICE, JUDGE = "choice of a judge", "column of the judge"


def shape(table: Table, columns: Columns) -> Shaped | None:
    """Return the table of pairs that a file of another tool holds; None for a plain table."""
    for read in (
        _judges,
        annotations.label_studio,
        annotations.argilla,
        annotations.argilla_flat,
        _openai,
        ratings.rated_lists,
        ratings.rated_rows,
        _two_outputs,
    ):
        if shaped := read(table, columns):
            return shaped
    return _unwrapped(table, columns)


def _judges(table: Table, columns: Columns) -> Shaped | None:
    """Read a column for each judge: a row becomes a judgement of each."""
    if not columns.judges:
        return None
    table.need(*columns.judges)
    own = replace(columns, choice=CHOICE, annotator=JUDGE)
    rows = [row | {CHOICE: row.get(c), JUDGE: c} for row in table.rows for c in columns.judges]
    numbers = [number for number in table.numbers for _ in columns.judges]
    splits = [split for split in table.splits for _ in columns.judges] if table.splits else None
    names = (*(c for c in table.columns if c not in columns.judges), CHOICE, JUDGE)
    new = replace(table, columns=names, rows=rows, numbers=numbers, splits=splits)
    return Shaped(new, own, f"choices of {len(columns.judges)} judges a row")


def _openai(table: Table, columns: Columns) -> Shaped | None:
    """Read the preference lines of OpenAI's fine-tuning."""
    needed = {"input", "preferred_output", "non_preferred_output"}
    if not needed <= set(table.columns) or not has(table, "input", dict):
        return None
    rows: list[Record] = []
    keys: dict[str, None] = {}
    for row in table.rows:
        given = dict_of(row.get("input"))
        keys |= dict.fromkeys(given)
        rows.append(
            {
                "prompt": given.get("messages"), "tools": given.get("tools"),
                "chosen": row.get("preferred_output"), "rejected": row.get("non_preferred_output"),
            }
        )  # fmt: skip
    used = {"input": "prompt", "preferred_output": "chosen", "non_preferred_output": "rejected"}
    unused = [f"input.{key}" for key in keys if key not in ("messages", "tools")]
    new = replace(table, columns=("prompt", "tools", "chosen", "rejected"), rows=rows)
    return Shaped(new, Columns("prompt"), "OpenAI preferences", used, (*table.columns, *unused))


def _two_outputs(table: Table, columns: Columns) -> Shaped | None:
    """Read LLaMA-Factory's older files, whose `output` is the better and the worse answer."""
    outputs = [row.get("output") for row in table.rows]
    if "instruction" not in table.columns or not all(len(list_of(o)) == 2 for o in outputs):
        return None
    rows = [
        {k: v for k, v in row.items() if k != "output"}
        | dict(zip(("chosen", "rejected"), list_of(row["output"]), strict=True))
        for row in table.rows
    ]
    names = (*(c for c in table.columns if c != "output"), "chosen", "rejected")
    new = replace(table, columns=names, rows=rows)
    return Shaped(new, columns, "LLaMA-Factory", unused=names)


def _unwrapped(table: Table, columns: Columns) -> Shaped | None:
    """Read texts that are JSON lists of one text, as Kaggle's arena files have them."""
    names = [
        c
        for c in table.columns
        if (texts := [row.get(c) for row in table.rows if not is_nothing(row.get(c))])
        and all(isinstance(t, str) and t.startswith('["') and t.endswith('"]') for t in texts)
    ]
    if len(names) < 3:
        return None
    rows = [row | {c: _only(row.get(c)) for c in names} for row in table.rows]
    return Shaped(replace(table, rows=rows), columns, "texts in JSON lists")


def _only(value: object) -> object:
    """Return the one text of a JSON list; several texts stay a list."""
    try:
        texts = json.loads(str(value))
    except ValueError:
        return value
    return texts[0] if isinstance(texts, list) and len(texts) == 1 else texts
