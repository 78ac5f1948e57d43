"""`palate round`: the loop goes round again."""

from typing import Annotated

from palate.commands.common import Id, console, show_status
from palate.core.errors import UsageError
from palate.terminal.flags import Count, flag


def round_(
    project: Id,
    when: Count = None,
    flavor: Annotated[str | None, flag("NAME")] = None,
    yes: bool = False,
) -> None:
    """Begin the next round of a project, once this one has a trained model.

    Raises `round` in palate.toml. From then on `palate candidates` lets the newest model write, and
    its answers are compared with the best of earlier rounds; only new pairs are asked. Training
    sees the labels of all rounds and starts from the base model, or from the last round's with
    --base-model. The blind comparison takes eval prompts that have no votes yet.

    With --when 200, the round stays as it is: a webhook of the Hub starts `palate train` on HF Jobs
    as soon as there are 200 labels that the newest model has not seen.

    Example: palate round me/titles --when 200

    Args:
        when: New labels after which a training starts. 0 turns this off. Default: begin a round.
        flavor: Machine of that training. Default: chosen by its size.
        yes: Do not ask first. The trainings cost money.
    """
    from palate.core.project import Project
    from palate.report.next_round import begin
    from palate.run import watch

    if when is None and (flavor or yes):
        raise UsageError("--flavor and --yes need --when.")
    if when:
        watch.begin(console, project, when, flavor, yes=yes)
    elif when == 0:
        ended = watch.end(project)
        console.print("the webhook is deleted" if ended else f"{project} has no webhook")
    else:
        number = begin(project)
        console.print(f"{project} is in round {number}")
        show_status(Project.load(project))
