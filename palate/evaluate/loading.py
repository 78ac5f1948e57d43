"""An evaluation as the Hub has it: the pairs of a project, and its votes.

The one module of evaluate/ that reads the Hub, through the project it is given.
"""

from dataclasses import replace

from palate.core.errors import PalateError
from palate.core.project import Project
from palate.core.splits import check_evaluation
from palate.evaluate.contest import EvaluationPairs, evaluation_pairs, other_pairs
from palate.evaluate.counting import count_votes
from palate.evaluate.verdict import MARGIN, Verdict, planned


def pairs_to_compare(project: Project) -> EvaluationPairs:
    """Return what the project compares; the newest completions of its model count.

    Raises UsageError where completions are missing, PalateError where an `eval` prompt, or one
    much like it, was trained on.
    """
    prompts, candidates = project.prompts, project.candidates
    check_evaluation(prompts, project.preferences)
    newest = evaluation_pairs(prompts, candidates, project.model_repo, project.id)
    if project.settings.compare == "newest":
        return newest
    return replace(newest, others=other_pairs(newest, prompts, candidates))


def project_verdict(
    project: Project, margin: float = MARGIN, characters: tuple[int, int] | None = None
) -> Verdict:
    """Return the verdict of all standing votes; raises PalateError without one."""
    compared = pairs_to_compare(project)
    verdict = count_votes(
        project.evaluations, project.candidates, compared, margin=margin, characters=characters
    )
    if verdict is None:
        tuned, prompts = compared.tuned, {p.prompt_id for p in compared.pairs}
        raise PalateError(
            f"Nobody has voted on {tuned.repo} at {tuned.revision[:7]} yet."
            f" Vote with: palate evaluate {project.id}. {planned(len(prompts))}"
        )
    return verdict
