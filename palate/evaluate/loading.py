"""An evaluation as the Hub has it: the pairs of a project, and its votes.

The one module of evaluate/ that reads the Hub, through the project it is given.
"""

from dataclasses import replace

from palate.core.errors import PalateError
from palate.core.project import EVAL_PROMPTS, Project
from palate.core.rounds import by_aspect, in_all_aspects
from palate.core.schema import IMPORTED
from palate.core.splits import check_evaluation
from palate.evaluate.contest import (
    EvaluationPairs,
    evaluation_pairs,
    other_pairs,
    round_on_prompts,
)
from palate.evaluate.counting import count_by_aspect
from palate.evaluate.decision import MARGIN
from palate.evaluate.planning import planned, shortage
from palate.evaluate.verdict import Verdict


def pairs_to_compare(project: Project) -> EvaluationPairs:
    """Return what the project compares; the newest completions of its model count.

    Raises UsageError where completions are missing, PalateError where an `eval` prompt, or one
    much like it, was trained on.
    """
    prompts, candidates = project.prompts, project.candidates
    check_evaluation(prompts, project.read("preferences"))
    newest = evaluation_pairs(prompts, candidates, project.model_repo, project.id)
    if project.settings.compare == "newest":
        return newest
    return replace(newest, others=other_pairs(newest, prompts, candidates))


def is_arena(project: Project) -> bool:
    """Tell whether the votes compare models of which none is the project's."""
    models = {c.id: c.model for c in project.candidates}
    votes = in_all_aspects(project, "evaluations")
    names = {models.get(c) for e in votes for c in (e.left, e.right)} - {None}
    return len(names) > 2 and not any(c.model == project.model_repo for c in project.candidates)


def plan_of(project: Project, compared: EvaluationPairs) -> str:
    """Return what a verdict takes, what the prompts compared can show, and what adds more."""
    votes = project.people.counted(project.read("evaluations"))  # in every aspect
    number = round_on_prompts(votes, project.candidates, compared)
    there = planned(len({p.prompt_id for p in compared.pairs}), number)
    return f"{there} {shortage(project.id, project.settings, project.prompts)}".rstrip()


def plan_of_completions(project: Project) -> str:
    """Return the plan for the newest completions, or why they cannot be compared."""
    try:
        return plan_of(project, pairs_to_compare(project))
    except PalateError as error:
        return str(error)


def next_step(project: Project, verdict: Verdict) -> str | None:
    """Return the commands that bring an open comparison further; None where none can.

    After an import of votes there are no models here that could answer more prompts.
    """
    is_open = [v for v in (verdict, *verdict.others) if v.decision == "open"]
    if not is_open or verdict.tuned.revision == IMPORTED:
        return None
    voted = [{e.pair_id for e in one.evaluations} for one in by_aspect(project)]
    if any(pair.id not in set.intersection(*voted) for pair in pairs_to_compare(project).pairs):
        return f"palate evaluate {project.id}"
    ahead = is_open[0].ahead
    number = (ahead and (ahead.most or ahead.half)) or EVAL_PROMPTS
    return f"palate prompts {project.id} --write {number}, then palate completions {project.id}"


def project_verdict(
    project: Project, margin: float = MARGIN, characters: tuple[int, int] | None = None
) -> Verdict:
    """Return the verdict of all standing votes, by aspect; raises PalateError without one."""
    compared = pairs_to_compare(project)
    verdict = count_by_aspect(
        project.people.counted(project.read("evaluations")),
        project.candidates,
        compared,
        project.settings.aspects,
        margin=margin,
        characters=characters,
    )
    if verdict is None:
        tuned = compared.tuned
        raise PalateError(
            f"Nobody has voted on {tuned.repo} at {tuned.revision[:7]} yet."
            f" Vote with: palate evaluate {project.id}. {plan_of(project, compared)}"
        )
    return verdict
