"""A project's rounds: which model each has, which model writes, which eval prompts are fresh."""

from palate.core import hub
from palate.core.project import Project
from palate.core.schema import Prompt


def round_tag(number: int) -> str:
    """Return the tag of a model that was trained in the round."""
    return f"round-{number}"


def trained_in(project: Project, number: int) -> str | None:
    """Return the commit of the model that was trained in a round, or None."""
    return hub.tags(project.model_repo, "model").get(round_tag(number))


def writer_of(project: Project) -> str:
    """Return the model that writes this round's candidates: the last round's, or the base model."""
    last = project.settings.round - 1
    if last < 1 or trained_in(project, last) is None:
        return project.settings.base_model
    return f"{project.model_repo}@{round_tag(last)}"


def fresh_eval(project: Project) -> list[Prompt]:
    """Return the eval prompts that nobody voted on in an earlier round: what this one asks about.

    A verdict on prompts that chose what came after would flatter it.
    """
    number = project.settings.round
    used = {e.prompt_id for e in project.evaluations if e.round < number}
    return [p for p in project.prompts if p.split == "eval" and p.id not in used]
