"""The first rows of a data set, by config and split."""

import io
import json

import pyarrow
import pyarrow.parquet as pq
from huggingface_hub import CommitOperationAdd

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
    assert nobody.page(base).status == 401
    broken = {"README.md": b"", "t.parquet": b"PAR1 no", "data/a.jsonl": b"{"}
    changes = [CommitOperationAdd(name, content) for name, content in broken.items()]
    api.create_commit(repo_id, changes, commit_message="broken", repo_type="dataset")
    page = wire.page(base)
    assert (page.status, "cannot be read" in page.text) == (200, True)
    assert "<div>1</div>" in wire.page(f"{base}/default/test").text
