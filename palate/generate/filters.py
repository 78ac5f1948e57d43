"""Which completions are left out, and why: by length, words, format, likeness. Pure: no I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from palate.core.errors import UsageError
from palate.core.similar import Similar


@dataclass(frozen=True)
class Filters:
    """What a completion must be. Raises UsageError for limits that nothing can meet.

    `forbid` are words or phrases in any case, `match` is a regular expression for the whole text.
    """

    shortest: int = 0  # characters
    longest: int | None = None  # characters
    forbid: tuple[str, ...] = ()
    match: str | None = None
    distinct: bool = False  # no two of a prompt alike

    def __post_init__(self) -> None:
        if self.longest is not None and self.longest < max(1, self.shortest):
            raise UsageError(
                f"--longest {self.longest} with --shortest {self.shortest}: no text is that long."
            )
        if any(not word.strip() for word in self.forbid):
            raise UsageError("--forbid takes a word or a phrase, not an empty one.")
        try:
            re.compile(self.match or "")
        except (re.error, RecursionError) as error:
            raise UsageError(f"--match {self.match!r} is no regular expression: {error}.") from None

    def problem(self, text: str) -> str | None:
        """Return why the text is left out, or None; likeness is not looked at."""
        if len(text) < self.shortest:
            return f"shorter than {self.shortest} characters"
        if self.longest is not None and len(text) > self.longest:
            return f"longer than {self.longest} characters"
        for word in self.forbid:
            if _holds(text, word):
                return f"with {word!r}"
        if self.match is not None and not re.fullmatch(self.match, text, re.DOTALL):
            return "not of the format"
        return None

    def likeness(self, texts: Iterable[str]) -> "Likeness | None":
        """Return what compares texts with these, and with each other; None if any may be alike."""
        return Likeness(texts) if self.distinct else None


class Likeness:
    """Texts, and whether another is much like one of them."""

    def __init__(self, texts: Iterable[str]):
        self._texts = list(texts)

    def like(self, text: str) -> bool:
        index = Similar([*self._texts, text])
        for other in self._texts:
            index.add(other)
        return index.like(text) is not None

    def add(self, text: str) -> None:
        self._texts.append(text)


def _holds(text: str, word: str) -> bool:
    """Tell whether the text has the word, in any case; "art" is not in "start"."""
    pattern = re.escape(word.strip().casefold())
    return re.search(rf"(?<!\w){pattern}(?!\w)", text.casefold()) is not None
