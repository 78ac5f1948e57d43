"""Import and audit read labelled pairs alike: what one refuses, the other does not use."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.audit import rows
from palate.collect import pairs, tables
from palate.collect.columns import Columns, read_template
from palate.collect.importing import labels_of
from palate.collect.tables import Table
from palate.core.errors import BadInput

CHOICE = Columns("idea", "title_a", "title_b", "won")
CHOSEN = Columns()


def csv_of(*values: tuple[str, ...], header: str = "idea,title_a,title_b,won") -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header.split(","), *values])
    return text.getvalue()


def jsonl_of(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def turn(text: str, role: str = "assistant") -> dict[str, str]:
    return {"role": role, "content": text}


USER = turn("Hi", "user")
# name → content, columns and template
FILES: dict[str, tuple[str, Columns, str | None]] = {
    "choices.csv": (
        csv_of(
            *(("tea", "x", "y", c) for c in ("a", "B", "0", "1.0", "left", "tie (bothbad)")),
            *(("tea", "x", "y", c) for c in ("title_a", "title_b", " title_b ", "x", " y", "X")),
            *(("tea", "x", "y", c) for c in ("", "maybe", "none", "2", "neither")),
        ),
        CHOICE,
        None,
    ),
    "spaces.csv": (csv_of(("tea", " x ", "y", "x"), (" tea", "x", " y", " y ")), CHOICE, None),
    "holes.csv": (
        csv_of(("", "x", "y", "a"), ("tea", " ", "y", "a"), ("tea", "x", "", "b")),
        CHOICE,
        None,
    ),
    "same.csv": (csv_of(("tea", "x", "x", "a"), ("tea", "x", " x", "b")), CHOICE, None),
    "template.csv": (csv_of(("tea", "x", "y", "a"), ("", "x", "y", "b")), CHOICE, "On {idea}"),
    "empty.csv": (csv_of(("tea", "x", "y", "a"), ("", "x", "y", "b")), CHOICE, "{idea}"),
    "choices.jsonl": (
        jsonl_of(
            {"idea": "tea", "title_a": "x", "title_b": "y", "won": True},
            {"idea": "tea", "title_a": "x", "title_b": "y", "won": 0},
            {"idea": "tea", "title_a": "x", "title_b": "y", "won": None},
            {"idea": "tea", "title_a": "x", "title_b": "y"},
            {"idea": "tea", "title_a": 1, "title_b": "y", "won": 0},
            {"title_a": "x", "title_b": "y", "won": 1},
            {"idea": [USER], "title_a": [turn("x")], "title_b": [turn("y")], "won": 1},
            {"idea": [turn("Hi", "robot")], "title_a": "x", "title_b": "y", "won": 1},
        ),
        CHOICE,
        None,
    ),
    "chosen.jsonl": (
        jsonl_of(
            {"prompt": "Hi", "chosen": "good", "rejected": "bad"},
            {"prompt": [USER], "chosen": [turn("good")], "rejected": [turn("bad")]},
            {"chosen": [USER, turn("good")], "rejected": [USER, turn("bad")]},
            {"chosen": "good", "rejected": "bad"},
            {"prompt": None, "chosen": "good", "rejected": "bad"},
            {"prompt": "Hi", "chosen": [turn("good", "robot")], "rejected": "bad"},
            {"prompt": "Hi", "chosen": [], "rejected": "bad"},
            {"prompt": "Hi", "chosen": {"content": "good"}, "rejected": "bad"},
            {"prompt": "Hi", "chosen": "same", "rejected": "same"},
            {"prompt": [{"role": "user"}], "chosen": "good", "rejected": "bad"},
        ),
        CHOSEN,
        None,
    ),
}


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str, str], Table]:
    def write(name: str, content: str) -> Table:
        (tmp_path / name).write_text(content, encoding="utf-8")
        return tables.read(str(tmp_path / name))

    return write


def imported(row: Table, columns: Columns, template: pairs.Template | None) -> str | None:
    """Return what an import makes of a table of one row: winner, loser; None if it refuses it."""
    try:
        data = labels_of(row, columns, template)
    except BadInput:
        return None
    (event,) = data.events
    texts = {c.id: c.text for c in data.candidates}
    sides = sorted((texts[event.left], texts[event.right]))
    return f"{data.prompts[0].text}: {sides}, {texts.get(event.chosen or '', 'tie')}"


def audited(row: Table, columns: Columns, template: pairs.Template | None) -> str | None:
    """Return the same of an audit; None if it counts the row as unusable or identical."""
    data = pairs.read(row, columns, template, strict=False)
    assert len(data.rows) + sum(map(len, data.problems.values())) == 1
    if not data.rows or data.rows[0].left == data.rows[0].right:
        return None
    (pair,) = data.rows
    winner = pair.winner if pair.choice in ("left", "right") else "tie"
    return f"{pair.prompt}: {sorted((pair.left, pair.right))}, {winner}"


@pytest.mark.parametrize("name", FILES)
def test_import_and_audit_judge_every_row_alike(table, name, tmp_path):
    content, columns, template_text = FILES[name]
    whole = table(name, content)
    file = tmp_path / "template.txt"
    file.write_text(template_text or "")
    template = read_template(file, whole) if template_text else None
    for row, number in zip(whole.rows, whole.numbers, strict=True):
        single = Table(whole.source, whole.columns, [row], [number])
        judgement = imported(single, columns, template)
        assert audited(single, columns, template) == judgement, row


def test_the_files_hold_good_rows_and_bad_ones(table):
    counts = {}
    for name, (content, columns, _) in FILES.items():
        whole = table(name, content)
        data = pairs.read(whole, columns, None, strict=False)
        counts[name] = (len(data.rows), sum(map(len, data.problems.values())))
    assert counts["choices.csv"] == (11, 6)
    assert counts["choices.jsonl"] == (3, 5)
    assert counts["chosen.jsonl"] == (4, 6)


words = st.sampled_from(["a", "b", "1", "0.0", "x", "y", " y", "", "title_a", "won", "tie"])
chats = st.sampled_from([[], [USER], [turn("x")], [{"role": "user"}], ["x"]])
cell = words | chats | st.sampled_from([0, 1, 1.0, True, None, {}])
NAMES = ("idea", "title_a", "title_b", "won")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, cell)))
def test_import_and_audit_judge_any_row_alike(row):
    single = Table("any.jsonl", NAMES, [row], [7])
    assert audited(single, CHOICE, None) == imported(single, CHOICE, None)


def test_an_audit_reads_a_file_through_the_same_reader(tmp_path):
    (tmp_path / "choices.csv").write_text(FILES["choices.csv"][0])
    data = rows.read(str(tmp_path / "choices.csv"), CHOICE)
    assert (data.total, len(data.rows), data.sided) == (17, 11, True)
    assert data.problems == {
        "whose choice is neither of the two texts nor a tie": [12, 13, 14, 15, 16, 17]
    }
