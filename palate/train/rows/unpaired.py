"""Answers that people called good or bad, which KTO learns from.

They come from imported thumbs, from "both bad" (two bad answers), and from pairs taken apart: the
preferred answer is good, the other one bad (K. Ethayarajh et al., "KTO: Model Alignment as Prospect
Theoretic Optimization", 2024, section 4.2). Only `of_project` reads a project.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from palate.core.errors import UsageError
from palate.core.ledger import standing_judgements
from palate.core.project import Project
from palate.core.schema import Candidate, Event, Message, Preference, Unpaired, digest
from palate.train.rows import people
from palate.train.rows.data import Rows

Source = Literal["thumbs", "both bad", "pairs"]
EVEN = "of answers that won as many comparisons as they lost, to the same person"
DISPUTED = "of answers that the same person called both good and bad"


@dataclass(frozen=True)
class Judged:
    """One row for each answer and person, where each comes from, and how many were left out."""

    rows: Sequence[Unpaired]
    sources: Sequence[Source]
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Weights:
    """What the loss of a good and of a bad answer counts."""

    good: float
    bad: float

    @classmethod
    def balanced(cls, good: int, bad: int) -> "Weights":
        """Return weights with which both kinds count as much in all; the rarer kind is raised.

        Weight times number of good answers over that of bad ones has to be between 1 and 4/3
        (equation 8 of the paper, as TRL checks it); this makes it 1.
        """
        return cls(max(1.0, round(bad / good, 2)), max(1.0, round(good / bad, 2)))


def of_project(project: Project) -> Judged:
    """Return what the people of a project called good or bad, on all but `eval` prompts."""
    bad = list(both_bad(standing_judgements(project.labels), project.candidates))
    prompts = {p.id: p for p in project.prompts if p.split != "eval"}
    called: list[tuple[Unpaired, Source]]
    called = [(t, "thumbs") for t in people.thumbs(project) if t.prompt_id in prompts]
    for event, text in bad:
        if prompt := prompts.get(event.prompt_id):
            row = Unpaired(prompt.prompt, text, False, event.annotator, prompt.id)
            called.append((row, "both bad"))
    return judged(called, [p for p in project.preferences if p.source == "human"])


def both_bad(
    events: Iterable[Event], candidates: Iterable[Candidate]
) -> Iterable[tuple[Event, list[Message]]]:
    """Yield each of the two answers that a judgement calls bad, with the judgement."""
    texts = {c.id: c.text for c in candidates}
    for event in events:
        if event.kind == "both_bad":
            for side in (event.left, event.right):
                if side in texts:
                    yield event, [Message(role="assistant", content=texts[side])]


def judged(called: Iterable[tuple[Unpaired, Source]], compared: Iterable[Preference]) -> Judged:
    """Return one row for each answer and person.

    What a person called an answer counts more than how often they preferred it to others. Answers
    that stay undecided are counted as left out.
    """
    rows: dict[str, tuple[Unpaired, Source]] = {}
    said: dict[str, set[bool]] = {}
    for row, source in called:
        key = digest(row.prompt, row.completion, row.annotator)
        rows.setdefault(key, (row, source))
        said.setdefault(key, set()).add(row.label)
    balance: Counter[str] = Counter()
    for p in compared:
        for side, won in ((p.chosen, 1), (p.rejected, -1)):
            key = digest(p.prompt, side, p.annotator)
            row = Unpaired(p.prompt, side, won > 0, p.annotator, p.prompt_id)
            rows.setdefault(key, (row, "pairs"))
            balance[key] += won
    left_out, kept = Counter[str](), []
    for key, (row, source) in rows.items():
        labels = said.get(key) or ({balance[key] > 0} if balance[key] else set())
        if len(labels) == 1:
            label = labels.pop()
            kept.append((Unpaired(row.prompt, row.completion, label, *_whose(row)), source))
        else:
            left_out[DISPUTED if labels else EVEN] += 1
    return Judged([row for row, _ in kept], [source for _, source in kept], left_out)


def _whose(row: Unpaired) -> tuple[str, str]:
    return row.annotator, row.prompt_id


def read_unpaired(project: Project) -> tuple[Rows[Unpaired], dict[str, int]]:
    """Return the rows of both splits, and how many train rows each source gave, by label.

    Raises UsageError where they cannot teach both what is good and what is bad.
    """
    answers = of_project(project)
    split = {p.id: p.split for p in project.prompts}
    parts = {
        name: [
            pair
            for pair in zip(answers.rows, answers.sources, strict=True)
            if split[pair[0].prompt_id] == name
        ]
        for name in ("train", "test")
    }
    train = [row for row, _ in parts["train"]]
    check_both(project.id, train)
    sources = Counter(
        f"{'good' if row.label else 'bad'}, from {source}" for row, source in parts["train"]
    )
    test = [row for row, _ in parts["test"]]
    return Rows(train, test, Counter(answers.left_out)), dict(sorted(sources.items()))


def check_both(project_id: str, rows: Sequence[Unpaired]) -> None:
    """Raise UsageError unless there are good and bad answers."""
    good = sum(row.label for row in rows)
    more = (
        f"Import thumbs with: palate import {project_id} FILE, or compare answers with:"
        f" palate label {project_id}"
    )
    if not rows:
        raise UsageError(
            f"Nobody has called an answer to a train prompt of {project_id} good or bad yet. {more}"
        )
    if good in (0, len(rows)):
        one, other = ("good", "bad") if good else ("bad", "good")
        raise UsageError(
            f"All {len(rows):,} answers that KTO could learn from in {project_id} are {one}. It"
            f" needs {other} ones as well. {more}"
        )
