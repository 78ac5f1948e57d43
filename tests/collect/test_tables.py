import json

import pytest

from palate.collect import tables
from palate.core.errors import BadInput, UsageError

ROWS = [{"idea": "tea", "n": "1"}, {"idea": 'größe, "quoted"\nand broken', "n": "2"}]


@pytest.fixture
def write(tmp_path):
    def write(name: str, content: str | bytes):
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(file)

    return write


def test_every_kind_of_file_gives_the_same_rows(write, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    csv = 'idea,n\r\ntea,1\r\n"größe, ""quoted""\nand broken",2\r\n'
    sources = [
        write("a.csv", csv),
        write("bom.csv", b"\xef\xbb\xbf" + csv.encode()),
        write("a.tsv", csv.replace(",1", "\t1").replace(",2", "\t2").replace("idea,n", "idea\tn")),
        write("a.jsonl", "".join(json.dumps(r) + "\n" for r in ROWS)),
        write("a.json", json.dumps(ROWS)),
    ]
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    for source in [*sources, str(tmp_path / "a.parquet")]:
        table = tables.read(source)
        assert table.rows == ROWS, source
        assert table.columns == ("idea", "n")


def test_text_is_a_prompt_a_line(write):
    table = tables.read(write("p.txt", "one\n\n  two \n"))
    assert table.rows == [{"prompt": "one"}, {"prompt": "two"}]
    assert table.numbers == [1, 3]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("e.csv", "", "has no rows"),
        ("e.csv", "idea,n\n", "has no rows"),
        ("e.txt", "\n \n", "has no rows"),
        ("latin.csv", b"idea\ncaf\xe9\n", "row 2: expected UTF-8, found the byte 0xe9"),
        ("quote.csv", 'a,b\n1,"2\n3,4\n', "row 1: not valid CSV"),
        ("twice.csv", "a,a\n1,2\n", "several columns are called 'a'"),
        ("bad.jsonl", '{"a": \n', "row 1: not JSON"),
        ("bad.json", "3", "expected an array of objects, found int"),
        ("bad.json", "{", "not JSON"),
        ("bad.parquet", "no", "not a Parquet file"),
    ],
)
def test_a_wrong_file_is_named(write, name, content, says):
    with pytest.raises(BadInput, match=says) as error:
        tables.read(write(name, content))
    assert name in str(error.value)


def test_a_missing_file_says_what_can_be_given():
    with pytest.raises(UsageError, match=r"There is no file nowhere\.csv"):
        tables.read("nowhere.csv")


def test_a_missing_column_lists_those_that_are_there(write):
    with pytest.raises(BadInput, match="field 'title': there is no such column; found: idea, n"):
        tables.read(write("a.csv", "idea,n\n1,2\n")).need("idea", "title")


def test_a_hub_dataset_gives_all_splits(hub, repo_id):
    from datasets import Dataset, DatasetDict

    rows = {k: Dataset.from_list([{"prompt": k}]) for k in ("train", "test")}
    DatasetDict(rows).push_to_hub(repo_id)
    assert sorted(r["prompt"] for r in tables.read(repo_id).rows) == ["test", "train"]


def test_an_unknown_hub_dataset_says_so(hub):
    with pytest.raises(UsageError, match="There is no dataset me/nowhere"):
        tables.read("me/nowhere")
