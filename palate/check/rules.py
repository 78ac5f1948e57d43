"""Instructions whose answers a rule checks, in the spirit of IFEval. Pure: no I/O but our own file.

J. Zhou et al., "Instruction-Following Evaluation for Large Language Models" (2023). The
instructions are ours, written for this file.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("instructions.jsonl")
Value = str | int | list[str]


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'’-]+", text)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _normal(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!\"'")


def _is_json(text: str, keys: list[str]) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and set(value) == set(keys)


MOST = 10_000  # words, lines or bullets: no answer has more
FREE = ("lowercase", "uppercase", "quoted")  # rules whose value says nothing
# whether an answer, without space around it, follows a rule with this value
CHECKS: dict[str, Callable] = {
    "words at most": lambda text, n: 0 < len(_words(text)) <= n,
    "words at least": lambda text, n: len(_words(text)) >= n,
    "lines": lambda text, n: len(_lines(text)) == n,
    "bullets": lambda text, n: len([x for x in _lines(text) if re.match(r"[-*•] \S", x)]) == n,
    "numbered": lambda text, n: (
        [m[1] for x in _lines(text) if (m := re.match(r"(\d+)[.)] ", x))]
        == [str(i + 1) for i in range(n)]
    ),
    "includes": lambda text, words: all(w.casefold() in text.casefold() for w in words),
    "excludes": lambda text, words: (
        bool(text) and not {w.casefold() for w in _words(text)} & {w.casefold() for w in words}
    ),
    "no character": lambda text, character: bool(text) and character not in text,
    "lowercase": lambda text, _: bool(text) and text == text.lower(),
    "uppercase": lambda text, _: bool(text) and text == text.upper(),
    "begins": lambda text, start: text.startswith(start),
    "ends": lambda text, end: text.endswith(end),
    "quoted": lambda text, _: len(text) > 2 and text[0] == text[-1] == '"',
    "json": _is_json,
    "is one of": lambda text, answers: _normal(text) in map(_normal, answers),
}


@dataclass(frozen=True)
class Instruction:
    """An instruction, and the rule that an answer has to follow."""

    text: str
    rule: str
    value: Value

    def problem(self) -> tuple[str, str] | None:
        """Return the field that no answer, or every answer, would follow, and what is wrong."""
        if not self.text.strip():
            return "text", "expected an instruction, found nothing"
        if self.rule not in CHECKS:
            return "rule", f"expected one of {', '.join(CHECKS)}, found {self.rule!r}"
        like = next(i.value for i in instructions() if i.rule == self.rule)
        if type(self.value) is not type(like):
            return (
                "value",
                f"expected a value such as {like!r} for {self.rule!r}, found {self.value!r}",
            )
        if isinstance(self.value, int) and not 1 <= self.value <= MOST:
            return (
                "value",
                f"expected 1 to {MOST:,} for {self.rule!r}, found {str(self.value)[:20]}",
            )
        words = [self.value] if isinstance(self.value, str) else self.value
        empty = not isinstance(words, int) and not (words and all(w.strip() for w in words))
        if empty and self.rule not in FREE:
            return "value", f"expected words such as {like!r} for {self.rule!r}, found none"
        return None

    def follows(self, answer: str) -> bool:
        return bool(CHECKS[self.rule](answer.strip(), self.value))


@cache
def instructions() -> tuple[Instruction, ...]:
    """Return our 200 instructions."""
    lines = FILE.read_text("utf-8").split("\n")
    return tuple(Instruction(**json.loads(line)) for line in lines if line)
