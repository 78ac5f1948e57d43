"""Commands that show results: where a project is, how people label and vote, what ran."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from palate.commands.common import AsJson, Id, console, show_status
from palate.core.errors import UsageError
from palate.core.markdown import count
from palate.terminal.flags import flag

if TYPE_CHECKING:
    from palate.core.project import Project
    from palate.evaluate.verdict import Verdict

INTERVAL = (
    "The 95% interval is where the rate on other prompts like these may be, for the same voters."
    " Intervals made this way are right in at least 95% of evaluations, however often one looks."
)


def status(project: Id) -> None:
    """Show where a project is in the loop, and what to run next."""
    from palate.core.project import Project

    show_status(Project.load(project))


def agreement(project: Id, as_json: AsJson = False) -> None:
    """Show how people label: agreement, self-consistency, position and length bias, haste.

    People appear under their pseudonyms. The owner's page of the label Space shows their names.
    """
    from palate.core.project import Project
    from palate.core.rounds import by_aspect
    from palate.label.agreement import report
    from palate.label.agreement_text import sentences, table
    from palate.report.status import in_aspects

    loaded = Project.load(project)
    results = {p.aspect: report(p.labels, p.candidates) for p in by_aspect(loaded)}
    if as_json:
        content = {aspect: result.to_json() for aspect, result in results.items()}
        content = {"aspects": content} if loaded.aspect else content[None]
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return
    excluded = len(loaded.people.excluded & {e.annotator for e in loaded.read("labels")})
    for aspect, result in results.items():
        if aspect:
            console.print(f"{aspect}:", style="bold")
        for sentence in sentences(result):
            console.print(sentence)
        if excluded:
            console.print(f"Not counted: {count(excluded, 'person', 'people')} whom you excluded.")
        if result.people:
            console.print(table(result))
    for line in in_aspects(loaded):
        console.print(line)


def verdict(
    project: Id,
    margin: float = 0.1,
    characters: Annotated[tuple[int, int] | None, flag("LOW HIGH")] = None,
    as_json: AsJson = False,
) -> None:
    """Count the blind votes, print the verdict and put it on the model's card.

    The rule behind "decided" allows you to look after every vote. Later rounds on the same prompts
    need clearer votes. The report also says how far other prompts and people might change the win
    rate, and what besides quality may explain it. Votes on several models give ratings.

    Args:
        margin: A win rate this close to one half counts as no difference.
        characters: Count each model's answers whose length is within this range.
    """
    from palate.core.project import Project
    from palate.evaluate.loading import is_arena, next_step, project_verdict
    from palate.evaluate.ratings import figures, ratings, table
    from palate.report.publish import publish_verdict

    loaded = Project.load(project)
    if is_arena(loaded):
        _print_ratings(loaded, as_json)
        return
    result = project_verdict(loaded, margin, characters)
    rated = ratings(loaded.evaluations, loaded.candidates, result.base)
    url = publish_verdict(loaded, result) if loaded.is_trained() else None
    if as_json:
        print(json.dumps(figures(result, rated), indent=2, ensure_ascii=False))
        return
    _print_verdict(result, table(rated))
    if following := next_step(loaded, result):
        console.print(f"Next: {following}")
    no_card = f"no card: {loaded.model_repo} holds no model that palate trained"
    console.print(f"card: {url}" if url else no_card)


def _print_verdict(result: "Verdict", ratings: Sequence[str]) -> None:
    for part in (result, *result.others) if result.aspect else ():
        console.print(f"{part.aspect}: {part.sentence()}", markup=False)
        console.print(f"  {part.meaning()}", markup=False)
    name = f" in the aspect {result.aspect}" if result.aspect else ""
    console.print(f"verdict{name}: {result.sentence()}")
    decided_by = result.confounds.sentences() if result.confounds else []
    interval = [INTERVAL] if result.known else []
    for line in (result.meaning(), *interval, *result.cautions(), *decided_by, *ratings):
        console.print(f"  {line}", markup=False)


def _print_ratings(project: "Project", as_json: bool) -> None:
    from palate.evaluate.ratings import ratings, table

    rated = ratings(project.evaluations, project.candidates)
    if as_json:
        print(json.dumps({"ratings": [asdict(one) for one in rated]}, ensure_ascii=False))
    else:
        console.print("\n".join(table(rated)), markup=False)


def card(project: Id) -> None:
    """Render the cards of dataset and model again and push them."""
    from palate.core import hub
    from palate.core.project import Project
    from palate.report.dataset_card import push_dataset_card
    from palate.report.model_card import push_model_card

    console.print(f"dataset card: {push_dataset_card(project)}")
    repo = Project.load(project).model_repo
    if hub.exists(repo, "model"):
        console.print(f"model card: {push_model_card(project)}")
    else:
        console.print(f"no model yet: palate train {project}")


def jobs(
    project: Id,
    follow: Annotated[str | None, flag("ID")] = None,
    cancel: Annotated[str | None, flag("ID")] = None,
) -> None:
    """List what ran on HF Jobs for a project: when, where, how long, at what cost, how it ended.

    Example: palate train me/titles --on hf, then Ctrl-C, then palate jobs me/titles --follow ID

    Args:
        follow: Show the log of the job with this id until it ends. Ctrl-C leaves it running.
        cancel: Cancel the job with this id.
    """
    from palate.core.project import check_id
    from palate.label.steps import jobs_of
    from palate.run import hf_jobs

    check_id(project)
    if follow and cancel:
        raise UsageError("--follow and --cancel do not go together.")
    if follow:
        hf_jobs.follow(console, project, hf_jobs.job_with(project, follow))
    elif cancel:
        console.print(hf_jobs.cancel(project, cancel))
    elif listed := jobs_of(project):
        console.print(hf_jobs.table(project, listed))
    else:
        console.print(f"Nothing ran on HF Jobs yet. Start with: palate train {project} --on hf")
