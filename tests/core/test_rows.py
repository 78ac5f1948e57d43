"""Rows are checked where they enter: by type, and their ids by content."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import NoneType
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.errors import BadInput
from palate.core.ledger import jsonl
from palate.core.project import Settings
from palate.core.schema import (
    MARGINS,
    ROWS,
    Candidate,
    Event,
    Gold,
    Message,
    Pair,
    Preference,
    Prompt,
    to_json,
)
from palate.core.typed import read_file, read_line

STORED = Path(__file__).parents[1] / "stored/me--titles"  # as palate wrote it before this check
TIME = "2026-01-01T00:00:00.000Z"

text = st.text(min_size=1, max_size=20)
number = st.integers(0, 2**40)
message = st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=text)
messages = st.lists(message, min_size=1, max_size=3)
strength = st.none() | st.sampled_from(list(MARGINS))
prompts = st.builds(
    Prompt.of,
    text | messages,
    st.sampled_from(["train", "test", "eval"]),
    model=st.none() | text,
    revision=st.none() | text,
)
candidates = st.builds(
    Candidate.of,
    text,
    text,
    model=st.none() | text,
    revision=st.none() | text,
    sampling=st.none() | st.dictionaries(text, st.floats(0, 2) | number),
    round=number,
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(["label", "tie", "both_bad", "rewrite", "skip", "undo", "flag"]))
    prompt, left, right = draw(text), draw(text), draw(text)
    event = Event(
        event_id=draw(text),
        kind=kind,
        pair_id=Pair.between(prompt, left, right).id,
        prompt_id=prompt,
        left=left,
        right=right,
        chosen=draw(st.sampled_from([left, right])) if kind == "label" else None,
        strength=draw(strength),
        annotator=draw(text),
        milliseconds=draw(st.none() | number),
        time=draw(st.sampled_from([TIME, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00"])),
        round=draw(number),
        via=draw(text),
        target=draw(st.none() | text),
        comment=draw(st.none() | text),
        purpose=draw(st.sampled_from(["ask", "repeat", "gold"])),
        text=draw(text) if kind == "rewrite" else None,
        sequence=draw(st.none() | st.integers(1, 2**53 - 1)),
    )
    new = event.written()
    return replace(event, chosen=new.id) if new else event


@st.composite
def preferences(draw: st.DrawFn) -> Preference:
    prompt = draw(prompts)
    return Preference(
        prompt=prompt.prompt,
        chosen=draw(messages),
        rejected=draw(messages),
        strength=draw(strength),
        margin=draw(st.floats(0, 1)),
        source=draw(text),
        annotator=draw(text),
        pair_id=draw(text),
        prompt_id=prompt.id,
        round=draw(number),
    )


golds = st.lists(text, min_size=3, max_size=3, unique=True).map(lambda t: Gold(*t))
rows = prompts | candidates | events() | preferences() | golds


@given(rows)
def test_a_row_survives_json(row):
    assert read_line(type(row), to_json(row), "file", 1) == row


def fits(hint: object, value: object) -> bool:
    """Tell whether a JSON value may have the type, by its outermost type alone."""
    options = get_args(hint) if NoneType in get_args(hint) or get_origin(hint) is None else (hint,)
    for option in options or (hint,):
        kind = get_origin(option) or option
        if kind is Literal:
            return False
        if kind is float and type(value) in (int, float):
            return True
        if isinstance(kind, type) and type(value) is kind:
            return True
    return value is None


json_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
WRONG = json_values | st.sampled_from(
    [
        [],
        [1],
        [{}],
        [{"role": "user"}],
        [{"role": "user", "content": 1}],
        [{"role": "user", "content": "x", "name": "y"}],
        {"temperature": "hot"},
        "zzz",
        float("nan"),
    ]
)


def without_nulls(line: str) -> dict[str, object]:
    """Return the object without what is null, which means the same as what is absent."""
    return {name: value for name, value in json.loads(line).items() if value is not None}


@given(rows, WRONG, st.data())
def test_a_field_of_the_wrong_type_is_named(row, wrong, data):
    field = data.draw(st.sampled_from([f.name for f in fields(row)]))
    changed = json.dumps(asdict(row) | {field: wrong})
    where = "me/x/a.jsonl, row 7, field '"
    problem, new = "", row
    try:
        new = read_line(type(row), changed, "me/x/a.jsonl", 7)
    except BadInput as error:
        problem = str(error)
    if not fits(get_type_hints(type(row))[field], wrong):
        assert problem.startswith(f"{where}{field}")
    elif problem:
        assert problem.startswith(where)
    else:  # nothing is converted or dropped
        assert without_nulls(to_json(new)) == without_nulls(changed)


@given(st.sampled_from([*ROWS.values(), Gold]), st.binary() | st.text().map(str.encode))
def test_what_is_no_row_is_refused(cls, line):
    with pytest.raises(BadInput, match="file, row 1"):
        read_line(cls, line, "file", 1)


PROMPT = Prompt.of("Why?")
X, Y = Candidate.of(PROMPT.id, "x"), Candidate.of(PROMPT.id, "y")
PAIR = Pair.of(X, Y)
EVENT = Event(
    event_id="e",
    kind="label",
    pair_id=PAIR.id,
    prompt_id=PROMPT.id,
    left=PAIR.a,
    right=PAIR.b,
    chosen=PAIR.a,
    strength=3,
    annotator="ann",
    milliseconds=900,
    time=TIME,
    round=1,
    via="ballot",
)
PREFERENCE = Preference(
    PROMPT.prompt, [Message(role="assistant", content="x")],
    [Message(role="assistant", content="y")], 3, MARGINS[3], "human", "ann", PAIR.id, PROMPT.id, 1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("row", "changes", "path", "says"),
    [
        (EVENT, {"strength": 9}, "strength", "expected 1, 2, 3 or 4, found 9"),
        (EVENT, {"strength": "3"}, "strength", 'expected int, found "3"'),
        (EVENT, {"strength": True}, "strength", "expected int, found true"),
        (EVENT, {"kind": "like"}, "kind", "expected 'label', 'tie'"),
        (EVENT, {"chosen": "z"}, "chosen", "must be the left or the right one"),
        (EVENT, {"kind": "rewrite"}, "chosen", "must be the candidate of the text"),
        (EVENT, {"kind": "rewrite", "text": "z"}, "chosen", "must be the candidate of the text"),
        (EVENT, {"annotator": None}, "annotator", "is missing"),
        (EVENT, {"round": True}, "round", "expected int, found true"),
        (EVENT, {"time": "zzz"}, "time", 'expected a time such as 2026.*, found "zzz"'),
        (EVENT, {"time": "2026-01-01T00:00:00"}, "time", "expected a time such as"),
        (EVENT, {"milliseconds": 10**400}, "milliseconds", "or equal to 9223372036854775807"),
        (EVENT, {"round": -(10**30)}, "round", "or equal to -9223372036854775808"),
        (X, {"round": 2**63}, "round", "or equal to 9223372036854775807"),
        (EVENT, {"sequence": 0}, "sequence", "expected a whole number from 1, found 0"),
        (EVENT, {"sequence": 2**53}, "sequence", "expected a whole number from 1, found 900"),
        (EVENT, {"pair_id": "p"}, "pair_id", f"is not {PAIR.id}, the id of this prompt, left"),
        (PROMPT, {"prompt": [1]}, "prompt[0]", "expected an object, found 1"),
        (PROMPT, {"prompt": []}, "prompt", "expected at least one message, found []"),
        (PROMPT, {"prompt": [{"role": "user"}]}, "prompt[0].content", "is missing"),
        (PROMPT, {"id": "0" * 16}, "id", f"is not {PROMPT.id}, the id of these messages"),
        (X, {"text": "z"}, "id", f"is not {Candidate.of(PROMPT.id, 'z').id}, the id of this"),
        (X, {"sampling": {"seed": "1"}}, "sampling.seed", 'expected int or float, found "1"'),
        (PREFERENCE, {"margin": float("nan")}, "margin", "a number from 0 to 1, found NaN"),
        (PREFERENCE, {"margin": 2}, "margin", "a number from 0 to 1, found 2"),
        (PREFERENCE, {"prompt_id": "p"}, "prompt_id", f"is not {PROMPT.id}"),
        (Gold("p", "x", "y"), {"rejected": "x"}, "rejected", "is the same text as `chosen`"),
    ],
)
def test_a_wrong_row_is_named(row, changes, path, says):
    with pytest.raises(BadInput, match=says.replace("[", r"\[")) as error:
        read_line(type(row), json.dumps(asdict(row) | changes), "labels/x.jsonl", 7)
    assert f"labels/x.jsonl, row 7, field '{path}'" in str(error.value)


def test_a_row_that_is_no_object_is_named():
    with pytest.raises(BadInput, match=r"f, row 1: expected an object, found \[\]"):
        read_line(Prompt, "[]", "f", 1)


@pytest.mark.parametrize("config", sorted(set(ROWS) - {"unpaired", "wild"}))  # which are new
def test_rows_of_an_earlier_version_read_and_write_the_same_bytes(config):
    file = STORED / f"{config}.jsonl"
    assert jsonl(read_file(ROWS[config], file, file)) == file.read_text("utf-8")


def test_settings_of_an_earlier_version_read_and_write_the_same_text():
    text = (STORED / "palate.toml").read_text("utf-8")
    settings = Settings.parse(text)
    assert settings.dump() == text
    assert settings.steps == 3
    four = replace(settings, steps=4)
    assert Settings.parse(four.dump()) == four


def test_null_and_absent_mean_the_same():
    row = asdict(EVENT)
    plain = replace(EVENT, strength=None, milliseconds=None)
    nulls = row | {"strength": None, "milliseconds": None, "purpose": None}
    assert read_line(Event, json.dumps(nulls), "f", 1) == plain
    optional = ("strength", "milliseconds", "target", "comment", "purpose", "text", "sequence")
    absent = {k: v for k, v in row.items() if k not in optional}
    assert read_line(Event, json.dumps(absent | {"unknown": 1}), "f", 1) == plain


def test_half_a_character_is_replaced():
    row = json.dumps(asdict(X) | {"text": "x\ud83d"})
    assert read_line(Candidate, row, "f", 1) == replace(X, text="x?")
