"""Whose labels a training reads (`--annotators`), and how often it is right for each person."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from rich.console import Console

from palate.audit.baselines import Accuracy
from palate.collect.labels import pseudonym
from palate.core import hub
from palate.core.errors import UsageError
from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rates import clustered
from palate.core.rounds import by_aspect
from palate.core.schema import Event, Preference, Unpaired
from palate.core.typed import read_file
from palate.label.agreement import JUDGED
from palate.label.preferences import rebuild
from palate.train.config import TrainArguments

SHOWN = 20  # names in a message, of those who judged most
MOST_PEOPLE = 10  # whose accuracy is listed, of those with the most pairs
A = TypeVar("A", bound=TrainArguments)


@dataclass(frozen=True)
class PartOfPeople(Project):
    """A project as if nobody but `only` had judged anything."""

    only: frozenset[str] = frozenset()
    people_in_all: int = 0  # who judged something

    @property
    def labels(self) -> tuple[Event, ...]:
        return tuple(e for e in super().labels if e.annotator in self.only)

    @property
    def preferences(self) -> tuple[Preference, ...]:
        """What follows from the labels of these people alone."""
        return tuple(rebuild(self.prompts, self.candidates, self.labels).in_files())

    def sentence(self) -> str:
        """Return how many people's labels are read, without a name."""
        if self.people_in_all == 1:
            return "1 person has judged answers here, so --annotators leaves nobody out."
        if len(self.only) == self.people_in_all:
            return f"--annotators names all {self.people_in_all} people, so it leaves nobody out."
        return (
            f"Only the labels of {len(self.only)} of {self.people_in_all} people are used, as"
            " --annotators says."
        )


def chosen(console: Console, project: Project, args: A) -> tuple[Project, A]:
    """Return the project with the people whom `args` name, and `args` with their pseudonyms."""
    project = part(project, args)
    if not isinstance(project, PartOfPeople):
        return project, args
    console.print(f"  {project.sentence()}")
    return project, replace(args, annotators=",".join(sorted(project.only)))


def part(project: Project, args: object) -> Project:
    """Return the project with the people whom a training's arguments name, or as it is.

    A name of an imported file is found by its pseudonym. Raises UsageError for a name nobody has.
    """
    if not isinstance(args, TrainArguments) or args.annotators is None:
        return project
    judged = judgements(project, together=args.aspect is None)
    asked = [name.strip() for name in args.annotators.split(",") if name.strip()]
    who_is = {
        name: next((x for x in (name, pseudonym(name)) if x in judged), None) for name in asked
    }
    if missing := [name for name, who in who_is.items() if who is None]:
        raise UsageError(
            f"Nobody who judged answers in {project.id} is called {missing[0]!r}."
            f" {_names(project.id, judged)}"
        )
    if not asked:
        raise UsageError(f"--annotators names nobody. {_names(project.id, judged)}")
    only = frozenset(who for who in who_is.values() if who)
    return PartOfPeople(
        project.id,
        project.revision,
        project.settings,
        project.files,
        only,
        len(judged),
        aspect=project.aspect,
    )


def refuse(args: TrainArguments) -> None:
    """Raise UsageError for --annotators where a reward decides what is learned."""
    if args.annotators is not None:
        raise UsageError(
            "What the reward prefers is learned here, not people's labels. Choose people for the"
            f" reward: palate reward {args.project} --annotators {args.annotators}"
        )


def judgements(project: Project, *, together: bool) -> Counter[str]:
    """Return how many judgements of pairs, and thumbs, each person has given.

    They are those in the project's aspect, or in all aspects `together`.
    """
    labels = [e for one in (by_aspect(project) if together else [project]) for e in one.labels]
    judged = (e.annotator for e in standing_judgements(labels) if e.kind in JUDGED)
    return Counter([*judged, *(t.annotator for t in thumbs(project))])


def thumbs(project: Project) -> list[Unpaired]:
    """Return the answers that people who count called good or bad: those of the people chosen."""
    uncounted = project.people.uncounted
    counted = [t for t in project.read("unpaired") if t.annotator not in uncounted]
    if isinstance(project, PartOfPeople):
        return [t for t in counted if t.annotator in project.only]
    return counted


def _names(project_id: str, judged: Counter[str]) -> str:
    """Return who judged answers, those with the most judgements first."""
    if not judged:
        return f"Nobody has yet. Begin with: palate label {project_id}"
    shown = [f"{who} ({count(n, 'judgement')})" for who, n in judged.most_common(SHOWN)]
    more = f" and {len(judged) - SHOWN:,} more" if len(judged) > SHOWN else ""
    return f"These people have: {', '.join(shown)}{more}."


def preference_rows(project: Project, split: Literal["train", "test"]) -> list[Preference]:
    """Return a split's preferences in all aspects: the file's, or those of the people chosen."""
    path = f"preferences/{split}.jsonl"
    if isinstance(project, PartOfPeople):
        parts = (rebuild(p.prompts, p.candidates, p.labels) for p in by_aspect(project))
        return [row for own in parts for row in own.rows[split]]
    if path not in project.files:
        return []
    (file,) = hub.fetch(project.id, "dataset", project.revision, [path])
    return list(read_file(Preference, file, f"{project.id}/{path}"))


def accuracies(rows: Sequence[Preference], right: np.ndarray) -> dict[str, Accuracy]:
    """Return how often a model is right on each person's rows; nothing where one person judged.

    `right` is 1 on a row where it is, and ½ on a tie. Intervals are for other prompts.
    """
    counts = Counter(r.annotator for r in rows)
    if len(counts) < 2:
        return {}
    by_person = {}
    for who, n in counts.most_common(MOST_PEOPLE):
        own = [i for i, r in enumerate(rows) if r.annotator == who]
        interval = clustered(right[own].tolist(), [rows[i].prompt_id for i in own])
        by_person[who] = Accuracy(float(right[own].mean()), interval or (0.0, 1.0), n)
    return by_person
