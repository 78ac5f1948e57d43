"""What people already have into a project: prompts, and labels that were made elsewhere."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from palate.collect import cells, pairs
from palate.collect.cells import BadCell
from palate.collect.columns import Columns, Template
from palate.collect.pairs import Choice, Row
from palate.collect.tables import Table
from palate.core import hub, ledger, schema, splits
from palate.core.errors import BadInput
from palate.core.project import SETTINGS_FILE, Project, Settings, check_id, unique
from palate.core.schema import (
    Candidate,
    Config,
    Event,
    Model,
    Pair,
    Preference,
    Prompt,
    Split,
    digest,
)

# the splits that other data sets have, by the first word of their names, such as test_prefs
PUBLISHED: dict[str, Split] = {
    "test": "test", "validation": "test", "valid": "test", "val": "test", "dev": "test",
    "eval": "eval", "evaluation": "eval",
}  # fmt: skip


@dataclass
class Imported:
    """What an import adds to a project; `notes` are remarks on its rows, counted."""

    prompts: list[Prompt]
    candidates: list[Candidate]
    events: list[Event]
    notes: Counter[str] = field(default_factory=Counter)


def prompts_of(
    table: Table, column: str | None = None, template: Template | None = None
) -> list[Prompt]:
    """Return a prompt for each row, without repeats. Raises BadInput for an empty one."""
    if template is None:
        only = table.columns[0] if len(table.columns) == 1 else "prompt"
        column = table.name_of(column or only)
    name = column or "prompt"
    prompts = []
    for row, number in zip(table.rows, table.numbers, strict=True):
        try:
            value = template(row) if template else row.get(name)
            prompts.append(Prompt.of(cells.prompt(value, name)))
        except BadCell as error:
            raise BadInput(table.source, error.problem, row=number, field=error.column) from None
    return unique(prompts)


def labels_of(
    table: Table,
    columns: Columns,
    template: Template | None,
    annotator: str = "imported",
    models: Sequence[Model | None] = (None, None),
) -> Imported:
    """Return prompts, candidates and label events of a table of labelled pairs.

    Raises BadInput naming the row and field where a text is empty, both are the same, or the
    choice is neither of the two. Event ids depend on the content alone: the same file imported
    twice adds nothing. `models` wrote the first and the second text, if known; where a column says
    who wrote it, that replaces their names. Prompts that the source keeps for testing stay in that
    split.
    """
    data = pairs.read(table, columns, template, strict=True)
    imported = Imported([], [], [])
    start = datetime.now(UTC)
    seen: Counter[tuple[str | None, ...]] = Counter()
    for i, row in enumerate(data.rows):
        left, right, choice = (row.left, row.right, row.choice) if data.sided else _placed(row)
        prompt = Prompt.of(row.messages)
        writers = [(m.repo, m.revision) if m else (None, None) for m in _writers(row, models)]
        a = Candidate.of(prompt.id, left, model=writers[0][0], revision=writers[0][1])
        b = Candidate.of(prompt.id, right, model=writers[1][0], revision=writers[1][1])
        chosen = {"left": a.id, "right": b.id}.get(choice)
        who = digest("import", row.annotator)[:10] if columns.person else None
        key = (Pair.of(a, b).id, a.id, chosen, *([who] if who else []))
        seen[key] += 1
        event_id, person = digest("import", *key, seen[key]), f"p-{who}" if who else annotator
        time = start + timedelta(milliseconds=i)
        imported.prompts.append(prompt)
        imported.candidates += [a, b]
        imported.events.append(_event(event_id, a, b, chosen, person, time))
    imported.prompts = _published([row.split for row in data.rows], imported)
    imported.candidates = unique(imported.candidates)
    judged = {(e.annotator, e.pair_id) for e in imported.events}
    if repeats := len(imported.events) - len(judged):
        imported.notes["judge a pair that an earlier row judged: the last one counts"] = repeats
    return imported


def _event(
    event_id: str, a: Candidate, b: Candidate, chosen: str | None, annotator: str, time: datetime
) -> Event:
    return Event(
        event_id=event_id,
        kind="label" if chosen else "tie",
        pair_id=Pair.of(a, b).id,
        prompt_id=a.prompt_id,
        left=a.id,
        right=b.id,
        chosen=chosen,
        strength=None,
        annotator=annotator,
        milliseconds=None,
        time=time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        round=1,
        via="import",
    )


def _writers(row: Row, models: Sequence[Model | None]) -> Sequence[Model | None]:
    """Return the models that wrote the row's texts; models named in the row have no commit."""
    if row.models is None:
        return models
    return [
        replace(m, repo=repo) if m else None for m, repo in zip(models, row.models, strict=True)
    ]


