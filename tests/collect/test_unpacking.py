"""Small files that unpack to much are refused before they fill the memory."""

import gzip
import io
import tracemalloc
import zipfile

import pytest

from palate.collect import unpacking
from palate.collect.files import read
from palate.core.errors import BadInput

LIMIT = 50_000


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", "0" * (LIMIT + 1))
    return file.getvalue()


def parquet(**columns: list[object]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv.gz", gzip.compress(b"0" * (LIMIT + 1)), "unpacks to more than"),
        ("a.xlsx", zipped(), "unpacks to more than"),
        ("a.parquet", parquet(text=[str(i) * 9 for i in range(LIMIT // 10)]), "unpacks to more"),
        ("b.parquet", parquet(text=["0"] * 1001), "has 1,001 rows; at most 1,000 are read"),
    ],
)
def test_what_unpacks_to_much_is_refused(name, data, says, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_BYTES", LIMIT)
    monkeypatch.setattr(unpacking, "MAX_ROWS", 1000)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=says):
        read(tmp_path / name)


def test_a_bomb_is_not_unpacked_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_BYTES", 2**20)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(bytes(64 * 2**20), 1))
    tracemalloc.start()
    with pytest.raises(BadInput):
        read(tmp_path / "a.csv.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20
