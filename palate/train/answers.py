"""The answers that people preferred, which SFT imitates. Pure: no I/O."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from palate.core.errors import UsageError
from palate.core.schema import Message, Preference, digest
from palate.train import data

IMPLIED = "comparisons that nobody was asked about, which other answers imply"
NOT_WON = "won no more comparisons than they lost"


@dataclass(frozen=True)
class Answer:
    """One answer to a prompt, and how many comparisons it won and lost."""

    prompt: list[Message]
    completion: list[Message]
    prompt_id: str
    won: int
    lost: int


def judged(rows: Sequence[Preference]) -> list[Answer]:
    """Return every distinct answer of the rows, in their order, with what people said of it."""
    found: dict[str, Answer] = {}
    won, lost = Counter[str](), Counter[str]()
    for row in rows:
        for side, count in ((row.chosen, won), (row.rejected, lost)):
            key = digest(row.prompt, side)
            found.setdefault(key, Answer(row.prompt, side, row.prompt_id, 0, 0))
            count[key] += 1
    return [
        Answer(a.prompt, a.completion, a.prompt_id, won[key], lost[key]) for key, a in found.items()
    ]


def preferred(project: str, said: data.Rows) -> data.Rows:
    """Return the answers that won more comparisons than they lost, of what people said.

    Raises UsageError where no answer did in the training split.
    """
    sides = [judged(rows) for rows in (said.train, said.test)]
    train, test = ([a for a in answers if a.won > a.lost] for answers in sides)
    if not train:
        raise UsageError(
            f"Of the {len(sides[0]):,} answers that people compared in {project} none won more"
            f" comparisons than it lost. Collect more labels with: palate label {project}, then:"
            f" palate export {project}"
        )
    left = sum(map(len, sides)) - len(train) - len(test)
    dropped = Counter({IMPLIED: said.dropped.total(), NOT_WON: left})
    return data.Rows(train, test, +dropped)


def dataset(rows: Sequence[Answer]) -> Any:
    """Return a `datasets.Dataset` with `prompt` and `completion` as chat messages."""
    from datasets import Dataset

    return Dataset.from_list([{"prompt": r.prompt, "completion": r.completion} for r in rows])
