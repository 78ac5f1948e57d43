"""The next round of a project: a commit that raises `round` in its settings."""

import re

from palate.core import hub
from palate.core.errors import BadInput, UsageError
from palate.core.project import SETTINGS_FILE, Project, Settings, check_id
from palate.core.rounds import trained_in
from palate.core.typed import read_text
from palate.report import status

ROUND = re.compile(r"(?m)^(\s*round\s*=\s*)\d+")


def begin(project_id: str) -> int:
    """Raise the project's round and return it; UsageError if this one has no trained model."""
    check_id(project_id)

    def change(sha: str, paths: list[str]) -> hub.Change[int]:
        project = Project.at(project_id, sha, paths)
        number = project.settings.round
        if trained_in(project, number) is None:
            steps = status.steps(project)
            following = next(step.command for step in steps if not step.done)
            raise UsageError(
                f"Round {number} of {project_id} has no trained model yet, and a round begins with"
                f" the model of the one before. Next: {following}"
            )
        (file,) = hub.fetch(project_id, "dataset", sha, [SETTINGS_FILE])
        text = with_round(read_text(file, f"{project_id}/{SETTINGS_FILE}"), number + 1)
        return hub.Change(number + 1, f"Begin round {number + 1}", {SETTINGS_FILE: text})

    return hub.update(project_id, "dataset", change)[1]


def with_round(settings: str, number: int) -> str:
    """Return the TOML text with another round, and all else in it as it was."""
    changed, found = ROUND.subn(rf"\g<1>{number}", settings, count=1)
    text = changed if found else f"{settings.rstrip()}\nround = {number}\n"
    if Settings.parse(text).round != number:
        problem = f"expected a line `round = {number - 1}` and found none. Change it to {number}"
        raise BadInput(SETTINGS_FILE, problem, field="round")
    return text
