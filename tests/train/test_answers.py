"""Which answers SFT learns."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.errors import UsageError
from palate.core.schema import Preference, Prompt
from palate.train.rows.data import (
    IMPLIED,
    NOT_WON,
    Rows,
    answer_dataset,
    count_wins,
    preferred_answers,
    usable,
)


def row(chosen: str, rejected: str, prompt: str = "a film about cats") -> Preference:
    p = Prompt.of(prompt)
    said = [[{"role": "assistant", "content": text}] for text in (chosen, rejected)]
    return Preference(p.prompt, *said, None, 0.0, "human", "p-1", "pair", p.id, 1)


def texts(rows: list) -> list[str]:
    return [r.completion[-1]["content"] for r in rows]


def test_an_answer_is_learned_where_it_won_more_than_it_lost():
    train = [row("A", "B"), row("A", "C"), row("B", "C"), row("B", "A", "another prompt")]
    rows = preferred_answers("me/titles", Rows(train, [row("D", "E")]))
    # B won one and lost one; under the other prompt it is another answer
    assert texts(rows.train) == ["A", "B"]
    assert [(r.won, r.lost) for r in rows.train] == [(2, 0), (1, 0)]
    assert texts(rows.test) == ["D"]
    assert rows.dropped == {NOT_WON: 4}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"))))
def test_every_comparison_is_won_once_and_lost_once(pairs):
    found = count_wins([row(x, y) for x, y in pairs])
    assert sum(a.won for a in found) == sum(a.lost for a in found) == len(pairs)
    assert len(found) == len({text for pair in pairs for text in pair})


def test_what_was_only_implied_is_counted():
    said = Rows([row("A", "B")], [], Counter({"only implied": 7}))
    assert preferred_answers("me/titles", said).dropped == {IMPLIED: 7, NOT_WON: 1}


def test_no_answer_that_won_is_an_error_that_says_what_to_do():
    even = Rows([row("A", "B"), row("B", "A")], [row("A", "B")])
    said = r"Of the 2 answers .*, none won more .* than it lost\. .*: palate label me/titles, then:"
    with pytest.raises(UsageError, match=said):
        preferred_answers("me/titles", even)


def test_a_different_taste_has_a_different_key():
    one, other = ([row("A", "B")], [row("A", "B"), row("A", "C")])
    keys = {preferred_answers("x", Rows(train, [])).key() for train in (one, other)}
    assert len(keys) == 2


class Words:
    """Counts words as tokens: all that `usable` asks of a tokenizer."""

    def apply_chat_template(self, messages, add_generation_prompt, return_dict):
        assert return_dict
        assert not add_generation_prompt
        return {"input_ids": " ".join(m["content"] for m in messages).split()}


def test_empty_and_long_answers_are_left_out_and_counted():
    train = [row("A", "B"), row(" \n", "B", "empty"), row("word " * 9, "B", "long")]
    rows = preferred_answers("me/titles", Rows(train, []))
    kept = usable(rows, Words(), max_length=8)
    assert texts(kept.train) == ["A"]
    assert kept.dropped == {"the answer is empty": 1, "longer than 8 tokens": 1, NOT_WON: 3}
    assert kept.too_long == ["'long' (10 tokens)"]


def test_trl_reads_prompt_and_completion():
    rows = preferred_answers("me/titles", Rows([row("A", "B")], []))
    made = answer_dataset(rows.train)
    assert made.column_names == ["prompt", "completion"]
    assert made[0]["completion"] == [{"role": "assistant", "content": "A"}]
