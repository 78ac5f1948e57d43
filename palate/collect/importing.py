"""What people already have into a project: prompts, and labels that were made elsewhere."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from palate.collect import splits
from palate.collect.tables import Table
from palate.core import hub, ledger
from palate.core.errors import BadInput, UsageError
from palate.core.project import SETTINGS_FILE, Project, Settings, check_id, unique
from palate.core.schema import Candidate, Config, Event, Pair, Prompt, digest

A = {"a", "0", "left", "first", "model_a", "false"}
B = {"b", "1", "right", "second", "model_b", "true"}
ROLES = ("system", "user", "assistant")
Template = Callable[[dict[str, Any]], str]


@dataclass(frozen=True)
class Columns:
    """Which columns of a file hold what: two texts and a choice, or chosen and rejected."""

    prompt: str | None = "prompt"
    a: str | None = None
    b: str | None = None
    choice: str | None = None
    chosen: str = "chosen"
    rejected: str = "rejected"

    def check(self, table: Table) -> bool:
        """Return whether the file is a `chosen`/`rejected` one; raise where columns lack."""
        given = [c is not None for c in (self.a, self.b, self.choice)]
        if any(given) and not all(given):
            raise UsageError("Give --a, --b and --choice together, or none of them.")
        if all(given):
            table.need(*(c for c in (self.prompt, self.a, self.b, self.choice) if c))
            return False
        if self.chosen not in table.columns:
            raise UsageError(
                f"{table.source} has no columns chosen and rejected; found:"
                f" {', '.join(table.columns)}. Say which hold the two texts and the choice:"
                " --prompt COL --a COL --b COL --choice COL"
            )
        table.need(self.chosen, self.rejected)
        return True


@dataclass
class Imported:
    """What an import adds to a project, and what it met on the way."""

    prompts: list[Prompt]
    candidates: list[Candidate]
    events: list[Event]
    notes: Counter = field(default_factory=Counter)


def template_of(text: str, table: Table) -> Template:
    """Return a function that fills `{column}` in the text with a row's values."""
    names = [n for n in re.findall(r"\{([^{}\n]+)\}", text) if n in table.columns]
    if not names:
        have = ", ".join("{" + c + "}" for c in table.columns)
        raise UsageError(f"The template names no column of {table.source}; it has: {have}")
    pattern = re.compile("|".join(re.escape("{" + n + "}") for n in names))
    return lambda row: pattern.sub(lambda m: str(row[m[0][1:-1]]), text).strip()


def prompts_of(table: Table, column: str | None = None, template: Template | None = None):
    """Return one Prompt for each row, without repeats. Raises BadInput for an empty one."""
    if template is None:
        column = table.name_of(
            column or (table.columns[0] if len(table.columns) == 1 else "prompt")
        )
    result = [
        Prompt.of(template(row) if template else _messages(row[column or ""], table, n, column))
        for row, n in zip(table.rows, table.numbers, strict=True)
    ]
    return unique(result)


def labels_of(
    table: Table,
    columns: Columns,
    template: Template | None,
    annotator: str = "imported",
    models: Sequence[Any] = (None, None),
) -> Imported:
    """Return prompts, candidates and label events of a table of labelled pairs.

    Raises BadInput naming the row and field where a text is empty, both are the same, or the
    choice is neither of the two. Event ids depend on the content alone: the same file imported
    twice adds nothing. `models` wrote the first and the second text (repo and revision), if known.
    """
    preference_file = columns.check(table)
    result = Imported([], [], [])
    start = datetime.now(UTC)
    seen: Counter = Counter()
    for i, (row, number) in enumerate(zip(table.rows, table.numbers, strict=True)):
        read = _read_preference if preference_file else _read_choice
        messages, left, right, choice = read(table, row, number, columns, template)
        prompt = Prompt.of(messages)
        a, b = (
            Candidate.of(prompt.id, text, model=m and m.repo, revision=m and m.revision)
            for text, m in zip((left, right), models, strict=True)
        )
        pair = Pair.of(a, b)
        chosen = {"left": a.id, "right": b.id}.get(choice)
        key = (pair.id, a.id, chosen)
        seen[key] += 1
        time = (start + timedelta(milliseconds=i)).isoformat(timespec="milliseconds")
        result.prompts.append(prompt)
        result.candidates += [a, b]
        result.events.append(
            Event(
                event_id=digest("import", *key, seen[key]),
                kind="label" if chosen else "tie",
                pair_id=pair.id,
                prompt_id=prompt.id,
                left=a.id,
                right=b.id,
                chosen=chosen,
                strength=None,
                annotator=annotator,
                milliseconds=None,
                time=time.replace("+00:00", "Z"),
                round=1,
                via="import",
            )
        )
    result.prompts, result.candidates = unique(result.prompts), unique(result.candidates)
    repeats = len(result.events) - len({e.pair_id for e in result.events})
    if repeats:
        result.notes["judge a pair that an earlier row judged: the last one stands"] = repeats
    return result


def _read_choice(table: Table, row: dict, number: int, columns: Columns, template):
    a, b, choice = columns.a or "", columns.b or "", columns.choice or ""
    left, right = (_text(row[c], table, number, c) for c in (a, b))
    _differ(left, right, table, number, a, b)
    value = str(row[choice]).strip()
    low = value.casefold().removesuffix(".0")
    if low in A or value in (a, left):
        side = "left"
    elif low in B or value in (b, right):
        side = "right"
    elif low.startswith("tie"):
        side = "tie"
    else:
        raise BadInput(
            table.source,
            f"expected a or 0 for {a!r}, b or 1 for {b!r}, or tie; found {value[:60]!r}",
            row=number,
            field=choice,
        )
    return _prompt(table, row, number, columns, template), left, right, side


