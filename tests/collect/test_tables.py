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


def xlsx(*rows: tuple[object, ...]) -> bytes:
    """Return a small Excel file with one sheet."""
    import io
    import zipfile

    def cell(value: object) -> str:
        if isinstance(value, bool):
            return f'<c t="b"><v>{int(value)}</v></c>'
        if isinstance(value, int):
            return f"<c><v>{value}</v></c>"
        return f'<c t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>'

    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rels = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    body = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    types = (
        '<Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
    )
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">{types}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1"'
        f' Type="{rels}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{rels}"><sheets>'
        '<sheet name="Labels" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{rels}/worksheet" Target="worksheets/sheet1.xml"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData>'
        "</worksheet>",
    }
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


def test_an_excel_file_reads_as_its_cells_show(write):
    table = tables.read(write("a.xlsx", xlsx(("prompt", "n", "a_won"), ("  Größe\n", 1, True))))
    assert table.rows == [{"prompt": "  Größe\n", "n": "1", "a_won": "TRUE"}]


def test_files_are_told_by_their_content(write):
    import gzip

    csv = "prompt;a;b\nWie, heißt?;gut;schlecht\n"
    wanted = [{"prompt": "Wie, heißt?", "a": "gut", "b": "schlecht"}]
    assert tables.read(write("semi.csv", csv)).rows == wanted
    assert tables.read(write("tab.csv", csv.replace(";", "\t").encode("utf-16"))).rows == wanted
    assert tables.read(write("a.csv.gz", gzip.compress(csv.encode()))).rows == wanted
    assert tables.read(write("lines.json", '{"a": 1}\n{"a": 2}\n')).rows == [{"a": 1}, {"a": 2}]
    assert tables.read(write("array.jsonl", '[{"a": 1},\n{"a": 2}]')).rows == [{"a": 1}, {"a": 2}]
    assert tables.read(write("columns.json", '{"a": [1, 2]}')).rows == [{"a": 1}, {"a": 2}]
    assert tables.read(write("u.jsonl", '{"a": "x\u2028y\x85z"}\n')).rows == [
        {"a": "x\u2028y\x85z"}
    ]
    long = "x" * 200_000
    assert tables.read(write("long.csv", f"prompt,a\nq,{long}\n")).rows[0]["a"] == long


def test_an_unknown_encoding_is_asked_for_with_how_it_would_read(write):
    file = write("gbk.csv", "prompt,a\n问题一,好\n".encode("gb18030"))
    with pytest.raises(BadInput, match="--encoding gb18030: '问题一,好'") as error:
        tables.read(file)
    assert "iconv" not in str(error.value)
    assert tables.read(file, "gb18030").rows == [{"prompt": "问题一", "a": "好"}]
    for name, says in (("klingon", "no such"), ("hex", "no such"), ("undefined", "reads no files")):
        with pytest.raises(UsageError, match=says):
            tables.read(file, name)


def test_bad_rows_are_kept_for_the_error_that_lists_all(write):
    table = tables.read(write("a.jsonl", '{"a": 1}\nnope\n[1]\n{"a": 1, "a": 2}\n'))
    assert [row.number for row in table.bad] == [2, 3, 4]
    assert "the key 'a' comes twice" in table.bad[2].problem
    table = tables.read(write("short.csv", "a,b\n1,2\n3\n1,2,3\n"))
    assert [str(row) for row in table.bad] == [
        "row 2: expected 2 fields, found 1", "row 3: expected 2 fields, found 3",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="is a folder"):
        tables.read("/tmp")
    with pytest.raises(BadInput, match="SQLite database"):
        tables.read(write("x.csv", b"SQLite format 3\0"))


def test_a_hub_dataset_is_named_to_its_split(hub, repo_id):
    from datasets import Dataset, DatasetDict

    dotted = f"{repo_id}.v1.5"
    rows = {k: Dataset.from_list([{"prompt": k}]) for k in ("train", "test")}
    DatasetDict(rows).push_to_hub(dotted, "one")
    table = tables.read(f"{dotted}:one/test")
    assert (table.rows, table.splits) == ([{"prompt": "test"}], ["test"])
    with pytest.raises(UsageError, match="has no split 'dev'; found: train, test"):
        tables.read(f"{dotted}:one/dev")


def test_of_several_configs_the_default_one_is_read_and_without_one_all_are_named(hub, repo_id):
    from datasets import Dataset

    for config in ("one", "two"):
        Dataset.from_list([{"prompt": config}]).push_to_hub(repo_id, config)
    with pytest.raises(UsageError, match="has several configs: one, two"):
        tables.read(repo_id)
    other = f"{repo_id}-default"
    for config in ("two", "one"):
        rows = Dataset.from_list([{"prompt": config}])
        rows.push_to_hub(other, config, set_default=config == "two")
    assert [r["prompt"] for r in tables.read(other).rows] == ["two"]
    assert [r["prompt"] for r in tables.read(f"{other}:one").rows] == ["one"]
