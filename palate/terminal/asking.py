"""A question before something that costs money or cannot be undone."""

import sys

from palate.core.errors import PalateError, UsageError


def ask(question: str, *, yes: bool, why: str, otherwise: str) -> None:
    """Ask on the terminal unless `yes`; raise PalateError with `otherwise` for any other answer.

    Without a terminal raise UsageError, which says `why` there is a question.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{why}, and there is no terminal to ask on. Add --yes to start it.")
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise PalateError(otherwise)
