"""What people already have into a project: prompts, and labels that were made elsewhere."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from palate.collect import cells
from palate.collect.cells import BadCell, Reader
from palate.collect.columns import Template
from palate.collect.rows import Table, bad_rows
from palate.core import hub, ledger, schema, splits
from palate.core.errors import BadInput
from palate.core.project import SETTINGS_FILE, Project, Settings, check_id
from palate.core.rounds import unique
from palate.core.schema import (
    Candidate,
    Config,
    Event,
    EventConfig,
    Preference,
    Prompt,
    Unpaired,
    digest,
)


@dataclass
class Imported:
    """What an import adds to a project.

    `left_out` counts the source's judgements that are not among the events, by reason; `refused`
    counts its bad rows, by what they lack; `notes` are remarks on its rows, counted.
    """

    prompts: list[Prompt]
    candidates: list[Candidate]
    events: list[Event]
    notes: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unpaired: list[Unpaired] = field(default_factory=list)


def prompts_of(
    table: Table, column: str | None = None, template: Template | None = None
) -> list[Prompt]:
    """Return a prompt for each row, without repeats. Raises BadInput for an empty one."""
    if table.bad:
        raise bad_rows(table.source, table.bad, can_skip=False)
    if template is None:
        only = table.columns[0] if len(table.columns) == 1 else "prompt"
        column = table.name_of(column or only)
    name = column or "prompt"
    prompts = []
    reader = Reader()
    for row, number in zip(table.rows, table.numbers, strict=True):
        try:
            value = template.fill(row) if template else row.get(name)
            prompts.append(Prompt.of(_prompt(reader, value, name)))
        except BadCell as error:
            raise BadInput(table.source, error.problem, row=number, field=error.column) from None
    return unique(prompts)


def _prompt(reader: Reader, value: object, name: str) -> str | list[schema.Message]:
    if isinstance(value, str) and reader.turns(value, name, "prompt") is None:
        return cells.text(value, name, "prompt").strip()
    return reader.prompt(value, name)


def start_project(
    project_id: str, prompts: Sequence[Prompt], settings: Settings, *, public: bool = False
) -> Project:
    """Create the project, or add the prompts that it lacks; each prompt gets its split here."""
    return add(project_id, Imported(list(prompts), [], []), "Add prompts", settings, public=public)


def exists(project_id: str) -> bool:
    """Tell whether there is a project of this id, rather than no repo or another one."""
    check_id(project_id)
    if not hub.exists(project_id, "dataset"):
        return False
    return SETTINGS_FILE in hub.describe(project_id, "dataset")[1]


def without_forgotten(project_id: str, new: Imported) -> Imported:
    """Return the import without rows of people whom the project's owner has had forgotten."""
    forgotten = Project.load(project_id).people.forgotten if exists(project_id) else frozenset()
    events = [e for e in new.events if e.annotator not in forgotten]
    unpaired = [row for row in new.unpaired if row.annotator not in forgotten]
    left_out = len(new.events) + len(new.unpaired) - len(events) - len(unpaired)
    if not left_out:
        return new
    reasons = new.left_out + Counter({"by a person who was forgotten in this project": left_out})
    return replace(new, events=events, unpaired=unpaired, left_out=reasons)


def add(
    project_id: str,
    new: Imported,
    message: str,
    settings: Settings | None = None,
    *,
    public: bool = False,
) -> Project:
    """Add in one commit what the project lacks; with `settings`, create it if needed.

    No prompt with labels becomes an eval prompt. Nothing is created before all is checked.
    """
    labelled = {e.prompt_id for e in (*new.events, *new.unpaired)}
    if settings is not None and not exists(project_id):
        rows = _with_splits(new, [], settings, labelled)
        files = {SETTINGS_FILE: settings.dump()}
        if rows["prompts"]:
            files["prompts/0001.jsonl"] = ledger.jsonl(rows.pop("prompts"))
        events = _new_events(new.events, [], settings.round)
        files |= _files({**rows, "prompts": [], "labels": events, "unpaired": new.unpaired})
        hub.create(project_id, "dataset", private=not public)
        text = f"Start the project with {len(unique(new.prompts))} prompts"
        hub.commit(project_id, "dataset", files, text)
        return Project.load(project_id)

    new = without_forgotten(project_id, new)

    def files_of(project: Project) -> dict[str, str]:
        rows = _with_splits(new, project.prompts, project.settings, labelled)
        rows["unpaired"] = new.unpaired
        lacked = {c: _lacked(project.read(c), rows[c]) for c in rows}
        events = _new_events(new.events, project.read("labels"), project.settings.round)
        return _files({**lacked, "labels": events})

    return commit_to(project_id, message, files_of)


