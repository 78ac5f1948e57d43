"""More prompts for a project that exists: which of them are new, and which split each gets."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from palate.core import hub, ledger, splits
from palate.core.project import Project, Settings
from palate.core.schema import Prompt, Split
from palate.core.similar import Similar


@dataclass(frozen=True)
class Added:
    """The prompts that were added, in their splits, and how many were left out."""

    prompts: list[Prompt]
    known: int  # in the project already, or given twice
    near: int  # much like another prompt


class Seen:
    """Prompts, and whether another is one of them or much like one.

    `coming` are prompts that are going to be asked about, if they are known.
    """

    def __init__(self, prompts: Sequence[Prompt], coming: Sequence[Prompt] = ()):
        self._ids = {p.id for p in prompts}
        self._texts = Similar(p.text for p in [*prompts, *coming])
        for p in prompts:
            self._texts.add(p.text)

    def problem(self, p: Prompt) -> Literal["known", "near"] | None:
        """Return what speaks against the prompt. If nothing does, it is one of those seen."""
        if p.id in self._ids:
            return "known"
        if self._texts.like(p.text) is not None:
            return "near"
        self._ids.add(p.id)
        self._texts.add(p.text)
        return None


def place(
    new: Sequence[Prompt],
    existing: Sequence[Prompt],
    settings: Settings,
    split: Split | None = None,
) -> Added:
    """Return the prompts of `new` that are like none there, each with its split.

    Without `split` they become eval prompts until there are as many as a verdict takes; the
    settings part the others. Chance decides which become eval prompts.
    """
    seen = Seen(existing, new)
    problems = [(p, seen.problem(p)) for p in new]
    fresh = [p for p, problem in problems if problem is None]
    kinds = [problem for _, problem in problems]
    if split:
        placed = [replace(p, split=split) for p in fresh]
    else:
        drawn = sorted(fresh, key=lambda p: p.id)
        random.Random(settings.seed).shuffle(drawn)
        number = splits.eval_missing(settings, existing)
        blind = [replace(p, split="eval") for p in drawn[:number]]
        placed = blind + splits.assign(drawn[number:], [*existing, *blind], settings)
    return Added(placed, kinds.count("known"), kinds.count("near"))


def add(project_id: str, new: Sequence[Prompt], split: Split | None) -> tuple[Project, Added]:
    """Add in one commit what the project lacks; return the project with it."""

    def change(sha: str, paths: list[str]) -> hub.Change[Added]:
        project = Project.at(project_id, sha, paths)
        added = place(new, project.prompts, project.settings, split)
        rows = {ledger.event_file("prompts"): ledger.jsonl(added.prompts)} if added.prompts else {}
        return hub.Change(added, f"Add {len(added.prompts)} prompts", rows)

    sha, added = hub.update(project_id, "dataset", change)
    return Project.load(project_id, sha), added
