"""Comparisons out of any source, with nothing refused: what cannot be read is what an audit counts.

A palate project is read from its ledger; a Hub dataset or a file by its columns.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from palate.collect import tables
from palate.collect.importing import A, B, Columns, Template, read_template
from palate.core import hub, ledger
from palate.core.project import SETTINGS_FILE, Project

Choice = Literal["left", "right", "tie", "neither"]


@dataclass(frozen=True, slots=True)
class Row:
    """Two texts that answer a prompt, and which one somebody preferred.

    `neither` is a pair of which both are bad. `messages` is what a chat template is given.
    """

    number: int
    prompt: str
    left: str
    right: str
    choice: Choice
    split: str | None = None
    annotator: str = ""
    messages: Any = None

    @property
    def winner(self) -> str:
        return self.left if self.choice == "left" else self.right

    @property
    def loser(self) -> str:
        return self.right if self.choice == "left" else self.left


@dataclass
class Rows:
    """The rows of a source; `problems` are those that cannot be used (what → their numbers)."""

    source: str
    rows: list[Row]
    total: int
    sided: bool  # whether left and right are the sides that were shown
    problems: dict[str, list[int]] = field(default_factory=dict)

    def problem(self, what: str, number: int) -> None:
        self.problems.setdefault(what, []).append(number)


def read(source: str, columns: Columns, template: Path | None = None) -> Rows:
    """Read a palate project, a Hub dataset or a file. Raises UsageError where it is none."""

    given = columns.a or columns.b or columns.choice or template
    if not Path(source).is_file() and not given and is_project(source):
        return of_project(Project.load(source))
    table = tables.read(source)
    return of_table(table, columns, read_template(template, table))


def is_project(source: str) -> bool:
    if not re.fullmatch(r"[\w.\-]+/[\w.\-]+", source) or not hub.exists(source, "dataset"):
        return False
    return SETTINGS_FILE in hub.describe(source, "dataset")[1]


def of_project(project: Project) -> Rows:
    """Return one row for each standing judgement of a project's ledger."""
    prompts = {p.id: p for p in project.prompts}
    texts = {c.id: c.text for c in project.candidates}
    asked = list(ledger.standing_judgements(project.labels))
    result = Rows(project.id, [], 0, sided=True)
    kinds: dict[str, Choice] = {"tie": "tie", "both_bad": "neither"}
    for number, event in enumerate(asked, 1):
        if event.kind not in ("label", "tie", "both_bad"):
            continue
        result.total += 1
        known = event.prompt_id in prompts and event.left in texts and event.right in texts
        if not known:
            result.problem("name a prompt or a text that is not there", number)
            continue
        prompt = prompts[event.prompt_id]
        choice = kinds.get(event.kind) or ("left" if event.chosen == event.left else "right")
        left, right = texts[event.left], texts[event.right]
        result.rows.append(
            Row(
                number, prompt.text, left, right, choice, prompt.split, event.annotator,
                prompt.prompt,
            )
        )  # fmt: skip
    return result


def of_table(table: tables.Table, columns: Columns, template: Template | None) -> Rows:
    """Return the rows of a table, named as `palate import` names its columns."""
    preferences = columns.check(table)
    result = Rows(table.source, [], len(table.rows), sided=not preferences)
    splits: Iterable[Any] = table.splits or (row.get("split") for row in table.rows)
    for row, number, split in zip(table.rows, table.numbers, splits, strict=True):
        if preferences:
            left, right, choice = row.get(columns.chosen), row.get(columns.rejected), "left"
        else:
            left, right = row.get(columns.a or ""), row.get(columns.b or "")
            choice = _choice(row.get(columns.choice or ""), left, right)
        before, left = _text(left)
        _, right = _text(right)
        messages = template(row) if template else row.get(columns.prompt or "", before)
        prompt = _plain(messages)
        empty = [name for name, text in (("prompt", prompt), ("text", left and right)) if not text]
        if empty:
            result.problem(f"have an empty {empty[0]}", number)
        elif choice is None:
            result.problem("have a choice that is neither of the two nor a tie", number)
        else:
            who = str(row.get("annotator") or "")
            name = str(split) if split else None
            result.rows.append(Row(number, prompt, left, right, choice, name, who, messages))
    return result


def _choice(value: Any, left: Any, right: Any) -> Choice | None:
    text = str(value).strip()
    low = text.casefold().removesuffix(".0")
    if low in A or text == left:
        return "left"
    if low in B or text == right:
        return "right"
    if low.startswith("tie"):
        return "tie"
    return None


def _text(value: Any) -> tuple[Any, str]:
    """Return the messages before a completion, and its text; empty where it is neither."""
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        return value[:-1], str(value[-1].get("content") or "").strip()
    return None, value.strip() if isinstance(value, str) else ""


def _plain(messages: Any) -> str:
    if isinstance(messages, str):
        return messages.strip()
    if isinstance(messages, list):
        return "\n\n".join(str(m.get("content") or "") for m in messages if isinstance(m, dict))
    return ""
