"""Chain of Hindsight: both orders, the loss on answers alone, the words at the end of a prompt."""

import pytest

from palate.core.errors import BadInput, UsageError
from palate.core.rounds import asked, condition_of
from palate.core.schema import Message, Preference, Prompt
from palate.train.config import SFTArguments, check_sft
from palate.train.rows.data import Rows
from palate.train.rows.hindsight import BETTER, WORSE, hindsight_rows

PROMPT = Prompt.of("A title, please")


def said(text: str) -> list[Message]:
    return [Message(role="assistant", content=text)]


def preference(better: str, worse: str) -> Preference:
    return Preference(
        PROMPT.prompt, said(better), said(worse), None, 0.0, "human", "p-1", "pair", PROMPT.id, 1
    )


def turns(row) -> list[str]:
    return [m["content"] for m in (*row.prompt, *row.completion)]


def test_a_pair_is_read_in_both_orders_and_each_answer_is_learned_after_its_words():
    rows = hindsight_rows("me/titles", Rows([preference("good", "bad")], []))
    assert [turns(r) for r in rows.train] == [
        [f"A title, please\n\n{WORSE}", "bad"],
        [f"A title, please\n\n{WORSE}", "bad", BETTER, "good"],
        [f"A title, please\n\n{BETTER}", "good"],
        [f"A title, please\n\n{BETTER}", "good", WORSE, "bad"],
    ]
    # what is learned is one answer: the words, and the answer before it, are its prompt
    assert all([m["role"] for m in r.completion] == ["assistant"] for r in rows.train)


def test_an_answer_of_several_pairs_is_learned_once_after_the_same_words():
    rows = hindsight_rows("me/titles", Rows([preference("a", "b"), preference("a", "c")], []))
    assert len(rows.train) == 7  # "a" alone, after the same words, is in both pairs
    alone = [turns(r) for r in rows.train if len(r.prompt) == 1]
    assert sorted(text for _, text in alone) == ["a", "b", "c"]


def test_held_out_are_preferred_answers_as_the_model_is_prompted():
    pairs = [preference("a", "b"), preference("a", "c")]
    rows = hindsight_rows("me/titles", Rows(pairs, pairs))
    assert [turns(r) for r in rows.test] == [[f"A title, please\n\n{BETTER}", "a"]]


def test_the_words_end_the_last_message_and_no_words_change_nothing():
    chat = [Message(role="system", content="s"), Message(role="user", content="u")]
    assert asked(chat, "") is chat
    assert [m["content"] for m in asked(chat, "w")] == ["s", "u\n\nw"]
    assert chat[-1]["content"] == "u"


def test_a_condition_is_a_short_text():
    assert condition_of({"condition": "x"}, "run.json") == "x"
    assert condition_of({"job": "dpo"}, "run.json") == ""
    for wrong in (3, None, ["x"], "x" * 201):
        with pytest.raises(BadInput, match="condition"):
            condition_of({"condition": wrong}, "me/model/run.json")


def test_hindsight_learns_from_people_s_pairs_alone():
    with pytest.raises(UsageError, match="Use one"):
        check_sft(SFTArguments("me/titles", hindsight=True, source="best"))
    plain, other = SFTArguments("me/titles"), SFTArguments("me/titles", hindsight=True)
    assert "hindsight" not in plain.identity()  # as in the folders of earlier runs
    assert other.identity()["hindsight"] is True
    assert other.command() == "palate sft me/titles --hindsight"
