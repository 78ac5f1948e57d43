"""Measure what tuning cost, and put it on the model's card."""

from palate.check.config import CheckArguments
from palate.check.job import check, text_of
from palate.check.losses import FILE
from palate.core import hub
from palate.core.project import Project
from palate.report.model_card import push_model_card
from palate.terminal.console import PlainConsole


def write_check(args: CheckArguments) -> None:
    """Check base and tuned model, print what differs, and renew the card of the project's model."""
    console = PlainConsole()
    result = check(console, args)
    for ability in result.abilities:
        style = "yellow" if ability.known == "lost" else ""
        alarm = "  alarm: " if ability.known == "lost" else "  "
        console.print(f"{alarm}{ability.sentence()}", style=style)
    project = Project.load(args.project)
    repo = project.model_repo
    if result.tuned.repo != repo:
        if result.tuned.repo.startswith(f"{project.id}-"):  # for `palate compare`
            hub.commit(result.tuned.repo, "model", {FILE: text_of(result)}, "Add what tuning cost")
        console.print(f"The card is that of {repo}, so it is left as it was.")
        return
    hub.commit(repo, "model", {FILE: text_of(result)}, "Add what tuning cost")
    console.print(f"card: {push_model_card(args.project)}")
