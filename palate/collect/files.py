"""A local file into columns and rows: what it is by its content, not by its name alone."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from palate.collect.rows import BadRow, Record, Table, table_of
from palate.collect.unpacking import check_parquet, check_zip, gunzip
from palate.core.errors import BadInput, UsageError

DELIMITERS = (",", "\t", ";", "|")
SNIFFED_RECORDS = 50  # of a CSV file, from which its delimiter is told
ENVELOPES = ("data", "rows", "records", "examples", "instances")  # of an array inside an object
MAGIC = {
    b"SQLite format 3": "a SQLite database; export the table as CSV or JSON lines",
    b"%PDF": "a PDF; expected a table",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls); save it as .xlsx or as CSV UTF-8",
    b"ARROW1": "an Arrow file; save it as Parquet",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it first, or compress it with gzip",
    b"BZh": "compressed with bzip2; unpack it first, or compress it with gzip",
    b"\xfd7zXZ": "compressed with xz; unpack it first, or compress it with gzip",
}
BOMS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
# what spreadsheets and older tools write, most common first
ENCODINGS = ("cp1252", "gb18030", "cp932", "big5", "cp949", "euc_jp", "cp1251", "cp1250", "koi8_r")


def read(path: Path, encoding: str | None = None) -> Table:
    """Read a text, CSV, JSON lines, JSON, Parquet or Excel file, compressed with gzip or not.

    Raises BadInput for a file that is none of these, or is malformed as a whole; the table lists
    single rows that cannot be read.
    """
    data, suffix = path.read_bytes(), path.suffix.lower()
    if data[:2] == b"\x1f\x8b":
        suffix = Path(path.stem).suffix.lower()
        data = gunzip(path, data)
    for magic, what in MAGIC.items():
        if data.startswith(magic):
            raise BadInput(path, f"this is {what}")
    if data[:4] == b"PAR1" or suffix == ".parquet":
        return _parquet(path, data)
    if data[:2] == b"PK":
        check_zip(path, data)
        return _xlsx(path, data)
    text = decode(path, data, encoding)
    if suffix in (".csv", ".tsv"):
        return _csv(path, text)
    if suffix in (".json", ".jsonl", ".ndjson"):
        return _json(path, text)
    lines = [(n, line.strip()) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    return Table(str(path), ("prompt",), [{"prompt": t} for _, t in lines], [n for n, _ in lines])


def decode(path: Path, data: bytes, encoding: str | None) -> str:
    """Return the text. Raises BadInput where the bytes do not say how they are to be read."""
    named = encoding or next((e for bom, e in BOMS.items() if data.startswith(bom)), "utf-8")
    try:
        return data.decode(named).removeprefix("\ufeff")
    except LookupError:
        raise UsageError(f"--encoding {encoding}: there is no such encoding.") from None
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        problem = f"expected {named.upper()}, found the byte 0x{data[error.start]:02x}"
        advice = "" if encoding else _readings(data, error.start)
        raise BadInput(path, f"{problem}.{advice}", row=row) from None
    except UnicodeError:  # a codec that reads no files, such as idna
        raise UsageError(f"--encoding {encoding} reads no files. Try gb18030 or cp1252.") from None


def _readings(data: bytes, start: int) -> str:
    """Return how the text around a byte reads in the encodings that fit the whole file."""
    from charset_normalizer import from_bytes

    known = {m.encoding for m in from_bytes(data, cp_isolation=list(ENCODINGS))}
    begin = data.rfind(b"\n", 0, start) + 1
    end = data.find(b"\n", start)
    line = data[begin : end if end >= 0 else len(data)]
    readings: dict[str, str] = {}
    for name in sorted(ENCODINGS, key=lambda name: name not in known):
        try:
            data.decode(name)
            readings.setdefault(line.decode(name).strip()[:40], name)
        except UnicodeDecodeError:
            continue
    shown = "; ".join(f"{name}: {text!r}" for text, name in list(readings.items())[:5])
    return (
        " Save it as UTF-8 where it was made, or name its encoding with --encoding."
        f" This row reads, with --encoding {shown}."
    )


def _parquet(path: Path, data: bytes) -> Table:
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        check_parquet(path, file.metadata)
        return table_of(str(path), file.read().to_pylist())
    except (ArrowException, OSError, ValueError) as error:
        raise BadInput(path, f"not a Parquet file: {error}") from None


def _xlsx(path: Path, data: bytes) -> Table:
    """Return the one sheet with rows of an Excel file."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise UsageError(
            f"{path} is an Excel file. Install what reads it (pip install 'palate[excel]'), or save"
            " it as CSV UTF-8."
        ) from None
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        sheets = {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}
    except (CalamineError, ValueError, OSError) as error:
        raise BadInput(
            path, f"neither an Excel file nor another that palate reads: {error}"
        ) from None
    full = {name: rows for name, rows in sheets.items() if len(rows) > 1}
    if len(full) > 1:
        names = ", ".join(full)
        raise BadInput(path, f"several sheets have rows ({names}); save one of them as CSV UTF-8")
    records = next(iter(full.values()), [])
    texts = [[_cell(value) for value in record] for record in records]
    return _from_records(path, iter(texts))


