"""The evaluation Space: base against tuned on prompts that nobody labelled, blind.

PALATE_PROJECT names the project, HF_TOKEN writes to it, PALATE_SECRET keys pseudonyms and ballots.
"""

import sys

from palate.core.errors import run_guarded
from palate.core.project import Project
from palate.web.ballot.serve import Settings, serve
from palate.web.ballot.voting import EvaluateBallot


def make(settings: Settings) -> EvaluateBallot:
    project = Project.load(settings.project)
    return EvaluateBallot(project, settings.secret, settings.pause, settings.memory)


if __name__ == "__main__":
    sys.exit(run_guarded(lambda: serve("evaluate", make)))
