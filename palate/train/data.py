"""Preferences as TRL reads them, checked: no prompt on both sides, nothing dropped unseen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.project import Project, read_jsonl
from palate.core.schema import Preference, digest, to_json


@dataclass(frozen=True)
class Rows:
    """The rows to train on and to test with, and what did not make it there (reason → count).

    They are preferences, or for SFT `answers.Answer`.
    """

    train: list[Any]
    test: list[Any]
    dropped: Counter = field(default_factory=Counter)
    too_long: list[str] = field(default_factory=list)  # the prompts of rows over `max_length`

    def key(self) -> str:
        """Return a hash of the rows: the same for the same content, whatever its commit."""
        return digest(*(to_json(r) for r in self.train), "test", *(to_json(r) for r in self.test))


def read(project: Project, *, implied: bool = True) -> Rows:
    """Return the project's preferences, whose split `check.audit` looks at. Raises without any.

    What is only implied can be left out of training; of the test it always is, which measures
    agreement with what people said.
    """
    train, test = (_read(project, f"preferences/{s}.jsonl") for s in ("train", "test"))
    if not train:
        raise UsageError(
            f"{project.id} holds no preferences to train on. Collect some with:"
            f" palate label {project.id}, then: palate export {project.id}"
        )
    said = [[r for r in rows if r.source == "human"] for rows in (train, test)]
    dropped = Counter({"only implied, in the test split": len(test) - len(said[1])})
    if not implied:
        dropped["only implied (--no-implied)"] = len(train) - len(said[0])
    return Rows(train if implied else said[0], said[1], +dropped)


def _read(project: Project, path: str) -> list[Preference]:
    if path not in project.files:
        return []
    file: Path = hub.fetch(project.id, "dataset", project.revision, [path])[0]
    return list(read_jsonl("preferences", file, f"{project.id}/{path}"))


def usable(rows: Rows, tokenizer: Any, max_length: int, window: int | None = None) -> Rows:
    """Return the rows that fit into `max_length` tokens and have something to teach.

    TRL would cut the others' ends off, or drop them, without a word. `window` is what the model
    itself can read, where that is known.
    """
    most = max_length if window is None else min(max_length, window)
    too_much, advice = f"longer than {most} tokens", "Raise --max-length."
    if most < max_length:
        too_much += " (the model's window)"
        advice = "Choose a --base-model with a longer one."
    dropped, too_long = Counter(rows.dropped), list(rows.too_long)
    kept: dict[str, list[Any]] = {"train": [], "test": []}
    for split, given in (("train", rows.train), ("test", rows.test)):
        for row in given:
            if flaw := _flaw(row):
                dropped[flaw] += 1
            elif (n := _longest(row, tokenizer)) > most:
                dropped[too_much] += 1
                too_long.append(f"{row.prompt[-1]['content'][:60]!r} ({n} tokens)")
            else:
                kept[split].append(row)
    if not kept["train"]:
        reasons = ", ".join(f"{n} {reason}" for reason, n in dropped.items())
        advice = f" {advice}" if too_long else ""
        raise UsageError(f"No row is left to train on: {reasons}.{advice}")
    return Rows(kept["train"], kept["test"], dropped, too_long)


def _flaw(row: Any) -> str | None:
    """Return why there is nothing to learn from a row, whatever its length."""
    if isinstance(row, Preference):
        return "chosen and rejected are the same text" if row.chosen == row.rejected else None
    return None if any(m["content"].strip() for m in row.completion) else "the answer is empty"


def _longest(row: Any, tokenizer: Any) -> int:
    """Return the tokens of the prompt and the longest of the row's answers to it."""
    sides = (row.chosen, row.rejected) if isinstance(row, Preference) else (row.completion,)
    return max(
        len(tokenizer.apply_chat_template(row.prompt + side, return_dict=True)["input_ids"])
        for side in sides
    )


def dataset(rows: Sequence[Preference]) -> Any:
    """Return a `datasets.Dataset` with `prompt`, `chosen` and `rejected` as chat messages."""
    from datasets import Dataset

    return Dataset.from_list(
        [{"prompt": r.prompt, "chosen": r.chosen, "rejected": r.rejected} for r in rows]
    )
