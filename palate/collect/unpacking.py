"""Packed files: how much they unpack to is bounded, so that a small file fills no memory."""

import gzip
import io
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from palate.core.errors import BadInput

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

MAX_BYTES = 2 * 2**30  # unpacked
MAX_ROWS = 20_000_000  # in Parquet, where equal rows take no space


def gunzip(path: Path, data: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            unpacked = packed.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(path, f"not a whole gzip file: {error}") from None
    _check(path, len(unpacked))
    return unpacked


def check_zip(path: Path, data: bytes) -> None:
    """Raise BadInput for a zip archive that unpacks to too much."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile:
        return  # its reader says what is wrong
    _check(path, size)


def check_parquet(path: Path, metadata: "FileMetaData") -> None:
    """Raise BadInput for a Parquet file that has too much in it."""
    groups = range(metadata.num_row_groups)
    _check(path, sum(metadata.row_group(i).total_byte_size for i in groups))
    if metadata.num_rows > MAX_ROWS:
        raise BadInput(path, f"has {metadata.num_rows:,} rows; at most {MAX_ROWS:,} are read")


def _check(path: Path, size: int) -> None:
    if size > MAX_BYTES:
        raise BadInput(path, f"unpacks to more than {MAX_BYTES / 2**30:g} GiB; import it in parts")
