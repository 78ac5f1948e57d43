"""`palate round`: the loop goes round again."""

from palate.commands.common import Id, console, show_status


def round_(project: Id) -> None:
    """Begin the next round of a project, once this one has a trained model.

    Raises `round` in palate.toml by a commit. From then on `palate candidates` lets the newest
    model write, and the best answer of the rounds before meets what it writes; only new pairs are
    asked. Training sees the labels of all rounds and starts from the base model, or from the last
    round's with --base-model. The blind comparison takes eval prompts that have no votes yet.

    Example: palate round me/titles
    """
    from palate.core.project import Project
    from palate.report.next_round import begin

    number = begin(project)
    console.print(f"{project} is in round {number}")
    show_status(Project.load(project))
