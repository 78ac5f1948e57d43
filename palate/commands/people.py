"""Commands about one person who labelled or voted: their answers do not count, or are deleted."""

from typing import TYPE_CHECKING, Annotated

import tyro

from palate.commands.common import Id, console
from palate.core.markdown import count

if TYPE_CHECKING:
    from palate.web.forgetting import Belongings

Who = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="NAME", help="The person's name, or their pseudonym."),
]


def exclude(project: Id, person: Who, undo: bool = False) -> None:
    """Stop counting a person's labels and votes, until you count them again.

    They stay in the dataset but count nowhere: preferences, audit, agreement, cards and verdict
    leave them out. Running Spaces apply this within a minute, and the person can no
    longer answer. `--undo` counts everything again. It also lets a forgotten person label again,
    under a new pseudonym; what was forgotten does not come back.

    Example: palate exclude me/titles Mallory

    Args:
        undo: Count the person's answers again.
    """
    from palate.core.project import Project
    from palate.web import forgetting
    from palate.web.ballot.people import decide

    loaded = Project.load(project)
    has = forgetting.belongings(loaded, forgetting.find(loaded, person))
    decide(project, has.annotators, "include" if undo else "exclude")
    lifted = set(has.annotators) & loaded.people.forgotten
    verb = "count again" if undo else "count nowhere from now on"
    console.print(f"{_who(has)}: {_answers(has)} {verb}.")
    if undo and lifted:
        console.print("What was forgotten does not come back; new answers get a new pseudonym.")
    console.print(forgetting.renew(project), markup=False)


def forget(project: Id, person: Who, yes: bool = False) -> None:
    """Delete everything that a person contributed to the project, for ever.

    Their labels, votes and better answers are deleted from the dataset, whose whole history becomes
    one commit; their answers and name are deleted from Argilla. Preferences, cards and verdict are
    rebuilt. people.jsonl keeps only the pseudonym, so that no copy, Space or browser brings
    anything back.

    The person cannot answer again until `palate exclude OWNER/NAME PERSON --undo` lets them. They
    then get a new pseudonym. The command shows what it will delete, and asks first. After an
    interruption, run it again.

    Example: palate forget me/titles Ada

    Args:
        yes: Do not ask.
    """
    from palate.core.project import Project
    from palate.terminal.asking import ask
    from palate.web import forgetting

    loaded = Project.load(project)
    has = forgetting.belongings(loaded, forgetting.find(loaded, person))
    if not has and set(has.annotators) <= loaded.people.erased:
        console.print(f"{_who(has)}: nothing is left in {project} or its history.")
        return
    console.print(f"{_who(has)}: {_answers(has)}, {count(has.texts, 'better answer')} written, and")
    console.print(f"{count(has.preferences, 'preference')} made from them, will be deleted.")
    console.print("The dataset's history becomes one commit: earlier revisions are gone.")
    console.print(forgetting.argilla_sentence(project))
    console.print("Nobody can undo this. It does not reach:")
    for sentence in (remains := forgetting.beyond_reach(loaded)):
        console.print(f"  {sentence}", markup=False)
    ask(
        "Delete them?",
        yes=yes,
        why="This cannot be undone",
        otherwise="Nothing was deleted.",
    )
    console.print(forgetting.forget(project, has.annotators), markup=False)
    console.print(f"{_who(has)}: forgotten. Not reached: {len(remains)} kinds of copies, above.")


def _who(has: "Belongings") -> str:
    return " and ".join(has.annotators)


def _answers(has: "Belongings") -> str:
    answers = f"{count(has.labels, 'label event')} and {count(has.votes, 'vote event')}"
    thumbs = f"{count(has.thumbs, 'single answer')} called good or bad, " if has.thumbs else ""
    return thumbs + answers
