"""What the pages of the comparison say, in English; the browser puts it into other languages.

words.json of the ballot holds the words of all pages. An element carries the name of its words and
their values, so that words.js can say the same in another language.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from palate.evaluate.verdict import Verdict
from palate.web.ballot.render import TEMPLATES

WORDS = TEMPLATES.parent / "static/words.json"
# {n}, {n|pair|pairs} with what it counts, {rate%1} as a percentage with so many decimals
PART = re.compile(r"{(\w+)(?:%(\d?)|\|([^|}]*)\|([^}]*))?}")


@dataclass(frozen=True)
class Line:
    """Words by their name in words.json, and the values in them. A template shows it as a span."""

    name: str
    values: Mapping[str, object]

    @property
    def text(self) -> str:
        """The line in English."""
        return PART.sub(self._part, _english()[self.name])

    @property
    def marks(self) -> "Marks":
        """The attributes of an element that contains the line and nothing else."""
        return Marks(f'data-t="{self.name}" {self._values()}')

    @property
    def label(self) -> "Marks":
        """The attributes of an element that is called by the line."""
        label = escape(self.text)
        return Marks(f'data-label="{self.name}" {self._values()} aria-label="{label}"')

    def __html__(self) -> str:
        return f"<span {self.marks}>{escape(self.text)}</span>"

    def figures(self) -> dict[str, object]:
        """Return what words.js needs to say the line."""
        values = {k: v.figures() if isinstance(v, Line) else v for k, v in self.values.items()}
        return {"name": self.name, "values": values}

    def _values(self) -> str:
        return f'data-values="{escape(json.dumps(self.figures()["values"]))}"'

    def _part(self, match: re.Match[str]) -> str:
        name, digits, one, many = match.groups()
        value = self.values[name]
        if digits is not None and isinstance(value, int | float):
            return f"{100 * value:.{digits or 0}f}%"
        shown = value.text if isinstance(value, Line) else value
        number = f"{value:,}" if isinstance(value, int) else str(shown)
        return number if one is None else f"{number} {one if value == 1 else many}"


class Marks(str):
    """Attributes that are HTML already."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def say(name: str, /, **values: object) -> Line:
    """Return the words of that name, with their values."""
    return Line(name, values)


def is_decided(v: Verdict) -> bool:
    """Tell whether the verdict's words say so: votes for one side alone decide nothing."""
    return v.meaning().startswith("Decided")


def headlines(v: Verdict) -> list[tuple[str, Line]]:
    """Return each aspect, if there are any, and the answer to "Is the tuned model better?"."""
    return [(part.aspect or "", headline(part)) for part in (v, *(v.others if v.aspect else ()))]


def headline(v: Verdict) -> Line:
    """Return the answer in one aspect, or to the question alone, and to whom."""
    if not is_decided(v):
        return say("v_unknown")
    names = {"no difference": "v_draw", "better": "v_yes"}
    return say(names.get(v.decision, "v_no_base"), voters=voters(v))


def voters(v: Verdict) -> Line:
    """Return the people who voted, in words."""
    return say("v_voter") if v.annotators == 1 else say("v_voters", n=v.annotators)


@lru_cache(maxsize=1)
def _english() -> dict[str, str]:
    return json.loads(WORDS.read_text("utf-8"))["en"]
