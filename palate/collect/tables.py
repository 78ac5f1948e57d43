"""Rows of a file (text, CSV, JSON lines, JSON, Parquet) or of a Hub dataset."""

import csv
import io
import json
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from palate.core import hub
from palate.core.errors import BadInput, UsageError

Record = dict[str, object]  # a row by column
_HUB_ID = re.compile(r"[\w.\-]+/[\w.\-]+(:[\w.\-]+)?")


@dataclass(frozen=True)
class Table:
    """Rows as the source has them; errors name a row by its entry in `numbers`.

    `splits` names each row's split if the source has several.
    """

    source: str
    columns: tuple[str, ...]
    rows: list[Record]
    numbers: list[int]
    splits: list[str] | None = None

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

    def name_of(self, column: str) -> str:
        """Return the column of this name, in another case if only one column matches then.

        Raises BadInput if there is none.
        """
        matches = [c for c in self.columns if c.casefold() == column.casefold()]
        if column not in self.columns and len(matches) == 1:
            return matches[0]
        self.need(column)
        return column


def read(source: str) -> Table:
    """Read a local file by its suffix, or the Hub dataset `owner/name[:config]`, all its splits.

    Raises BadInput for an empty or malformed file, UsageError if there is no such source.
    """
    path = Path(source)
    if path.is_file():
        table = _read_file(path)
    elif _HUB_ID.fullmatch(source) and not path.suffix:
        table = _read_hub(source)
    else:
        raise UsageError(
            f"There is no file {source}. Give a .txt, .csv, .tsv, .jsonl, .json or .parquet file,"
            " or a Hub dataset such as owner/name or owner/name:config."
        )
    if not table.rows:
        raise BadInput(source, "has no rows; expected at least one")
    return table


def _read_file(path: Path) -> Table:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        import pyarrow.parquet as pq
        from pyarrow import ArrowInvalid

        try:
            return _table(str(path), pq.read_table(path).to_pylist())
        except ArrowInvalid as error:
            raise BadInput(path, f"not a Parquet file: {error}") from None
    text = _decode(path)
    if suffix in (".csv", ".tsv"):
        return _read_csv(path, text, "\t" if suffix == ".tsv" else ",")
    if suffix in (".jsonl", ".ndjson"):
        return _read_jsonl(path, text)
    if suffix == ".json":
        try:
            rows = json.loads(text)
        except json.JSONDecodeError as error:
            raise BadInput(path, f"not JSON: {error}") from None
        if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            raise BadInput(path, "expected a JSON array of objects")
        return _table(str(path), rows)
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    return Table(str(path), ("prompt",), [{"prompt": t} for _, t in lines], [n for n, _ in lines])


def _decode(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise BadInput(
            path,
            f"expected UTF-8, found the byte 0x{data[error.start]:02x}."
            f" Convert it: iconv -f WINDOWS-1252 -t UTF-8 {path.name}",
            row=row,
        ) from None


def _read_csv(path: Path, text: str, delimiter: str) -> Table:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, numbers = [], []
    try:
        for row in reader:
            if None in row or None in row.values():
                present = sum(v is not None for k, v in row.items() if k)
                count = present + len(row.get(None) or [])
                expected = len(reader.fieldnames or [])
                raise BadInput(
                    path, f"expected {expected} fields, found {count}", row=len(rows) + 1
                )
            rows.append(row)
            numbers.append(len(rows))
    except csv.Error as error:
        raise BadInput(path, f"not valid CSV: {error}", row=len(rows) + 1) from None
    return Table(str(path), tuple(reader.fieldnames or ()), rows, numbers)


def _read_jsonl(path: Path, text: str) -> Table:
    rows, numbers = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInput(path, f"not JSON: {error}", row=number) from None
        if not isinstance(row, dict):
            raise BadInput(path, f"expected an object, found {line[:40]}", row=number)
        rows.append(row)
        numbers.append(number)
    return _table(str(path), rows, numbers)


def _read_hub(source: str) -> Table:
    from datasets import get_dataset_config_names, load_dataset
    from datasets.exceptions import DatasetNotFoundError

    repo, _, config = source.partition(":")
    with hub.readable_errors(repo):
        try:
            if not config:
                names = get_dataset_config_names(repo)
                if len(names) > 1 and "default" not in names:
                    raise UsageError(f"{repo} has several configs; name one: {repo}:{names[0]}")
            splits = load_dataset(repo, config or None)
        except DatasetNotFoundError:
            raise UsageError(
                f"There is no dataset {repo} on {hub.endpoint()}, nor a file of that name,"
                " or your token may not see it."
            ) from None
    table = _table(source, [dict(row) for split in splits.values() for row in split])
    names = [str(name) for name, split in splits.items() for _ in range(len(split))]
    return replace(table, splits=names if len(splits) > 1 else None)


def _table(source: str, rows: list[Record], numbers: list[int] | None = None) -> Table:
    columns = dict.fromkeys(key for row in rows for key in row)
    return Table(source, tuple(columns), rows, numbers or list(range(1, len(rows) + 1)))
