"""Which answer is learned of those that were written, and a file that a kill cuts."""

import pytest

from palate.core.schema import Message, Prompt
from palate.reward.written import ALIKE, CUT, Line, Log

PROMPT = Prompt.of("Name a film.")


def line(*answers: tuple[str, bool, float], number: int = 0) -> Line:
    texts, ended, rewards = zip(*answers, strict=True)
    return Line(number, PROMPT.id, "me/base", "abc", texts, ended, rewards)


@pytest.mark.parametrize(
    ("answers", "best"),
    [
        ([("a", True, 0.1), ("b", True, 0.3), ("c", True, 0.2)], "b"),
        ([("a", True, 0.1), ("b", False, 0.9), ("c", True, 0.2)], "c"),  # cut: not learned
        ([("a", True, 0.1), ("", True, 0.9), ("c", True, 0.2)], "c"),
        ([("a", True, 0.0), ("b", True, 0.5), ("c", True, 0.5)], "b"),  # of equals, the first
        ([("a", True, 0.5), ("b", True, 0.5)], ALIKE),
        ([("a", True, 0.5), ("b", False, 0.1)], ALIKE),  # one answer is no choice
        ([("a", False, 0.5), ("", True, 0.7)], CUT),
    ],
)
def test_the_best_whole_answer_is_learned(answers, best):
    result = line(*answers).best(PROMPT.prompt)
    text = result if isinstance(result, str) else result.completion[0]["content"]
    assert text == best


def test_it_says_how_many_it_beat():
    answer = line(("a", True, 0.1), ("b", True, 0.3), ("c", True, 0.1)).best(PROMPT.prompt)
    assert not isinstance(answer, str)
    assert (answer.won, answer.lost, answer.prompt_id) == (2, 0, PROMPT.id)
    assert answer.prompt == [Message(role="user", content="Name a film.")]


def test_what_was_written_is_read_again_without_a_line_that_was_cut(tmp_path):
    file = tmp_path / "answers.jsonl"
    lines = [line(("a\u2028b", True, 0.1), number=k) for k in (0, 1)]
    Log(file).add(lines)
    with file.open("a") as open_file:
        open_file.write('{"round": 2, "prom')
    log = Log(file)
    assert log.lines == lines
    assert log.of(1, [PROMPT]) == [lines[1]]
    log.add([line(("c", True, 0.2), number=2)])
    assert [x.round for x in Log(file).lines] == [0, 1, 2]
