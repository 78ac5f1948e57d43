"""The next round of a project: a commit that raises `round` in its settings."""

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.project import SETTINGS_FILE, Project, check_id
from palate.core.rounds import trained_in, with_setting
from palate.core.typed import read_text
from palate.label.steps import following, steps


def begin(project_id: str) -> int:
    """Raise the project's round and return it; UsageError if this one has no trained model."""
    check_id(project_id)

    def change(sha: str, paths: list[str]) -> hub.Change[int]:
        project = Project.at(project_id, sha, paths)
        number = project.settings.round
        if trained_in(project, number) is None:
            step = following(steps(project))
            command = step.command if step else f"palate train {project_id}"
            raise UsageError(
                f"Round {number} of {project_id} has no trained model yet, and a round begins with"
                f" the model of the one before. Next: {command}"
            )
        (file,) = hub.fetch(project_id, "dataset", sha, [SETTINGS_FILE])
        before = read_text(file, f"{project_id}/{SETTINGS_FILE}")
        text = with_setting(before, "round", number + 1)
        return hub.Change(number + 1, f"Begin round {number + 1}", {SETTINGS_FILE: text})

    return hub.update(project_id, "dataset", change)[1]