def _published(names: Sequence[str | None], imported: Imported) -> list[Prompt]:
    """Return each prompt once, in the split that the source gives it.

    `names` are the source's splits, row by row. A prompt that is in several is held out.
    """
    splits_of: dict[str, set[Split]] = {}
    for p, name in zip(imported.prompts, names, strict=True):
        word = re.split(r"[_\-. ]", (name or "").casefold())[0]
        splits_of.setdefault(splits.normal(p.text), set()).add(PUBLISHED.get(word, "train"))
    several = sum(len(found) > 1 for found in splits_of.values())
    if several:
        imported.notes["prompts are in several splits: held out from training"] = several

    def split(p: Prompt) -> Split:
        found = splits_of[splits.normal(p.text)]
        return "eval" if "eval" in found else "test" if "test" in found else "train"

    return [replace(p, split=split(p)) for p in unique(imported.prompts)]


def _placed(row: Row) -> tuple[str, str, Choice]:
    """Return chosen and rejected with the side that a hash gives the chosen one.

    Files of `chosen` and `rejected` do not say which side it was shown on.
    """
    if int(digest(row.messages, *sorted((row.left, row.right))), 16) & 1:
        return row.left, row.right, "left"
    return row.right, row.left, "right"


def start_project(
    project_id: str, prompts: Sequence[Prompt], settings: Settings, *, public: bool = False
) -> Project:
    """Create the project, or add the prompts that it lacks; each prompt gets its split here."""
    check_id(project_id)
    created = hub.create(project_id, "dataset", private=not public)
    if not created and SETTINGS_FILE in hub.describe(project_id, "dataset")[1]:
        return add(project_id, Imported(list(prompts), [], []), "Add prompts")
    split = splits.assign(prompts, [], settings)
    splits.check_no_overlap(split)
    files = {SETTINGS_FILE: settings.dump()}
    if split:
        files["prompts/0001.jsonl"] = ledger.jsonl(split)
    hub.commit(project_id, "dataset", files, f"Start the project with {len(split)} prompts")
    return Project.load(project_id)


def add(project_id: str, new: Imported, message: str) -> Project:
    """Add in one commit what the project lacks. No prompt with labels becomes an eval prompt."""

    labelled = {e.prompt_id for e in new.events}

    def files(project: Project) -> dict[str, str]:
        prompts = splits.assign(new.prompts, project.prompts, project.settings, labelled)
        splits.check_no_overlap([*project.prompts, *prompts])
        current = project.settings.round
        candidates = [replace(c, round=current) for c in new.candidates]
        events = [replace(e, round=current) for e in new.events]
        return lacking(project, {"prompts": prompts, "candidates": candidates, "labels": events})

    return commit_to(project_id, message, files)


def lacking(project: Project, rows: Mapping[Config, Sequence[schema.Row]]) -> dict[str, str]:
    """Return files, by repo path, with those rows of each config that the project lacks."""
    files = {}
    for config, given in rows.items():
        known = {_id(row) for row in project.read(config)}
        if new := [row for row in given if _id(row) not in known]:
            files[ledger.event_file(config)] = ledger.jsonl(new)
    return files


def _id(row: schema.Row) -> str:
    if isinstance(row, Event):
        return row.event_id
    return row.pair_id if isinstance(row, Preference) else row.id


def commit_to(project_id: str, message: str, build: Callable[[Project], dict[str, str]]) -> Project:
    """Commit the files that `build` makes from the project; return the project with them."""

    def change(sha: str, paths: list[str]) -> hub.Change[None]:
        return hub.Change(None, message, build(Project.at(project_id, sha, paths)))

    sha, _ = hub.update(project_id, "dataset", change)
    return Project.load(project_id, sha)
