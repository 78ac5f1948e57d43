"""The comparisons that a reward learns from: pairs with margins, ties, distinct answers.

Only `read` does I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from palate.core.errors import UsageError
from palate.core.ledger import standing_judgements
from palate.core.project import Project
from palate.core.schema import Message, Pair, Preference
from palate.reward.config import MarginSize
from palate.reward.probe import FOLDS, Pairs
from palate.train.rows.data import Rows, read_preferences

MARGIN_SIZES = {"off": 0.0, "small": 1.0, "large": 3.0}


@dataclass(frozen=True)
class Answers:
    """Each distinct answer of a prompt once, and where the answers of pairs are among them."""

    chats: list[list[Message]]  # prompt and answer
    prompts: list[str]  # ids
    places: dict[tuple[str, str], int]  # by prompt id and text

    @classmethod
    def of(cls, rows: Sequence[Preference]) -> "Answers":
        answers = cls([], [], {})
        for row in rows:
            for side in (row.chosen, row.rejected):
                key = _key(row, side)
                if key not in answers.places:
                    answers.places[key] = len(answers.chats)
                    answers.chats.append([*row.prompt, *side])
                    answers.prompts.append(row.prompt_id)
        return answers

    def pairs(self, rows: Sequence[Preference], size: MarginSize) -> Pairs:
        """Return the pairs by the places of their answers; a row whose source is "tie" is one."""
        first = [self.places[_key(r, r.chosen)] for r in rows]
        second = [self.places[_key(r, r.rejected)] for r in rows]
        won = [0.5 if r.source == "tie" else 1.0 for r in rows]
        margin = [0.0 if r.source == "tie" else r.margin * MARGIN_SIZES[size] for r in rows]
        columns = (np.array(first, int), np.array(second, int), np.array(won), np.array(margin))
        return Pairs(*columns, [r.prompt_id for r in rows])

    @property
    def lengths(self) -> list[int]:
        """Return the characters of each answer."""
        return [len(chat[-1]["content"]) for chat in self.chats]


def _key(row: Preference, side: Sequence[Message]) -> tuple[str, str]:
    return row.prompt_id, side[-1]["content"]


def read(project: Project) -> Rows[Preference]:
    """Return what people said: preferences and, in the train split, ties (source "tie").

    Inferred preferences are left out: a reward infers them itself. Raises UsageError where nothing
    could be learned, or nothing held out.
    """
    tied = ties(project)
    if tied and not project.preferences:
        raise UsageError(
            f"All {len(tied):,} judgements of {project.id} on train prompts are ties, which say"
            f" only that answers are equally good. Ask about answers that differ more: palate"
            f" candidates {project.id}, then: palate label {project.id}"
        )
    rows = read_preferences(project, implied=False)
    prompts = len({r.prompt_id for r in rows.train})
    if prompts < FOLDS:
        raise UsageError(
            f"The labels of {project.id} are on {prompts} train prompt{'s' * (prompts != 1)}. A"
            f" reward for other prompts needs at least {FOLDS}: some are held out to choose and"
            f" to measure. Label more prompts: palate label {project.id}"
        )
    return replace(rows, train=[*rows.train, *tied])


def ties(project: Project) -> list[Preference]:
    """Return the standing ties on train prompts; chosen and rejected are the sides as shown."""
    prompts = {p.id: p for p in project.prompts if p.split == "train"}
    texts = {c.id: c.text for c in project.candidates}
    return [
        Preference(
            prompt=prompts[e.prompt_id].prompt,
            chosen=[{"role": "assistant", "content": texts[e.left]}],
            rejected=[{"role": "assistant", "content": texts[e.right]}],
            strength=None,
            margin=0.0,
            source="tie",
            annotator=e.annotator,
            pair_id=Pair.between(e.prompt_id, e.left, e.right).id,
            prompt_id=e.prompt_id,
            round=e.round,
            aspect=e.aspect,
        )
        for e in standing_judgements(project.labels)
        if e.kind == "tie" and e.prompt_id in prompts and e.left in texts and e.right in texts
    ]


def decided(rows: Sequence[Preference]) -> list[Preference]:
    """Return the rows in which one answer is better."""
    return [r for r in rows if r.source != "tie"]
