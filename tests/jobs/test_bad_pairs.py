"""Pairs that teach nothing, or length alone, and answers that no model can read whole."""

import json
import re

import pytest
import tiny_model

from palate.collect import importing, labels, pairs
from palate.collect.columns import Columns
from palate.collect.tables import Table
from palate.core import hub as client
from palate.core.project import Settings
from palate.report.export import export


def test_pairs_without_a_difference_are_refused(labelled, jobs):
    file = client.fetch(labelled.id, "dataset", labelled.revision, ["preferences/train.jsonl"])[0]
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    same = "".join(json.dumps(row | {"rejected": row["chosen"]}) + "\n" for row in rows)
    client.commit(labelled.id, "dataset", {"preferences/train.jsonl": same}, "No difference")
    said = jobs("dpo", labelled.id, code=2)
    assert f"No row is left to train on: {len(rows)} chosen and rejected are the same text." in said


@pytest.mark.slow
def test_taste_that_is_length_is_named_and_answers_beyond_the_window_are_left_out(
    repo_id, base_model, jobs
):
    long = "word " * 600  # the tiny model reads 512 tokens
    rows = [
        {
            "prompt": tiny_model.prompt(i),
            "chosen": f"{tiny_model.title(i, k)} {'and more ' * (k + 2)}",
            "rejected": tiny_model.title(i, k),
        }
        for i in range(40)
        for k in (0, 1)
    ]
    rows += [
        {"prompt": tiny_model.prompt(i), "chosen": f"{i} {long}", "rejected": "The end"}
        for i in range(40)
    ]
    table = Table("pairs.csv", ("prompt", "chosen", "rejected"), rows, list(range(len(rows))))
    importing.start_project(repo_id, [], Settings(base_model=base_model))
    importing.add(repo_id, labels.labels_of(pairs.read(table, Columns())), "Import")
    export(repo_id)
    said = jobs("dpo", repo_id, "--recipe", "fast", "--epochs", "1", "--learning-rate", "1e-4")
    assert re.search(r"the longer text is preferred: the longer one won (\d+) of \1 on", said)
    assert "train with --length-desensitized" in said
    assert "left out: 40 rows, longer than 512 tokens (the model's window)" in said
    assert "The model is right more often than a rule by length" not in said
    assert "than a rule by length" in said
