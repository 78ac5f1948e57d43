"""Load labelled pairs from any source; rows that cannot be read are counted, not refused.

A palate project is read from its ledger, a Hub dataset or a file by its columns.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from palate.collect import pairs, tables
from palate.collect.columns import Columns, read_template
from palate.collect.pairs import Choice, Doubted, Row, Rows
from palate.core import hub, ledger
from palate.core.errors import UsageError
from palate.core.project import REWARD_FILE, SETTINGS_FILE, Project
from palate.core.rounds import in_aspect
from palate.label.strategies import RewardNotes


def read(
    source: str,
    columns: Columns,
    template: Path | None = None,
    encoding: str | None = None,
    aspect: str | None = None,
) -> Rows:
    """Read a palate project in an aspect, a Hub dataset or a file.

    Raises UsageError if `source` is none.
    """
    given = columns.a or columns.b or columns.choice or template
    if not Path(source).is_file() and not given and is_project(source):
        return of_project(in_aspect(Project.load(source), aspect))
    if aspect:
        raise UsageError(f"--aspect {aspect} is for a project, and {source} is none.")
    table = tables.read(source, encoding)
    return pairs.read(table, columns, read_template(template, table))


def is_project(source: str) -> bool:
    """Tell whether `source` names a palate project on the Hub."""
    if not re.fullmatch(r"[\w.\-]+/[\w.\-]+", source) or not hub.exists(source, "dataset"):
        return False
    return SETTINGS_FILE in hub.describe(source, "dataset")[1]


def of_project(project: Project) -> Rows:
    """Return one row for each standing judgement of a project's ledger."""
    prompts = {p.id: p for p in project.prompts}
    texts = {c.id: c.text for c in project.candidates}
    people = {e.annotator for e in project.read("labels")}
    excluded = len(people & project.people.excluded)
    name = f"{project.id} in the aspect {project.aspect}" if project.aspect else project.id
    result = Rows(name, [], 0, sided=True, excluded=excluded, project=project.id)
    kinds: dict[str, Choice] = {"tie": "tie", "both_bad": "neither"}
    for number, event in enumerate(ledger.standing_judgements(project.labels), 1):
        if event.kind not in ("label", "tie", "both_bad"):
            continue
        result.total += 1
        known = event.prompt_id in prompts and event.left in texts and event.right in texts
        if not known:
            result.problem("whose prompt or text is no longer in the project", number)
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
    result.doubted = tuple(doubted(project))
    return result


def doubted(project: Project) -> Iterator[Doubted]:
    """Yield the standing labels that the reward finds unlikely, the unlikeliest first."""
    notes = RewardNotes.parse(project.text(REWARD_FILE), f"{project.id}/{REWARD_FILE}")
    texts = {c.id: c.text for c in project.candidates}
    events = project.labels
    asked = {(e.annotator, e.pair_id): e for e in ledger.standing_judgements(events)}
    again = {
        (e.annotator, e.pair_id): e
        for purpose in ("repeat", "second")
        for e in ledger.standing_judgements(events, purpose)
        if e.kind != "skip"
    }
    for doubt in sorted(notes.doubts, key=lambda d: d.probability):
        key = (doubt.annotator, doubt.pair_id)
        event = asked.get(key)
        if event is None or event.kind != "label" or not {event.left, event.right} <= texts.keys():
            continue
        other = event.left if event.chosen == event.right else event.right
        second = again.get(key)
        same = None if second is None else second.chosen == event.chosen
        yield Doubted(texts[event.chosen or ""], texts[other], doubt.probability, same)
