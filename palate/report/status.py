"""The loop's steps for a terminal."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from palate.core import hub
from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rounds import by_aspect, offered, unasked, wild_wins
from palate.core.schema import model_of
from palate.label.agreement_text import across
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


def in_aspects(project: Project) -> list[str]:
    """Return the judgements in each aspect, where aspects contradict, and what counts nowhere."""
    lines, said = list[str](), {}
    for one in by_aspect(project) if project.aspect else ():
        said[one.aspect or ""] = standing = standing_judgements(one.labels)
        kinds = Counter(e.kind for e in standing)
        choices = count(kinds["label"] + kinds["rewrite"], "choice")
        parts = f"{count(kinds['tie'], 'tie')}, {kinds['both_bad']:,} both bad"
        lines.append(f"{one.aspect}: {choices}, {parts}, {count(kinds['skip'], 'skip')}.")
    if any(said.values()):
        lines += across(said)
    keys = [{(e.annotator, e.pair_id) for e in events} for events in said.values()]
    if keys and (half := len(set.union(*keys)) - len(set.intersection(*keys))):
        were = "was" if half == 1 else "were"
        lines.append(f"{count(half, 'judged pair')} {were} judged in some aspects only.")
    for what, n in unasked(project).items():
        asked = "names no aspects" if not project.aspect else f"asks about {', '.join(said)}"
        lines.append(f"Not counted: {count(n, 'judgement')} on {what}. palate.toml {asked}.")
    return lines


def in_the_wild(project: Project) -> list[str]:
    """Return what came of people who tried the models: their choices, and prompts they gave."""
    votes = project.people.counted(project.read("wild"))
    if not votes:
        return []
    wins = wild_wins(votes, {model_of(c) for c in project.candidates if c.model})
    by_repo = Counter[str]()
    for model, n in wins.items():
        by_repo[model.repo] += n
    if others := len({e.event_id for e in votes}) - wins.total():
        by_repo["another model"] = others
    parts = ", ".join(f"{repo} {count(n, 'time')}" for repo, n in by_repo.most_common())
    lines = [f"On the try page people chose: {parts}. No verdict counts these votes."]
    if prompts := offered(project):
        were = "was" if len(prompts) == 1 else "were"
        command = f"palate prompts {project.id} --offered"
        lines.append(f"{count(len(prompts), 'prompt')} {were} offered: {command}")
    return lines
