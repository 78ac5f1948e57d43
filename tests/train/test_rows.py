"""Preferences as rows: what is left out and counted, and their key."""

from dataclasses import replace

import pytest

from palate.core.errors import UsageError
from palate.core.schema import Preference, Prompt
from palate.train.rows.data import Rows, preference_dataset, usable


class Words:
    """Counts words as tokens: all that `usable` asks of a tokenizer."""

    def apply_chat_template(self, messages, add_generation_prompt, return_dict):
        assert return_dict
        assert not add_generation_prompt
        return {"input_ids": " ".join(m["content"] for m in messages).split()}


def row(prompt="a film about cats", chosen="The cats", rejected="Why cats?") -> Preference:
    said = [[{"role": "assistant", "content": text}] for text in (chosen, rejected)]
    p = Prompt.of(prompt)
    return Preference(p.prompt, *said, None, 0.0, "human", "p-1", "pair", p.id, 1)


def test_rows_that_cannot_teach_are_counted_and_named():
    long = row(prompt="one two three", rejected=" ".join(["word"] * 50))
    same = row(chosen="Same", rejected="Same")
    kept = usable(Rows([row(), long, same], [row(), long]), Words(), max_length=20)
    assert (kept.train, kept.test) == ([row()], [row()])
    assert kept.dropped == {
        "longer than 20 tokens": 2,
        "chosen and rejected are the same text": 1,
    }
    assert kept.too_long == ["'one two three' (53 tokens)"] * 2


def test_a_row_of_exactly_the_length_stays():
    assert usable(Rows([row()], []), Words(), max_length=6).train == [row()]


def test_no_row_left_is_an_error_that_says_why():
    with pytest.raises(UsageError, match=r"1 longer than 3 tokens\. Raise --max-length\.$"):
        usable(Rows([row()], []), Words(), max_length=3, window=4)


def test_the_limit_that_is_the_models_own_is_said_to_be():
    said = r"1 longer than 3 tokens \(the model's window\)\. Choose a --base-model with a longer"
    with pytest.raises(UsageError, match=said):
        usable(Rows([row()], []), Words(), max_length=4, window=3)


def test_rows_that_are_left_out_for_another_reason_need_no_more_length():
    same = row(chosen="Same", rejected="Same")
    with pytest.raises(UsageError, match=r"1 chosen and rejected are the same text\.$"):
        usable(Rows([same], []), Words(), max_length=20)


def test_the_key_follows_the_rows():
    rows = Rows([row()], [])
    assert rows.key() == Rows([row()], []).key()
    assert rows.key() != Rows([], [row()]).key()
    assert rows.key() != Rows([replace(row(), chosen=row().rejected)], []).key()


def test_trl_reads_three_columns():
    dataset = preference_dataset([row()])
    assert dataset.column_names == ["prompt", "chosen", "rejected"]
    assert dataset[0]["chosen"] == [{"role": "assistant", "content": "The cats"}]
