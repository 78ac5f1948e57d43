"""Import of blind votes that were made elsewhere, such as in a spreadsheet."""

from dataclasses import replace

from palate.collect import importing, labels
from palate.collect.columns import Columns
from palate.collect.importing import Imported
from palate.collect.pairs import Rows
from palate.core.errors import BadInput, UsageError
from palate.core.project import Project, Settings
from palate.core.schema import IMPORTED, Model
from palate.core.splits import normal

BASE = "base"  # the base model's name where nobody recorded it


def votes_of(data: Rows, base: str, tuned: str, *, skip: bool = False) -> Imported:
    """Return prompts (all `eval`), completions and votes; the first text is the base model's.

    `base` is "" where it is not recorded. Raises what `labels.labels_of` raises.
    """
    if not data.sided:
        raise UsageError("Votes need --a (the base model's text), --b (the tuned one's), --choice.")
    models = Model(base or BASE, IMPORTED), Model(tuned, IMPORTED)
    new = labels.labels_of(data, models=models, skip=skip)
    new.prompts = [replace(p, split="eval") for p in new.prompts]
    return new


def check(columns: Columns) -> None:
    """Raise UsageError unless the columns say whose text is whose."""
    if not (columns.a and columns.b and columns.choice):
        raise UsageError("Votes need --a (the base model's text), --b (the tuned one's), --choice.")


def add(project_id: str, new: Imported, message: str) -> Project:
    """Add what the project lacks in one commit; creates the project if needed.

    A new project records no question and no base model, since votes do not say them.
    Raises BadInput for a vote on a prompt that the project trains or tests on.
    """
    if not importing.exists(project_id):
        importing.start_project(project_id, [], Settings(question="", base_model=""))
    new = importing.without_forgotten(project_id, new)

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
            "evaluations",
        )

    return importing.commit_to(project_id, message, files)