def _read_preference(table: Table, row: dict, number: int, columns: Columns, template):
    before, chosen = _completion(row[columns.chosen], table, number, columns.chosen)
    _, rejected = _completion(row[columns.rejected], table, number, columns.rejected)
    _differ(chosen, rejected, table, number, columns.chosen, columns.rejected)
    if template is None and columns.prompt not in table.columns:
        if not before:
            raise BadInput(table.source, "there is no such column", row=number, field="prompt")
        messages = before
    else:
        messages = _prompt(table, row, number, columns, template)
    # such files do not say which side the chosen one was shown on: let its hash decide
    if int(digest(messages, *sorted((chosen, rejected))), 16) & 1:
        return messages, chosen, rejected, "left"
    return messages, rejected, chosen, "right"


def _prompt(table: Table, row: dict, number: int, columns: Columns, template) -> Any:
    if template:
        return template(row)
    table.need(columns.prompt or "prompt")
    return _messages(row[columns.prompt], table, number, columns.prompt)


def _completion(value: Any, table: Table, number: int, column: str) -> tuple[list, str]:
    """Return the messages before the last one, and the last one's text."""
    if isinstance(value, list):
        messages = _messages(value, table, number, column)
        return messages[:-1], _text(messages[-1]["content"], table, number, column)
    return [], _text(value, table, number, column)


def _messages(value: Any, table: Table, number: int, column: str | None) -> Any:
    if isinstance(value, str):
        return _text(value, table, number, column)
    if not isinstance(value, list) or not value:
        found = type(value).__name__
        raise BadInput(
            table.source, f"expected text or chat messages, found {found}", row=number, field=column
        )
    for m in value:
        ok = isinstance(m, dict) and m.get("role") in ROLES and isinstance(m.get("content"), str)
        if not ok:
            raise BadInput(
                table.source,
                f"expected messages with role ({', '.join(ROLES)}) and content, found {m!r:.80}",
                row=number,
                field=column,
            )
    return [{"role": m["role"], "content": m["content"]} for m in value]


def _text(value: Any, table: Table, number: int, column: str | None) -> str:
    if not isinstance(value, str) or not value.strip():
        found = "nothing" if value in (None, "") else repr(value)[:60]
        raise BadInput(table.source, f"expected text, found {found}", row=number, field=column)
    return value.strip()


def _differ(x: str, y: str, table: Table, number: int, a: str, b: str) -> None:
    if x == y:
        raise BadInput(
            table.source,
            f"the same text is on both sides ({x[:60]!r}), so neither can be preferred",
            row=number,
            field=f"{a}, {b}",
        )


def start_project(
    project_id: str, prompts: Sequence[Prompt], settings: Settings, *, public: bool = False
) -> Project:
    """Make the project, or add to it the prompts that it lacks; each gets its split here."""
    check_id(project_id)
    made = hub.create(project_id, "dataset", private=not public)
    if not made and SETTINGS_FILE in hub.describe(project_id, "dataset")[1]:
        return add(project_id, Imported(list(prompts), [], []), "Add prompts")
    fresh = splits.assign(prompts, [], test=settings.test, eval=settings.eval, seed=settings.seed)
    splits.check_no_overlap(fresh)
    files = {SETTINGS_FILE: settings.dump()}
    if fresh:
        files["prompts/0001.jsonl"] = ledger.jsonl(fresh)
    hub.commit(project_id, "dataset", files, f"Start the project with {len(fresh)} prompts")
    return Project.load(project_id)


def add(project_id: str, new: Imported, message: str) -> Project:
    """Add in one commit what the project lacks."""

    def files(project: Project) -> dict[str, str]:
        s, have = project.settings, project.prompts
        prompts = splits.assign(new.prompts, have, test=s.test, eval=s.eval, seed=s.seed)
        splits.check_no_overlap([*have, *prompts])
        candidates = [replace(c, round=s.round) for c in new.candidates]
        events = [replace(e, round=s.round) for e in new.events]
        return lacking(project, {"prompts": prompts, "candidates": candidates, "labels": events})

    return commit_to(project_id, message, files)


def lacking(project: Project, rows: Mapping[Config, Sequence[Any]]) -> dict[str, str]:
    """Return the files, by repo path, that add those rows of each config that are not there."""
    files = {}
    for config, some in rows.items():
        key = "event_id" if config in ("labels", "evaluations") else "id"
        have = {getattr(row, key) for row in project.read(config)}
        if fresh := [row for row in some if getattr(row, key) not in have]:
            files[ledger.event_file(config)] = ledger.jsonl(fresh)
    return files


def commit_to(project_id: str, message: str, build: Callable[[Project], dict[str, str]]) -> Project:
    """Commit the files that `build` makes from the project; return the project with them."""

    def change(sha: str, paths: list[str]) -> hub.Change[None]:
        return hub.Change(None, message, build(Project.at(project_id, sha, paths)))

    sha, _ = hub.update(project_id, "dataset", change)
    return Project.load(project_id, sha)


def read_template(path: Path | None, table: Table) -> Template | None:
    """Return the template in a file, or None without one."""
    if path is None:
        return None
    try:
        return template_of(path.read_text("utf-8"), table)
    except FileNotFoundError:
        raise UsageError(f"There is no template file {path}.") from None