def _cell(value: object) -> str:
    """Return a spreadsheet's value as its cell shows it."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _csv(path: Path, text: str) -> Table:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses answers of 128 KiB
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    return _from_records(path, reader)


def _delimiter(text: str) -> str:
    """Return the delimiter that gives the most columns, and in most records the same number."""

    def fit(delimiter: str) -> tuple[int, int]:
        lines = io.StringIO(text, newline="")
        widths: list[int] = []
        try:
            for record in csv.reader(lines, delimiter=delimiter, strict=True):
                widths.append(len(record))
                if len(widths) > SNIFFED_RECORDS:
                    break
        except csv.Error:
            pass
        if not widths or widths[0] < 2:
            return 0, 0
        return sum(width == widths[0] for width in widths), widths[0]

    best = max(DELIMITERS, key=fit)
    return best if fit(best) > (0, 0) else ","


def _from_records(path: Path, records: Iterator[list[str]]) -> Table:
    """Return the table of a header and records; a record of another length is a bad row."""
    rows: list[Record] = []
    numbers: list[int] = []
    bad: list[BadRow] = []
    number = 0
    try:
        header = next((r for r in records if any(cell.strip() for cell in r)), [])
        columns = _header(path, header)
        for record in records:
            if not any(cell.strip() for cell in record):
                continue
            number += 1
            if len(record) != len(columns):
                problem = f"expected {len(columns)} fields, found {len(record)}"
                bad.append(BadRow(number, None, problem))
                continue
            rows.append(dict(zip(columns, record, strict=True)))
            numbers.append(number)
    except csv.Error as error:
        raise BadInput(path, f"not valid CSV: {error}", row=number + 1) from None
    return Table(str(path), columns, rows, numbers, bad=tuple(bad))


def _header(path: Path, header: list[str]) -> tuple[str, ...]:
    names = [name.strip() or f"(column {i})" for i, name in enumerate(header, 1)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(path, f"several columns are called {twice[0]!r}; rename all but one", row=0)
    return tuple(names)


def _json(path: Path, text: str) -> Table:
    """Return the rows of JSON lines or of an array of objects, whichever the text is."""
    if text.lstrip()[:1] != "[":
        lines = [line for line in text.split("\n") if line.strip()]
        alone = len(lines) == 1 and path.suffix.lower() == ".json"
        if lines and not alone and _is_object(lines[0]):
            return _json_lines(path, text)
    try:
        value = _loads(text)
    except (ValueError, RecursionError) as error:
        if path.suffix.lower() in (".jsonl", ".ndjson") or "Extra data" in str(error):
            return _json_lines(path, text)
        raise BadInput(path, f"not JSON: {error}") from None
    if isinstance(value, dict):
        value = _enveloped(path, value)
    if not isinstance(value, list):
        raise BadInput(path, f"expected an array of objects, found {type(value).__name__}")
    return _of_values(path, enumerate(value, 1))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _enveloped(path: Path, value: dict[str, object]) -> object:
    """Return the rows inside an object: an array under a usual key, or columns of values."""
    for key in ENVELOPES:
        if isinstance(value.get(key), list):
            return value[key]
    columns = {k: v for k, v in value.items() if isinstance(v, (list, dict))}
    if len(columns) != len(value) or len({len(v) for v in columns.values()}) != 1:
        return [value]
    cells = {k: list(v.values()) if isinstance(v, dict) else v for k, v in columns.items()}
    keys = {tuple(v) for v in columns.values() if isinstance(v, dict)}
    if len(keys) > 1 or (keys and len(columns) == 1):
        return [value]
    size = len(next(iter(cells.values())))
    return [{k: v[i] for k, v in cells.items()} for i in range(size)]


def _json_lines(path: Path, text: str) -> Table:
    def values() -> Iterator[tuple[int, object]]:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    yield number, _loads(line)
                except (ValueError, RecursionError) as error:
                    yield number, BadRow(number, None, f"not JSON: {error}")

    return _of_values(path, values())


def _of_values(path: Path, values: Iterator[tuple[int, object]]) -> Table:
    rows: list[Record] = []
    numbers: list[int] = []
    bad: list[BadRow] = []
    for number, value in values:
        if isinstance(value, BadRow):
            bad.append(value)
        elif not isinstance(value, dict):
            shown = json.dumps(value, ensure_ascii=False)[:40]
            bad.append(BadRow(number, None, f"expected an object, found {shown}"))
        else:
            rows.append(value)
            numbers.append(number)
    if not rows and bad:
        first = bad[0]
        raise BadInput(path, first.problem, row=first.number, field=first.field)
    return table_of(str(path), rows, numbers, tuple(bad))


def _loads(text: str) -> object:
    """Return the JSON value; a number that is none is nothing, and no key comes twice."""
    return json.loads(text, object_pairs_hook=_object, parse_constant=lambda _: None)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} comes twice in an object")
    return value
