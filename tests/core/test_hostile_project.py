"""A project's dataset that somebody else wrote: wrong settings and rows end in a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core import hub as client
from palate.core.errors import PalateError
from palate.core.project import Project, Settings

DIGITS = "9" * 5_000
SETTINGS = [
    b"question = " + b"[" * 100_000,
    b"round = " + DIGITS.encode(),
    b"test = " + b"{a=" * 20_000,
    b'question = "\xff"',
    b'question = "\x7f"',
    b"question = 1",
    b"test = nan",
    b"repeats = inf",
    b"annotators = [1]",
    b"round = true",
    b"round = 0",
    b"round = " + b"9" * 300,
    b"seed = " + b"9" * 300,
    b"annotators_per_pair = " + b"9" * 300,
    b"[question]\na = 1",
    b"surprise = 1",
]
ROWS = [
    b"[" * 100_000,
    b'{"id": ' + DIGITS.encode() + b"}",
    b'{"id": "a", "prompt": [1], "split": "train"}',
    b'{"id": "\xff"}',
    b"null",
    b'{"id": NaN}',
]


@pytest.mark.parametrize("text", SETTINGS, ids=range(len(SETTINGS)))
def test_hostile_settings_are_refused_by_name(hub, repo_id, text):
    client.create(repo_id, "dataset")
    client.commit(repo_id, "dataset", {"palate.toml": text}, "x")
    with pytest.raises(PalateError, match=r"palate\.toml"):
        Project.load(repo_id)


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_hostile_rows_are_refused_by_file_and_row(hub, repo_id, row):
    client.create(repo_id, "dataset")
    files = {"palate.toml": Settings().dump(), "prompts/0001.jsonl": row + b"\n"}
    client.commit(repo_id, "dataset", files, "x")
    with pytest.raises(PalateError, match=r"prompts/0001\.jsonl"):
        _ = Project.load(repo_id).prompts


def test_guidelines_in_another_encoding_are_refused(hub, repo_id):
    client.create(repo_id, "dataset")
    files = {"palate.toml": Settings().dump(), "guidelines.md": b"caf\xe9"}
    client.commit(repo_id, "dataset", files, "x")
    with pytest.raises(PalateError, match=r"guidelines\.md.*UTF-8"):
        _ = Project.load(repo_id).guidelines


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_settings_are_read_back_as_they_were_written(question):
    assert Settings.parse(Settings(question=question).dump()).question == question


def test_a_control_character_is_read_back():
    assert Settings.parse(Settings(question="a\x7fb\x00c").dump()).question == "a\x7fb\x00c"
