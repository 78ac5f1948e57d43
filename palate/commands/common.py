"""What the commands share: types of their flags, and the console they print to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from palate.terminal.console import PlainConsole
from palate.terminal.flags import flag

if TYPE_CHECKING:
    from palate.core.project import Project

Id = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="OWNER/NAME", help="Project, a dataset repo on the Hub."),
]
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
Values = Annotated[tuple[str, ...], flag("VALUE")]
Column = Annotated[str | None, flag("COLUMN")]
ColumnNames = Annotated[tuple[str, ...], flag("COLUMN")]
File = Annotated[Path | None, flag("FILE")]
Folder = Annotated[Path | None, flag("FOLDER")]
AsJson = Annotated[bool, tyro.conf.arg(name="json", help="Print all figures as JSON.")]
Host = Annotated[
    str,
    tyro.conf.arg(
        metavar="ADDRESS",
        help="Address to listen on. Any address but loopback opens it to the network.",
    ),
]
console = PlainConsole()


def show_status(project: "Project") -> None:
    """Print where the project is in the loop, and what to run next."""
    from palate.label.steps import steps
    from palate.report.status import in_aspects, in_the_wild, picture

    console.print(picture(project, steps(project)))
    for line in [*in_aspects(project), *in_the_wild(project)]:
        console.print(line)


def show_missing_model(project: "Project") -> None:
    """Say that the Hub lacks the project's base model, and how to bring it."""
    from palate.core import hub
    from palate.core.hub_errors import missing_model

    model = project.settings.base_model
    if not hub.exists(model.partition("@")[0], "model"):
        console.print(f"\n{missing_model(model)}", markup=False)


def show_plan(project: "Project") -> None:
    """Print what a verdict takes, what the eval prompts there can show, and what adds more."""
    from palate.evaluate.planning import planned, shortage

    plan = planned(sum(p.split == "eval" for p in project.prompts))
    more = shortage(project.id, project.settings, project.prompts)
    console.print(f"\nblind comparison: {plan} {more}".rstrip())
