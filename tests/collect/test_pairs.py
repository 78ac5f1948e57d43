"""The one reader of labelled pairs: which columns hold what, and prompts that are whole."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.audit import rows
from palate.collect import pairs, tables
from palate.collect.columns import Columns, read_template
from palate.collect.labels import labels_of
from palate.collect.rows import Table
from palate.core.errors import BadInput, UsageError

CHOICE = Columns("idea", "title_a", "title_b", "won")


def turn(text: str, role: str = "assistant") -> dict[str, str]:
    return {"role": role, "content": text}


USER = turn("Hi", "user")


def table(*records: dict) -> Table:
    columns = tuple(dict.fromkeys(key for record in records for key in record))
    return Table("pairs.jsonl", columns, list(records), list(range(1, len(records) + 1)))


def read(*records: dict, **columns: str) -> pairs.Rows:
    return pairs.read(table(*records), Columns(**columns))


def prompt_of(*records: dict) -> list[tuple[str, str]]:
    data = read(*records)
    assert not data.bad, data.bad
    messages = data.rows[0].messages
    assert isinstance(messages, list) or messages
    given = [turn(messages, "user")] if isinstance(messages, str) else messages
    return [(m["role"], m["content"]) for m in given]


def refused(*records: dict) -> str:
    (bad,) = read(*records).bad
    return str(bad)


ANSWERS = {"chosen": "good", "rejected": "bad"}


def test_all_columns_that_say_the_prompt_are_in_it():
    row = {
        "system": "Be terse.", "history": [["hi", "hello"]], "instruction": "Translate",
        "input": "Hund", "images": ["1.jpg"], **ANSWERS,
    }  # fmt: skip
    assert prompt_of(row) == [
        ("system", "Be terse."), ("user", "hi"), ("assistant", "hello"),
        ("user", "Translate\nHund\n[image: 1.jpg]"),
    ]  # fmt: skip
    assert prompt_of(row | {"input": None, "history": [], "images": [], "system": ""}) == [
        ("user", "Translate")
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "chosen": "good", "rejected": "bad"},
        {"prompt": [USER], "chosen": [turn("good")], "rejected": [turn("bad")]},
        {"prompt": [USER], "chosen": [USER, turn("good")], "rejected": [USER, turn("bad")]},
        {"chosen": [USER, turn("good")], "rejected": [USER, turn("bad")]},
        {"chosen": json.dumps([USER, turn("good")]), "rejected": json.dumps([USER, turn("bad")])},
        {"chosen": str([USER, turn("good")]), "rejected": str([USER, turn("bad")])},
        {"conversations": [{"from": "human", "value": "Hi"}],
         "chosen": {"from": "gpt", "value": "good"}, "rejected": {"from": "gpt", "value": "bad"}},
        {"chosen": "\n\nHuman: Hi\n\nAssistant: good",
         "rejected": "\n\nHuman: Hi\n\nAssistant: bad"},
        {"input": {"messages": [USER]}, "preferred_output": [turn("good")],
         "non_preferred_output": [turn("bad")]},
        {"instruction": "Hi", "input": "", "output": ["good", "bad"]},
        {"prompt": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], **ANSWERS},
    ],
)  # fmt: skip
def test_every_usual_shape_gives_the_same_pair(row):
    data = read(row)
    assert not data.bad
    (pair,) = data.rows
    assert (pair.prompt, pair.left, pair.right) == ("Hi", "good", "bad")


def test_battles_bring_their_prompt_in_the_conversations():
    """FastChat and LMArena: no column holds the prompt alone."""
    rows = [
        {
            "question_id": f"q{n}", "model_a": "vicuna", "model_b": "koala", "winner": winner,
            "judge": "arena_user_1", "turn": 1,
            "conversation_a": [turn(f"Q{n}?", "user"), turn(f"A{n}")],
            "conversation_b": [turn(f"Q{n}?", "user"), turn(f"B{n}")],
        }
        for n, winner in enumerate(("model_a", "model_b", "tie", "tie (bothbad)"))
    ]  # fmt: skip
    data = read(*rows)
    assert not data.bad
    assert [r.choice for r in data.rows] == ["left", "right", "tie", "neither"]
    assert [(r.messages, r.left, r.right) for r in data.rows][:1] == [("Q0?", "A0", "B0")]
    apart = rows[0] | {"conversation_b": [turn("Other?", "user"), turn("B0")]}
    assert [b.field for b in read(apart, *rows[1:]).bad] == ["conversation_a, conversation_b"]
    alone = rows[0] | {"conversation_a": [turn("A0")], "conversation_b": [turn("B0")]}
    assert "expected a prompt" in read(alone, *rows[1:]).bad[0].problem


def test_what_both_conversations_begin_with_is_the_prompt():
    before = [turn("Be terse.", "system"), USER, turn("Hello"), turn("And?", "user")]
    row = {"prompt": "Hi", "chosen": [*before, turn("x")], "rejected": [*before, turn("y")]}
    assert prompt_of(row) == [(m["role"], m["content"]) for m in before]
    text = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: And?\n\nAssistant:"
    lines = {"chosen": text + " x", "rejected": text + " y"}
    assert prompt_of(lines) == [("user", "Hi"), ("assistant", "Hello"), ("user", "And?")]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"chosen": [USER, turn("a"), USER, turn("x")],
          "rejected": [USER, turn("b"), USER, turn("y")]}, "differ in the last answer alone"),
        ({"chosen": [USER, turn("x"), USER], "rejected": [USER, turn("x"), USER]},
         "turn of the user"),
        ({"prompt": "Hi", "chosen": [turn("x"), turn("y")], "rejected": [turn("z")]},
         "last answer alone"),
        ({"prompt": "Bye", "chosen": [USER, turn("x")], "rejected": [USER, turn("y")]},
         "is not what chosen begins with"),
        ({"prompt": [USER, turn("x")], **ANSWERS}, "messages that end with an answer"),
        ({"prompt": [turn("Hi", "robot")], **ANSWERS}, "expected messages with role"),
        ({"prompt": [USER | {"tool_calls": [{"id": 1}]}], **ANSWERS}, "found tool_calls"),
        ({"prompt": "Hi", "tools": [{"name": "search"}], **ANSWERS}, "a prompt without tools"),
        ({"prompt": None, **ANSWERS}, "found nothing"),
        ({"prompt": "Hi", "chosen": "half \ud83d", "rejected": "x"}, r"half a character (\ud83d)"),
        ({"prompt": "Hi", "chosen": {"content": "x"}, "rejected": "y"},
         "expected messages with role"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_whole_is_refused_by_row(row, says):
    assert says in refused(row)


def test_indentation_is_kept():
    (pair,) = read({"prompt": "def f():\n", "chosen": "    x\n", "rejected": "x"}).rows
    assert (pair.prompt, pair.left, pair.right) == ("def f():\n", "    x\n", "x")


def test_every_column_and_key_is_used_or_named_as_left_out():
    row = {"id": 7, "prompt": [USER | {"name": "bo"}], "who": "x", **ANSWERS}
    data = read(row)
    assert set(data.used) == {"prompt", "chosen", "rejected"}
    assert data.unused == ("id", "who", "prompt.name")
    data = read({"input": {"messages": [USER], "n": 1}, "preferred_output": [turn("x")],
                 "non_preferred_output": [turn("y")], "id": 1})  # fmt: skip
    assert data.unused == ("id", "input.n")


def test_a_template_takes_null_as_nothing_and_names_what_is_missing(tmp_path: Path):
    (tmp_path / "t.txt").write_text("{instruction}\n{input}")
    given = table(
        {"instruction": "Name one", "input": None, **ANSWERS}, {"instruction": "Two", **ANSWERS}
    )
    data = pairs.read(given, Columns(), read_template(tmp_path / "t.txt", given))
    assert data.rows[0].prompt == "Name one"
    assert str(data.bad[0]).startswith("row 2, field 'input': expected a value")


def test_all_bad_rows_are_listed_up_to_twenty():
    rows_ = [{"prompt": "Hi", "chosen": "x", "rejected": "x" if i else "y"} for i in range(31)]
    with pytest.raises(BadInput) as error:
        labels_of(read(*rows_))
    lines = str(error.value).splitlines()
    assert lines[0] == "pairs.jsonl: 30 rows cannot be used. --skip leaves them out."
    assert lines[1].startswith("row 2, field 'chosen, rejected': both sides have the same text")
    assert (len(lines), lines[-1]) == (22, "… and 10 more")
    new = labels_of(read(*rows_), skip=True)
    assert len(new.events) == 1
    assert new.refused == {"with the same text on both sides": 30}


def test_columns_are_told_by_name_or_asked_for():
    row = {"prompt": "Hi", "response_a": "x", "response_b": "y", "winner": "model_b"}
    (pair,) = read(row).rows
    assert pair.choice == "right"
    with pytest.raises(UsageError, match="Say which hold the two texts"):
        read({"prompt": "Hi", "one": "x", "two": "y", "winner": "a"})
    with pytest.raises(UsageError, match="which column holds the prompt"):
        read({"idea": "Hi", "a": "x", "b": "y", "winner": "a"})


def test_several_people_of_label_studio_and_argilla_stay_several():
    def annotation(who: object, side: str, **more: object) -> dict:
        result = {"type": "pairwise", "to_name": "one,two", "value": {"selected": side}}
        return {"completed_by": who, "result": [result], **more}

    task = {
        "id": 1, "data": {"question": "Hi", "one": "x", "two": "y"},
        "annotations": [annotation(1, "left"), annotation({"id": 2, "email": "bo@x"}, "right"),
                        annotation(3, "left", was_cancelled=True)],
    }  # fmt: skip
    data = read(
        task, {"id": 2, "data": {"question": "Ho", "one": "x", "two": "y"}, "annotations": []}
    )
    assert [(r.prompt, r.choice, r.annotator) for r in data.rows] == [
        ("Hi", "left", "1"), ("Hi", "right", "bo@x"),
    ]  # fmt: skip
    assert sum(data.set_aside.values()) == 2
    answers = [{"value": v, "user_id": u} for v, u in (("response-1", "u1"), ("response-2", "u2"))]
    record = {
        "fields": {"prompt": "Hi", "response-1": "x", "response-2": "y"}, "status": "completed",
        "responses": {"preference": [*answers, {"value": "x", "user_id": "u3", "status": "draft"}]},
    }  # fmt: skip
    data = read(record)
    assert [(r.choice, r.annotator) for r in data.rows] == [("left", "u1"), ("right", "u2")]
    ranking = [{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 1}]
    record["responses"] = {"ranking": [{"value": ranking, "user_id": "u1"}]}
    assert read(record).rows[0].choice == "tie"


def test_ratings_become_pairs_and_equal_ones_ties():
    texts = [
        {"response": t, "overall_score": s, "model": t}
        for t, s in (("x", 1), ("y", 3.5), ("z", "1"))
    ]
    data = read({"instruction": "Hi", "completions": texts})
    assert [(r.left, r.right, r.choice) for r in data.rows] == [
        ("x", "y", "right"), ("x", "z", "tie"), ("y", "z", "left"),
    ]  # fmt: skip
    rated = [{"prompt": "Hi", "response": t, "helpfulness": h} for t, h in (("x", 4), ("y", 2))]
    data = read(*rated, {"prompt": "Ho", "response": "z", "helpfulness": 1})
    assert [(r.left, r.right, r.choice) for r in data.rows] == [("x", "y", "left")]
    assert data.set_aside == {"with one answer alone to a prompt": 1}


words = st.sampled_from(["a", "b", "1", "0.0", "x", "y", " y", "", "title_a", "won", "tie"])
chats = st.sampled_from([[], [USER], [turn("x")], [{"role": "user"}], ["x"], {"role": 1}])
cell = words | chats | st.sampled_from([0, 1, 1.0, True, None, {}, float("nan"), b"x"])
NAMES = ("idea", "title_a", "title_b", "won")


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, cell)), max_size=4))
def test_every_row_is_read_or_refused(records):
    given_ = Table("any.jsonl", NAMES, records, list(range(1, len(records) + 1)))
    try:
        data = pairs.read(given_, CHOICE)
    except UsageError:
        return
    assert len(data.rows) + len(data.bad) == len(records)
    new = labels_of(data, skip=True)
    assert len(new.events) + new.left_out.total() + new.refused.total() == len(records)


def test_an_audit_reads_a_file_through_the_same_reader(tmp_path):
    text = "idea,title_a,title_b,won\n" + "".join(
        f"tea,x,y,{c}\n" for c in ("a", "B", "tie", "", "?")
    )
    (tmp_path / "choices.csv").write_text(text)
    data = rows.read(str(tmp_path / "choices.csv"), CHOICE)
    assert (data.total, len(data.rows), data.sided) == (5, 3, True)
    assert data.problems == {
        "without a choice": [4],
        "whose choice is neither of the two texts nor a tie": [5],
    }
    given_ = tables.read(str(tmp_path / "choices.csv"))
    assert pairs.read(given_, CHOICE).rows == data.rows


def test_a_choice_alone_is_enough_where_the_texts_have_usual_names():
    row = {"question": "Tea?", "answer 1": "Yes", "answer 2": "No", "preferred answer": "answer 2"}
    with pytest.raises(UsageError, match="whether answer 1 or answer 2 was preferred"):
        read(row)
    assert [r.choice for r in read(row, choice="preferred answer").rows] == ["right"]
    with pytest.raises(UsageError, match="--choice alone where the texts"):
        read(row, a="answer 1")
    with pytest.raises(UsageError, match="--choice alone where the texts"):
        read({"x": "Yes", "y": "No", "who": "x"}, choice="who")


def test_turns_that_are_no_messages_are_left_out_where_the_answers_bring_the_prompt():
    sides = {
        side: [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": text}]
        for side, text in (("chosen", "Yes"), ("rejected", "No"))
    }
    turns = {"conversation": [{"input": "hi", "output": "hello"}]}  # as distilabel's Capybara has
    data = read(sides | turns)
    assert [(r.prompt, r.left, r.right) for r in data.rows] == [("Tea?", "Yes", "No")]
    assert "conversation" in data.unused
    assert "found {'input'" in refused(turns | {"chosen": "Yes", "rejected": "No"})
