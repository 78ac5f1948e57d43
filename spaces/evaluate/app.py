"""The evaluation Space: base and tuned model, compared blind on prompts that nobody labelled.

PALATE_PROJECT names the project, HF_TOKEN writes to it, and PALATE_SECRET is the key of pseudonyms
and assignments.
"""

import sys

from palate.core.errors import run_guarded
from palate.core.project import Project
from palate.web.ballot.serve import Settings, serve
from palate.web.voting import result
from palate.web.voting.ballot import EvaluateBallot


def make(settings: Settings) -> EvaluateBallot:
    project = Project.load(settings.project)
    return EvaluateBallot(project, settings.secret, settings.pause, settings.memory)


if __name__ == "__main__":
    sys.exit(run_guarded(lambda: serve("evaluate", make, result.routes)))
