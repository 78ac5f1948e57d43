"""Chain of Hindsight: a model learns from words that say which answer is better.

H. Liu, C. Sferrazza, P. Abbeel, "Chain of Hindsight Aligns Language Models with Feedback" (2023).
Each pair is read in both orders: a worse answer, then a better one, and the reverse. The words
follow the user's message, so that every chat template has them where a user would type them. The
loss covers the answers alone. Pure: no I/O.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from palate.core.rounds import asked
from palate.core.schema import Message, Preference, digest
from palate.train.rows.data import Answer, Rows, preferred_answers

BETTER, WORSE = "A better answer:", "A worse answer:"


def hindsight_rows(project: str, preferences: Rows[Preference]) -> Rows[Answer]:
    """Return the rows of Chain of Hindsight.

    The test rows are the preferred answers to test prompts, as the model is prompted afterwards.
    Raises UsageError where no answer won more comparisons than it lost.
    """
    preferred = preferred_answers(project, preferences)
    test = [
        Answer(asked(a.prompt, BETTER), a.completion, a.prompt_id, a.won, a.lost)
        for a in preferred.test
    ]
    train = {_key(row): row for p in preferences.train for row in _chains(p)}
    return Rows(list(train.values()), test, Counter(preferences.dropped))


def _key(row: Answer) -> str:
    return digest(row.prompt, row.completion)


def _chains(p: Preference) -> Iterator[Answer]:
    """Yield both answers of a pair, each alone and after the other one."""
    for first, words, second, then in (
        (p.rejected, WORSE, p.chosen, BETTER),
        (p.chosen, BETTER, p.rejected, WORSE),
    ):
        prompt = asked(p.prompt, words)
        yield _answer(prompt, first, p, words)
        yield _answer([*prompt, *first, Message(role="user", content=then)], second, p, then)


def _answer(
    prompt: Sequence[Message], completion: list[Message], p: Preference, words: str
) -> Answer:
    won = int(words == BETTER)
    return Answer(list(prompt), completion, p.prompt_id, won, 1 - won)
