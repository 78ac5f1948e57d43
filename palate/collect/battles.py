"""Votes between models whose answers a table does not hold, as public arenas publish them."""

from palate.collect.rows import Table
from palate.core.errors import UsageError


def check(
    table: Table, sides: tuple[str, str], choice: str, are_votes: bool, has_prompt: bool
) -> None:
    """Raise UsageError for names of models in place of answers, unless they are votes by prompt."""
    if not are_votes:
        raise refusal(table, sides, choice)
    if not has_prompt:
        raise UsageError(
            f"{table.source}: no column says which prompt the models answered, and a verdict counts"
            f" prompts. Found: {', '.join(table.columns)}. Name a column that tells prompts apart,"
            " such as question_id: --prompt COLUMN"
        )


def refusal(table: Table, sides: tuple[str, str], choice: str) -> UsageError:
    """Return the error for a table of models' names, with the command that imports it."""
    first, second = sides
    return UsageError(
        f"{table.source} holds the names of models ({first}, {second}) and no answers: votes"
        f" between models. Import them with: --votes --a {first} --b {second}"
        f" --models {first} {second} --choice {choice} --prompt COLUMN"
    )
