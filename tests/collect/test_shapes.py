"""Files in the shapes of public data sets and spreadsheets: read right, or refused by name."""

import json

import pytest

from palate.collect import pairs, tables
from palate.collect.columns import Columns
from palate.core.errors import PalateError


def user(text):
    return {"role": "user", "content": text}


def said(text):
    return {"role": "assistant", "content": text}


def parts(role, text):
    part = {"type": "text", "text": text, "image": None, "mimeType": None}
    return {"role": role, "content": [part]}


READ = {
    "PKU-SafeRLHF": [
        {"prompt": "p", "response_0": "bad", "response_1": "good", "better_response_id": 1},
        {"prompt": "q", "response_0": "good", "response_1": "bad", "better_response_id": 0},
    ],
    "HelpSteer2 preferences": [
        {"prompt": "p", "response_1": "bad", "response_2": "good", "preference_strength": 2},
        {"prompt": "q", "response_1": "good", "response_2": "bad", "preference_strength": -3},
    ],
    "HelpSteer3": [
        {
            "context": [user("p"), said("x"), user("y")],
            "response1": "good",
            "response2": "bad",
            "overall_preference": -2,
            "individual_preference": [{"score": -2}],
        },
        {"context": [user("q")], "response1": "bad", "response2": "good", "overall_preference": 1},
    ],
    "LMArena": [
        {
            "model_a": "m",
            "model_b": "n",
            "winner": "model_b",
            "conversation_a": [parts("user", "p"), parts("assistant", "bad")],
            "conversation_b": [parts("user", "p"), parts("assistant", "good")],
        },
        {
            "model_a": "m",
            "model_b": "n",
            "winner": "model_a",
            "conversation_a": [parts("user", "q"), parts("assistant", "good")],
            "conversation_b": [parts("user", "q"), parts("assistant", "bad")],
        },
    ],
    "alpaca_eval": [
        {"instruction": "p", "output_1": "bad", "output_2": "good", "preference": 1.97},
        {"instruction": "q", "output_1": "good", "output_2": "bad", "preference": 1.02},
    ],
    "JudgeBench": [
        {"question": "p", "response_A": "good", "response_B": "bad", "label": "A>B"},
        {"question": "q", "response_A": "bad", "response_B": "good", "label": "B>A"},
    ],
    "Arena-Hard": [
        {"prompt": "p", "a": "good", "b": "bad", "winner": "[[A>>B]]"},
        {"prompt": "q", "a": "bad", "b": "good", "winner": "[[B>A]]"},
    ],
    "Argilla rankings": [
        {
            "fields": {"prompt": "p", "response-1": "good", "response-2": "bad"},
            "responses": {
                "ranking": [
                    {
                        "value": [
                            {"value": "response-2", "rank": 2},
                            {"value": "response-1", "rank": 1},
                        ],
                        "user_id": "u",
                        "status": "submitted",
                    }
                ]
            },
        }
    ],
    "Label Studio, JSON_MIN": [
        {"prompt": "p", "answer1": "good", "answer2": "bad", "comparison": "left", "annotator": 1}
    ],
    "Google Sheets": [
        {"Prompt": "p", "Response A": "good", "Response B": "bad", "Winner": "Response A"},
        {"Prompt": "q", "Response A": "bad", "Response B": "good", "Winner": "Response B"},
    ],
    "capybara": [
        {
            "prompt": "q",
            "chosen": [user("p"), said("x"), user("q"), said("good")],
            "rejected": [user("p"), said("x"), user("q"), said("bad")],
            "rating_chosen": 5,
        }
    ],
    "RewardBench": [
        {"prompt": "p", "chosen": "good", "rejected": "bad", "chosen_model": "m", "subset": "s"}
    ],
}
REFUSED = {
    "SHP without names": [
        {"history": "p", "human_ref_A": "bad", "human_ref_B": "good", "labels": 0}
    ],
    "Nectar": [
        {"prompt": "p", "answers": [{"answer": "good", "rank": 1}, {"answer": "bad", "rank": 2}]}
    ],
    "webgpt": [
        {"question": {"full_text": "p"}, "answer_0": "good", "score_0": 1, "answer_1": "bad"}
    ],
    "summarize_from_feedback": [
        {"info": {"post": "p"}, "summaries": [{"text": "bad"}, {"text": "good"}], "choice": 1}
    ],
    "FastChat's raw log": [
        {"type": "leftvote", "models": ["m", "n"], "states": [{"messages": []}, {"messages": []}]}
    ],
    "ranks that are no ratings": [{"prompt": "p", "responses": ["good", "bad"], "ranks": [1, 2]}],
    "rows with ranks": [
        {"prompt": "p", "response": "good", "rank": 1},
        {"prompt": "p", "response": "bad", "rank": 2},
    ],
    "a scale from 1 to 7": [
        {"prompt": "p", "a": "x", "b": "y", "preference": n} for n in (1, 4, 7)
    ],
    "draws as 0": [
        {"instruction": "p", "output_1": "x", "output_2": "y", "preference": n} for n in (0, 1, 2)
    ],
    "0 and 1 in a column that names no side": [
        {"prompt": "p", "a": "x", "b": "y", "winner": n} for n in (0, 1)
    ],
    "true and false in German": [
        {"prompt": "p", "a": "x", "b": "y", "winner": n} for n in ("WAHR", "FALSCH")
    ],
    "the winner's and the loser's text": [{"prompt": "p", "winner": "good", "loser": "bad"}],
    "a message tree": [{"message_id": "1", "parent_id": None, "role": "prompter", "text": "p"}],
}


def read(folder, rows, columns=None):
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return pairs.read(tables.read(str(file)), columns or Columns())


@pytest.mark.parametrize("name", READ)
def test_a_known_shape_keeps_each_preference(tmp_path, name):
    data = read(tmp_path, READ[name])
    assert not data.bad
    assert [(r.winner, r.loser) for r in data.rows] == [("good", "bad")] * len(READ[name])


@pytest.mark.parametrize("name", REFUSED)
def test_an_unknown_shape_is_asked_about(tmp_path, name):
    with pytest.raises(PalateError, match=r"Say (it with --first|which hold)"):
        read(tmp_path, REFUSED[name])


def test_a_merged_cell_of_a_spreadsheet_gives_no_prompt_to_the_rows_below(tmp_path):
    rows = [
        {"Prompt": p, "Response A": f"x{i}", "Response B": f"y{i}", "Winner": w}
        for i, (p, w) in enumerate((("Write a poem", "A"), ("", "B")))
    ]
    data = read(tmp_path, rows)
    assert [r.prompt for r in data.rows] == ["Write a poem"]
    assert [str(b) for b in data.bad] == ["row 2, field 'Prompt': expected text, found nothing"]


def test_two_answers_of_a_conversation_that_went_on_differently_are_refused(tmp_path):
    """MT-bench judges turn 1 of conversations of two turns: the last answers were not compared."""
    row = {
        "model_a": "m",
        "model_b": "n",
        "winner": "model_a",
        "judge": "expert",
        "turn": 1,
        "conversation_a": [user("p"), said("good"), user("next"), said("x")],
        "conversation_b": [user("p"), said("bad"), user("next"), said("y")],
    }
    data = read(tmp_path, [row])
    assert (len(data.rows), len(data.bad)) == (0, 1)
