"""Which columns of a table hold what, and templates that make a prompt of several."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from palate.collect.cells import BadCell
from palate.collect.tables import Table
from palate.core.errors import UsageError

Template = Callable[[Mapping[str, object]], str]


@dataclass(frozen=True)
class Columns:
    """The columns of labelled pairs: two texts and a choice, or chosen and rejected."""

    prompt: str | None = "prompt"
    a: str | None = None
    b: str | None = None
    choice: str | None = None
    chosen: str = "chosen"
    rejected: str = "rejected"
    person: str | None = None  # who chose
    models: tuple[str, str] | None = None  # which models wrote the two texts

    def check(self, table: Table) -> bool:
        """Tell whether the table holds `chosen` and `rejected` rather than a choice.

        Raises UsageError or BadInput if columns are missing.
        """
        given = [c is not None for c in (self.a, self.b, self.choice)]
        if any(given) and not all(given):
            raise UsageError("Give --a, --b and --choice together, or none of them.")
        if all(given):
            named = (self.prompt, self.a, self.b, self.choice, self.person, *(self.models or ()))
            table.need(*(c for c in named if c))
            return False
        if self.chosen not in table.columns:
            raise UsageError(
                f"{table.source} has no columns chosen and rejected; found:"
                f" {', '.join(table.columns)}. Say which hold the two texts and the choice:"
                " --prompt COL --a COL --b COL --choice COL"
            )
        table.need(self.chosen, self.rejected)
        return True


def template_of(text: str, table: Table) -> Template:
    """Return a function that fills `{column}` in the text with a row's values."""
    names = [n for n in re.findall(r"\{([^{}\n]+)\}", text) if n in table.columns]
    if not names:
        have = ", ".join("{" + c + "}" for c in table.columns)
        raise UsageError(f"The template names no column of {table.source}; it has: {have}")
    pattern = re.compile("|".join(re.escape("{" + n + "}") for n in names))

    def fill(row: Mapping[str, object]) -> str:
        for name in names:
            if name not in row:
                raise BadCell(name, "expected a value for the template, found nothing", "prompt")
        return pattern.sub(lambda m: str(row[m[0][1:-1]]), text).strip()

    return fill


def read_template(path: Path | None, table: Table) -> Template | None:
    """Return the template in a file, or None without one."""
    if path is None:
        return None
    try:
        return template_of(path.read_text("utf-8"), table)
    except FileNotFoundError:
        raise UsageError(f"There is no template file {path}.") from None
