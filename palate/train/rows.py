"""Rows to train on and to test with: preferences for DPO, preferred answers for SFT.

Nothing is dropped without being counted. TRL's datasets are made from these rows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.project import Project
from palate.core.schema import Message, Preference, digest, to_json
from palate.core.typed import read_file

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


R = TypeVar("R", Preference, Answer, covariant=True)


@dataclass(frozen=True)
class Rows(Generic[R]):
    """The rows of both splits, and what was left out (reason → count)."""

    train: Sequence[R]
    test: Sequence[R]
    dropped: Counter[str] = field(default_factory=Counter)
    too_long: Sequence[str] = ()  # the prompts of rows over the maximum length

    def key(self) -> str:
        """Return a hash of the rows: the same for the same content, whatever its commit."""
        return digest(*(to_json(r) for r in self.train), "test", *(to_json(r) for r in self.test))


def read_preferences(project: Project, *, implied: bool = True) -> Rows[Preference]:
    """Return the project's preferences. Raises UsageError where there are none to train on.

    Without `implied`, preferences that were inferred from other answers are left out of training.
    The test split never has them: it measures agreement with what people said.
    """
    train, test = (_read(project, f"preferences/{s}.jsonl") for s in ("train", "test"))
    if not train:
        raise UsageError(
            f"{project.id} holds no preferences to train on. Collect some with:"
            f" palate label {project.id}, then: palate export {project.id}"
        )
    human = [[r for r in rows if r.source == "human"] for rows in (train, test)]
    dropped = Counter({"only implied, in the test split": len(test) - len(human[1])})
    if not implied:
        dropped["only implied (--no-implied)"] = len(train) - len(human[0])
    return Rows(train if implied else human[0], human[1], +dropped)


def _read(project: Project, path: str) -> list[Preference]:
    if path not in project.files:
        return []
    file: Path = hub.fetch(project.id, "dataset", project.revision, [path])[0]
    return list(read_file(Preference, file, f"{project.id}/{path}"))


def count_wins(preferences: Sequence[Preference]) -> list[Answer]:
    """Return every distinct answer, in order of appearance, with its wins and losses."""
    answers: dict[str, Answer] = {}
    won, lost = Counter[str](), Counter[str]()
    for row in preferences:
        for side, count in ((row.chosen, won), (row.rejected, lost)):
            key = digest(row.prompt, side)
            answers.setdefault(key, Answer(row.prompt, side, row.prompt_id, 0, 0))
            count[key] += 1
    return [
        Answer(a.prompt, a.completion, a.prompt_id, won[key], lost[key])
        for key, a in answers.items()
    ]


def preferred_answers(project: str, preferences: Rows[Preference]) -> Rows[Answer]:
    """Return the answers that won more comparisons than they lost.

    Raises UsageError where the training split has none.
    """
    splits = [count_wins(rows) for rows in (preferences.train, preferences.test)]
    train, test = ([a for a in answers if a.won > a.lost] for answers in splits)
    if not train:
        raise UsageError(
            f"Of the {len(splits[0]):,} answers that people compared in {project}, none won more"
            f" comparisons than it lost. Collect more labels with: palate label {project}, then:"
            f" palate export {project}"
        )
    not_won = sum(map(len, splits)) - len(train) - len(test)
    dropped = Counter({IMPLIED: preferences.dropped.total(), NOT_WON: not_won})
    return Rows(train, test, +dropped)


def usable(rows: Rows[R], tokenizer: Any, max_length: int, window: int | None = None) -> Rows[R]:
    """Return the rows that fit into `max_length` tokens and have something to teach.

    TRL would truncate or drop the others silently. `window` is the model's own limit, if known.
    Raises UsageError where no row is left.
    """
    limit = max_length if window is None else min(max_length, window)
    too_much, advice = f"longer than {limit} tokens", "Raise --max-length."
    if limit < max_length:
        too_much += " (the model's window)"
        advice = "Choose a --base-model with a longer one."
    dropped, too_long = Counter(rows.dropped), list(rows.too_long)
    kept: tuple[list[R], list[R]] = ([], [])
    for split, split_rows in zip(kept, (rows.train, rows.test), strict=True):
        for row in split_rows:
            if flaw := _flaw(row):
                dropped[flaw] += 1
            elif (n := _tokens(row, tokenizer)) > limit:
                dropped[too_much] += 1
                too_long.append(f"{row.prompt[-1]['content'][:60]!r} ({n} tokens)")
            else:
                split.append(row)
    if not kept[0]:
        reasons = ", ".join(f"{n} {reason}" for reason, n in dropped.items())
        advice = f" {advice}" if too_long else ""
        raise UsageError(f"No row is left to train on: {reasons}.{advice}")
    return Rows(*kept, dropped, too_long)


def _flaw(row: Preference | Answer) -> str | None:
    """Return why a row has nothing to teach, whatever its length; None if it has."""
    if isinstance(row, Preference):
        return "chosen and rejected are the same text" if row.chosen == row.rejected else None
    return None if any(m["content"].strip() for m in row.completion) else "the answer is empty"


def _tokens(row: Preference | Answer, tokenizer: Any) -> int:
    """Return the tokens of the prompt and the longest of the row's answers to it."""
    sides = (row.chosen, row.rejected) if isinstance(row, Preference) else (row.completion,)
    return max(
        len(tokenizer.apply_chat_template(row.prompt + side, return_dict=True)["input_ids"])
        for side in sides
    )


def preference_dataset(rows: Sequence[Preference]) -> Any:
    """Return a `datasets.Dataset` with `prompt`, `chosen` and `rejected` as chat messages."""
    from datasets import Dataset

    return Dataset.from_list(
        [{"prompt": r.prompt, "chosen": r.chosen, "rejected": r.rejected} for r in rows]
    )


def answer_dataset(rows: Sequence[Answer]) -> Any:
    """Return a `datasets.Dataset` with `prompt` and `completion` as chat messages."""
    from datasets import Dataset

    return Dataset.from_list([{"prompt": r.prompt, "completion": r.completion} for r in rows])
