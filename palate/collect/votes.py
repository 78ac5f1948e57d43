"""Import of blind votes that were made elsewhere, such as in a spreadsheet."""

from collections.abc import Mapping
from dataclasses import replace

from palate.collect import importing
from palate.collect.columns import Columns, Template
from palate.collect.importing import Imported
from palate.collect.tables import Table
from palate.core import hub
from palate.core.errors import BadInput, UsageError
from palate.core.project import SETTINGS_FILE, Project, Settings
from palate.core.schema import IMPORTED, Model
from palate.core.splits import normal

BASE = "base"  # the base model's name where nobody recorded it


def votes_of(
    table: Table, columns: Columns, template: Template | None, base: str, tuned: str
) -> Imported:
    """Return prompts (all `eval`), completions and votes; the first text is the base model's.

    `base` is "" where it is not recorded. Without a prompt column, each row gets its own prompt.
    Raises what `importing.labels_of` raises.
    """
    if not (columns.a and columns.b and columns.choice):
        raise UsageError("Votes need --a (the base model's text), --b (the tuned one's), --choice.")
    if template is None and columns.prompt not in table.columns:
        numbers = dict(zip(map(id, table.rows), table.numbers, strict=True))

        def template(row: Mapping[str, object]) -> str:
            return f"Comparison {numbers[id(row)]}"

        columns = replace(columns, prompt=None)
    models = Model(base or BASE, IMPORTED), Model(tuned, IMPORTED)
    new = importing.labels_of(table, columns, template, models=models)
    new.prompts = [replace(p, split="eval") for p in new.prompts]
    return new


def add(project_id: str, new: Imported, message: str) -> Project:
    """Add what the project lacks in one commit; creates the project if needed.

    A new project records no question and no base model, since votes do not say them.
    Raises BadInput for a vote on a prompt that the project trains or tests on.
    """
    if not hub.exists(project_id, "dataset") or (
        SETTINGS_FILE not in hub.describe(project_id, "dataset")[1]
    ):
        importing.start_project(project_id, [], Settings(question="", base_model=""))

    def files(project: Project) -> dict[str, str]:
        known = {normal(p.text): p for p in project.prompts}
        for p in new.prompts:
            other = known.get(normal(p.text))
            if other and other.split != "eval":
                raise BadInput(
                    project_id,
                    f"the prompt {p.text[:80]!r} is in the split {other.split}, so a vote on it"
                    " proves nothing; expected prompts that were never trained on",
                )
        return importing.lacking(
            project,
            {
                "prompts": new.prompts,
                "candidates": new.candidates,
                "evaluations": new.events,
            },
        )

    return importing.commit_to(project_id, message, files)
