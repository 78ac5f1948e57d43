"""What one cell of a table holds: a text, or chat messages in any usual form. Pure: no I/O."""

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from palate.core.schema import Message, digest

# who speaks, by what chat files call them
ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "model": "assistant", "ai": "assistant",
}  # fmt: skip
ROLE_KEYS, TEXT_KEYS = ("role", "from"), ("content", "value")
# keys of a message without which it says something else
CALLS = ("tool_calls", "function_call", "tool_call_id")
MEDIA = ("images", "image", "videos", "video", "audios", "audio")
# the part of a labelled pair that is wrong
Fault = Literal["prompt", "text", "choice"]
_TURN = re.compile(r"\n\n(Human|Assistant):")


class BadCell(Exception):
    """A cell cannot be read: its column, what is wrong with it, and which part of a pair that is.

    Readers of tables turn it into a bad row.
    """

    def __init__(self, column: str, problem: str, fault: Fault) -> None:
        super().__init__(f"{column}: {problem}")
        self.column, self.problem, self.fault = column, problem, fault


def is_nothing(value: object) -> bool:
    """Tell whether a cell holds nothing: null, NaN, white space, an empty list or object."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, (list, dict, tuple)) and not value)


def text(value: object, column: str, fault: Fault = "text") -> str:
    """Return a text exactly as it is, or raise BadCell if there is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not is_nothing(value):
        value = str(value)
    if not isinstance(value, str) or is_nothing(value):
        seen = "nothing" if is_nothing(value) else shown(value)
        raise BadCell(column, f"expected text, found {seen}", fault)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(value[error.start]):04x}"
        problem = f"expected text, found half a character ({half}) at place {error.start + 1}"
        raise BadCell(column, problem, fault) from None
    return value


def shown(value: object) -> str:
    """Return a wrong value as errors show it."""
    return repr(value)[:60]


def media(value: object) -> str:
    """Return the mark of pictures or sounds, which no text shows: one for each, by its name."""
    names = value if isinstance(value, (list, tuple)) else [value]
    return "\n".join(f"[image: {_media_name(name)}]" for name in names if not is_nothing(name))


def _media_name(value: object) -> str:
    if isinstance(value, Mapping):
        value = value.get("url") or value.get("path") or value.get("bytes") or value
    if isinstance(value, str) and len(value) <= 200:
        return value
    return digest(repr(value))


@dataclass
class Reader:
    """Reads chat messages; `left_out` counts the messages' keys that it passes over."""

    left_out: Counter[str] = field(default_factory=Counter)

    def turns(self, value: object, column: str, fault: Fault = "text") -> list[Message] | None:
        """Return the chat messages that a cell holds; None for a plain text."""
        if isinstance(value, str):
            value = _unpacked(value)
            if isinstance(value, str):
                return None
        if isinstance(value, Mapping):
            value = [value]
        if not isinstance(value, (list, tuple)) or not value:
            seen = "nothing" if is_nothing(value) else shown(value)
            raise BadCell(column, f"expected text or chat messages, found {seen}", fault)
        return [self._message(turn, column, fault) for turn in value]

    def prompt(self, value: object, column: str) -> list[Message]:
        """Return a prompt as messages."""
        turns = self.turns(value, column, "prompt")
        if turns is None:
            return [Message(role="user", content=text(value, column, "prompt"))]
        if turns[-1]["role"] == "assistant":
            problem = "expected a prompt, found messages that end with an answer"
            raise BadCell(column, problem, "prompt")
        return turns

    def history(self, value: object, column: str) -> list[Message]:
        """Return earlier turns: messages, or pairs of a question and its answer."""
        if is_nothing(value):
            return []
        if isinstance(value, str):
            value = _unpacked(value)
        if not isinstance(value, (list, tuple)):
            problem = f"expected earlier turns, found {shown(value)}"
            raise BadCell(column, problem, "prompt")
        if all(isinstance(turn, Mapping) for turn in value):
            return [self._message(turn, column, "prompt") for turn in value]
        messages = []
        for pair in value:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                problem = f"expected a question with its answer, found {shown(pair)}"
                raise BadCell(column, problem, "prompt")
            for role, content in zip(("user", "assistant"), pair, strict=True):
                messages.append(Message(role=role, content=text(content, column, "prompt")))
        return messages

    def _message(self, turn: object, column: str, fault: Fault) -> Message:
        if not isinstance(turn, Mapping):
            raise BadCell(column, f"expected a message, found {shown(turn)}", fault)
        role_key = next((k for k in ROLE_KEYS if k in turn), "role")
        text_key = next((k for k in TEXT_KEYS if k in turn), "content")
        role = ROLES.get(str(turn.get(role_key)).casefold())
        if role is None:
            expected = "system, user, assistant"
            problem = f"expected messages with role ({expected}) and content, found {turn!r:.80}"
            raise BadCell(column, problem, fault)
        marks = []
        for key, value in turn.items():
            if key in (role_key, text_key) or is_nothing(value):
                continue
            if key in CALLS:
                problem = f"expected text alone, found {key}, which palate cannot show"
                raise BadCell(column, problem, fault)
            if key in MEDIA:
                marks.append(media(value))
            else:
                self.left_out[f"{column}.{key}"] += 1
        content = _content(turn.get(text_key), column, fault)
        return Message(role=role, content="\n".join([content, *marks]))


def _content(value: object, column: str, fault: Fault) -> str:
    """Return a message's content, also where it is a list of parts."""
    if not isinstance(value, (list, tuple)):
        return text(value, column, fault)
    parts = []
    for part in value:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if isinstance(part, str):
            parts.append(part)
        elif kind in ("text", "input_text", "output_text"):
            parts.append(text(part.get("text"), column, fault))
        elif kind in ("image", "image_url", "input_image"):
            parts.append(media(part.get("image_url") or part.get("image") or part.get("url") or ""))
        else:
            problem = f"expected parts with text or an image, found {shown(part)}"
            raise BadCell(column, problem, fault)
    return text("\n".join(filter(None, parts)), column, fault)


def _unpacked(value: str) -> object:
    """Return the messages that a text holds as JSON or as Python writes it; else the text."""
    start = value.lstrip()[:40]
    if not re.match(r"""\[\s*\{\s*["'](role|from|content|value)["']""", start):
        return value
    for load in (json.loads, ast.literal_eval):
        try:
            return load(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def is_transcript(value: object) -> bool:
    """Tell whether a text is a dialogue as hh-rlhf writes it."""
    return isinstance(value, str) and ("\n\n" + value.lstrip()).startswith("\n\nHuman:")


def transcript(value: str, column: str) -> list[Message]:
    """Return the messages of a dialogue as hh-rlhf writes it."""
    pieces = _TURN.split("\n\n" + value.lstrip())
    roles = {"Human": "user", "Assistant": "assistant"}
    return [
        Message(role=roles[who], content=text(said.removeprefix(" "), column))
        for who, said in zip(pieces[1::2], pieces[2::2], strict=True)
    ]