def _with_splits(
    new: Imported, existing: Sequence[Prompt], settings: Settings, labelled: set[str]
) -> dict[Config, Sequence[schema.Row]]:
    prompts = splits.assign(new.prompts, existing, settings, labelled)
    splits.check_no_overlap([*existing, *prompts])
    round_number = settings.round
    candidates = [
        c if c.round == round_number else replace(c, round=round_number) for c in new.candidates
    ]
    return {"prompts": prompts, "candidates": candidates}


def _lacked(known: Iterable[schema.Row], rows: Sequence[schema.Row]) -> list[schema.Row]:
    ids = {_id(row) for row in known}
    return [row for row in rows if _id(row) not in ids]


def _new_events(events: Sequence[Event], known: Sequence[Event], round_number: int) -> list[Event]:
    """Return the judgements that do not stand already, each later than what it replaces.

    An id depends on the judgement and on how many the person has made on the pair before, so the
    same file gives the same ids wherever its rows are, and a correction of a correction is new.
    """
    standing = {(e.annotator, e.pair_id, e.aspect): e for e in ledger.standing_judgements(known)}
    times = Counter((e.annotator, e.pair_id, e.aspect) for e in known)
    fresh = []
    for e in events:
        key = e.annotator, e.pair_id, e.aspect
        old = standing.get(key)
        if old and (old.kind, old.chosen) == (e.kind, e.chosen):
            continue
        if key not in times and e.round == round_number:
            fresh.append(e)  # it has the id of a first judgement
            continue
        parts = e.pair_id, e.kind, e.chosen, e.annotator, times[key]
        event_id = digest("import", *parts, *([e.aspect] if e.aspect else []))
        if old:
            following = old.sequence + 1 if old.sequence else None
            e = replace(e, time=_after(old.time, e.time), sequence=following)
        fresh.append(replace(e, event_id=event_id, round=round_number))
    return fresh


def in_aspect(new: Imported, aspect: str | None) -> Imported:
    """Return what is imported with its judgements in the aspect, if one is named."""
    if aspect is None:
        return new
    events = [
        replace(e, aspect=aspect, event_id=digest("import", e.event_id, aspect)) for e in new.events
    ]
    return replace(new, events=events)


def _after(old: str, now: str) -> str:
    """Return `now`, or the millisecond after `old` where a clock runs behind."""
    last, moment = (datetime.fromisoformat(t) for t in (old, now))
    if moment > last:
        return now
    later = (last + timedelta(milliseconds=1)).astimezone(UTC)
    return later.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def lacking(
    project: Project, rows: Mapping[Config, Sequence[schema.Row]], events: EventConfig
) -> dict[str, str]:
    """Return files, by repo path, with those rows of each config that the project lacks.

    Of the config `events`, those are the judgements that do not stand yet.
    """
    files: dict[Config, Sequence[schema.Row]] = {}
    for config, given in rows.items():
        known = project.read(config)
        if config == events:
            judged = [e for e in given if isinstance(e, Event)]
            files[config] = _new_events(judged, project.read(events), project.settings.round)
        else:
            files[config] = _lacked(known, given)
    return _files(files)


def _files(rows: Mapping[Config, Sequence[schema.Row]]) -> dict[str, str]:
    return {ledger.event_file(c): ledger.jsonl(given) for c, given in rows.items() if given}


def _id(row: schema.Row) -> str:
    if isinstance(row, Event):
        return row.event_id
    if isinstance(row, Unpaired):
        return digest(row.prompt, row.completion, row.label, row.annotator)
    return row.pair_id if isinstance(row, Preference) else row.id


def commit_to(project_id: str, message: str, build: Callable[[Project], dict[str, str]]) -> Project:
    """Commit the files that `build` makes from the project; return the project with them."""

    def change(sha: str, paths: list[str]) -> hub.Change[None]:
        return hub.Change(None, message, build(Project.at(project_id, sha, paths)))

    sha, _ = hub.update(project_id, "dataset", change)
    return Project.load(project_id, sha)
