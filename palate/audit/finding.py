"""One thing that an audit has to say."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["fatal", "warning", "note"]
SHOWN_ROWS = 5  # row numbers in a message


@dataclass(frozen=True)
class Finding:
    """One thing to know about the data; a `fatal` one stops training."""

    level: Level
    text: str
    advice: str

    def to_json(self) -> dict[str, str]:
        return {"level": self.level, "text": self.text, "advice": self.advice}


def some(numbers: list[int]) -> str:
    """Return the first rows by number, and how many more there are."""
    shown = ", ".join(f"{n:,}" for n in numbers[:SHOWN_ROWS])
    more = len(numbers) - SHOWN_ROWS
    head = "row " if len(numbers) == 1 else "rows "
    return head + shown + (f" and {more:,} more" if more > 0 else "")
