"""Choices that are spread over columns, such as winner_model_a, _b and _tie. Pure: no I/O."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from palate.collect.cells import is_nothing
from palate.collect.choices import MEANS, NO, PEOPLE, YES, Choice, Codebook, code, tokens


@dataclass(frozen=True)
class OneHot:
    """Columns of which one says yes: the first won, the second won, and perhaps a tie."""

    first: str
    second: str
    tie: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(c for c in (self.first, self.second, self.tie) if c)

    def fits(self, row: Mapping[str, object]) -> bool:
        """Tell whether the row says yes or no, or nothing, in each column."""
        values = [row.get(column) for column in self.columns]
        return all(is_nothing(v) or code(v) in YES | NO for v in values)

    def codebook(self) -> Codebook:
        """Return what `of` says, in words for the user."""
        means: dict[str, Choice] = {"a": "left", "b": "right", "tie": "tie"}
        words = [
            f"1 in {c} is {MEANS[m]}" for c, m in zip(self.columns, means.values(), strict=False)
        ]
        return Codebook(lambda case: means.get(str(case.value)), ", ".join(words))

    def of(self, row: Mapping[str, object]) -> str | None:
        """Return a, b or tie; None unless exactly one column says yes and the others no."""
        words = {"a": self.first, "b": self.second} | ({"tie": self.tie} if self.tie else {})
        values = {word: code(row.get(column)) for word, column in words.items()}
        if any(v not in YES | NO for v in values.values()):
            return None
        yes = [word for word, value in values.items() if value in YES]
        return yes[0] if len(yes) == 1 else None


def one_hot(column: str, columns: Sequence[str]) -> OneHot | None:
    """Return the columns that belong to `column`, such as winner_model_a; None if it is alone."""
    if PEOPLE & set(tokens(column)):
        return None
    for a, b in (("a", "b"), ("1", "2"), ("left", "right"), ("first", "second"), ("x", "y")):
        for own, other in ((a, b), (b, a)):
            pattern = re.compile(rf"(?<![^\W_]){own}(?![^\W_])", re.IGNORECASE)
            partner = pattern.sub(other, column)
            if len(pattern.findall(column)) != 1 or partner not in columns:
                continue
            long = pattern.sub("tie", column).casefold()
            names = {long, re.sub(r"(model|response|answer|output)_tie", "tie", long)}
            tie = next((c for c in columns if c.casefold() in names), None)
            first, second = (column, partner) if own == a else (partner, column)
            return OneHot(first, second, tie)
    return None
