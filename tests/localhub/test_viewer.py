"""The first rows of a data set, by config and split."""

import io
import json
from datetime import datetime
from itertools import islice

import pyarrow
import pyarrow.parquet as pq
import pytest
from huggingface_hub import CommitOperationAdd

from palate.localhub import viewer

SPLITS = """---
configs:
- config_name: a/b
  data_files: [{split: train, path: "data/*.jsonl"}, {split: test, path: t.parquet}]
- {config_name: none, data_files: no/*.csv}
---
"""


def test_a_dataset_shows_its_first_rows_by_config_and_split(wire, nobody, api, repo_id):
    parquet = io.BytesIO()
    pq.write_table(pyarrow.table({"n": list(range(300))}), parquet)
    rows = "".join(json.dumps({"text": f"<b>{n}</b>"}) + "\n" for n in range(150))
    files = {
        "README.md": SPLITS.encode(), "data/a.jsonl": rows.encode(), "data/b.jsonl": b"{",
        "t.parquet": parquet.getvalue(), "x/eval.csv": b"q\n1\n",
    }  # fmt: skip
    api.create_repo(repo_id, repo_type="dataset", private=True)
    changes = [CommitOperationAdd(name, content) for name, content in files.items()]
    api.create_commit(repo_id, changes, commit_message="data", repo_type="dataset")
    base = f"/datasets/{repo_id}/viewer"
    train, test = wire.page(base).text, wire.page(f"{base}/a%2Fb/test").text
    assert "The first 100 rows of a/b, train" in train
    assert "&lt;b&gt;99&lt;/b&gt;" in train
    assert "&lt;b&gt;100&lt;/b&gt;" not in train
    assert "<div>99</div>" in test
    assert "<div>100</div>" not in test
    assert f'href="{base}/a%2Fb/train"' in test
    assert wire.page(f"{base}/none/train").status == 404
    assert nobody.get(base).status == 401
    broken = {
        "README.md": b"---\npretty_name: x\n---\n",
        "t.parquet": b"PAR1 no",
        "data/a.jsonl": b"{",
    }
    changes = [CommitOperationAdd(name, content) for name, content in broken.items()]
    api.create_commit(repo_id, changes, commit_message="broken", repo_type="dataset")
    page = wire.page(base)
    assert (page.status, "cannot be read" in page.text) == (200, True)
    assert "<div>1</div>" in wire.page(f"{base}/default/test").text


def put(api, repo: str, files: dict[str, bytes]) -> None:
    changes = [CommitOperationAdd(name, content) for name, content in files.items()]
    api.create_repo(repo, repo_type="dataset")
    api.create_commit(repo, changes, commit_message="data", repo_type="dataset")


@pytest.mark.parametrize(
    "row",
    [
        r'{"\ud800": "\udfff"}',
        '{"a": ' + "[" * 900 + "]" * 900 + "}",
        '{"a": [{"content": ' + "[" * 900 + "]" * 900 + "}]}",
        json.dumps({"a\u202e\u2028<b>": "x" * 200_000}),
    ],
)
def test_a_page_of_hostile_rows_is_a_page(wire, api, repo_id, row):
    put(api, repo_id, {"a.jsonl": row.encode()})
    for path in ("viewer", "blob/main/a.jsonl"):
        assert wire.page(f"/datasets/{repo_id}/{path}").status == 200, path


def test_images_and_times_of_parquet_are_shown_in_words(wire, api, repo_id):
    file = io.BytesIO()
    columns = {"i": [{"bytes": b"x" * 2000}], "b": [b"xyz"], "t": [datetime(2026, 1, 2)]}
    pq.write_table(pyarrow.table(columns), file)
    put(api, repo_id, {"a.parquet": file.getvalue()})
    page = wire.page(f"/datasets/{repo_id}/viewer").text
    for words in ("2.0 kB", "3 B", "2026-01-02"):
        assert words in page


def test_rows_with_names_of_their_own_make_no_endless_table(wire, api, repo_id):
    rows = "".join(json.dumps({f"{n}-{i}": 1 for i in range(300)}) + "\n" for n in range(200))
    put(api, repo_id, {"a.jsonl": rows.encode()})
    for path, more in (("viewer", 100 * 300 - 100), ("blob/main/a.jsonl", 50 * 300 - 100)):
        page = wire.page(f"/datasets/{repo_id}/{path}").text
        assert page.count("<th>") == 100
        assert f"{more} more columns, not shown" in page


def test_half_a_character_in_a_card_is_replaced(wire, api, repo_id):
    card = """---
"\\ud800": 1
tags: ["\\ud801"]
configs: [{config_name: "\\ud802", data_files: [{split: "\\ud803", path: "*"}]}]
---
"""
    put(api, repo_id, {"README.md": card.encode(), "a.jsonl": b"{}"})
    for path in (f"/datasets/{repo_id}/viewer", f"/datasets/{repo_id}", "/datasets",
                 f"/api/datasets/{repo_id}", "/api/datasets?full=true"):  # fmt: skip
        assert wire.page(path).status == 200, path


def test_a_large_file_is_read_at_its_beginning_alone():
    rows = viewer._records("a.jsonl", b'{"a": 1}\n' + b"[\n" * 5_000_000)
    assert next(rows) == {"a": 1}
    with pytest.raises(ValueError, match="first row is too large"):
        next(viewer._records("a.csv", b"," * 9_000_000))
    assert len(list(islice(viewer._records("a.csv", b"a,b\n" * 3_000_000), 100))) == 100


def test_a_card_names_few_patterns():
    many = [{"config_name": str(n), "data_files": ["*"] * 60} for n in range(1000)]
    assert list(viewer.configs_of({"configs": many}, ["a.csv"])) == ["0", "1"]
