"""The loop's steps for a terminal."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from palate.core import hub
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rounds import offered, wild_wins
from palate.core.schema import model_of
from palate.label.steps import Step, following


def picture(project: Project, loop: Sequence[Step]) -> Group:
    """Return the loop for a terminal: a line per step, the next one marked."""
    coming = following(loop)
    table = Table.grid(padding=(0, 2))
    for step in loop:
        mark, style = ("●", "green") if step.done else ("○", "dim")
        if step is coming:
            mark, style = "▶", "bold yellow"
        facts = Text(step.facts, "" if step.done else "dim")
        table.add_row(Text(f"{mark} {step.name}", style), facts)
    number = f", round {project.settings.round}" if project.settings.round > 1 else ""
    where = f"  at {project.revision[:7]} on {hub.endpoint()}{number}"
    title = Text.assemble((project.id, "bold"), where)
    command = coming.command if coming else f"palate round {project.id}"
    label = "next" if coming else "next round"
    return Group(
        title, Text(""), table, Text(""), Text.assemble(f"{label}: ", (command, "bold cyan"))
    )


def in_the_wild(project: Project) -> list[str]:
    """Return what came of people who tried the models: their choices, and prompts they gave."""
    votes = project.people.counted(project.read("wild"))
    if not votes:
        return []
    wins = wild_wins(votes, {model_of(c) for c in project.candidates if c.model})
    by_repo = Counter[str]()
    for model, n in wins.items():
        by_repo[model.repo] += n
    parts = ", ".join(f"{repo} {count(n, 'time')}" for repo, n in by_repo.most_common())
    lines = [f"On the try page people chose: {parts}. No verdict counts these votes."]
    if prompts := offered(project):
        were = "was" if len(prompts) == 1 else "were"
        command = f"palate prompts {project.id} --offered"
        lines.append(f"{count(len(prompts), 'prompt')} {were} offered: {command}")
    return lines
