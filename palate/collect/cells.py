"""What one cell of a table holds: a text, chat messages, or a completion. Pure: no I/O."""

from typing import Literal

from palate.core.schema import Message

ROLES = ("system", "user", "assistant")
# the part of a labelled pair that is wrong
Fault = Literal["prompt", "text", "choice"]


class BadCell(Exception):
    """A cell cannot be read: its column, what is wrong with it, and which part of a pair that is.

    Readers of tables turn it into BadInput, or count it.
    """

    def __init__(self, column: str, problem: str, fault: Fault) -> None:
        super().__init__(f"{column}: {problem}")
        self.column, self.problem, self.fault = column, problem, fault


def text(value: object, column: str, fault: Fault = "text") -> str:
    """Return a text without the space around it, or raise BadCell if there is none."""
    if not isinstance(value, str) or not value.strip():
        found = "nothing" if value in (None, "") else repr(value)[:60]
        raise BadCell(column, f"expected text, found {found}", fault)
    return value.strip()


def prompt(value: object, column: str) -> str | list[Message]:
    """Return a prompt: a text, or chat messages."""
    if isinstance(value, str):
        return text(value, column, "prompt")
    return messages(value, column, "prompt")


def completion(value: object, column: str) -> tuple[list[Message], str]:
    """Return the messages before a completion, and its text: chat messages, or the text alone."""
    if not isinstance(value, list):
        return [], text(value, column)
    turns = messages(value, column, "text")
    return turns[:-1], text(turns[-1]["content"], column)


def messages(value: object, column: str, fault: Fault) -> list[Message]:
    """Return chat messages, roles and contents alone."""
    if not isinstance(value, list) or not value:
        found = type(value).__name__
        raise BadCell(column, f"expected text or chat messages, found {found}", fault)
    return [_message(turn, column, fault) for turn in value]


def _message(turn: object, column: str, fault: Fault) -> Message:
    if isinstance(turn, dict):
        role, content = turn.get("role"), turn.get("content")
        if role in ROLES and isinstance(content, str):
            return Message(role=role, content=content)
    raise BadCell(
        column,
        f"expected messages with role ({', '.join(ROLES)}) and content, found {turn!r:.80}",
        fault,
    )
