"""Markdown from templates whose values are untrusted. Pure except for reading the template.

Values in `{{ }}` are escaped unless a filter here made them Markdown. A missing value is an error.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from palate.core.errors import BadInput


class Markdown(str):
    """Text that is Markdown already, from a template's author or a filter."""


def render(template: Path, facts: Mapping[str, object]) -> str:
    """Return the filled template. Raises BadInput naming the first fact that is missing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

    env = Environment(
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # HTML's escaping is not Markdown's: `finalize` has ours
        finalize=lambda value: value if isinstance(value, Markdown) else inline(value),
    )
    env.filters.update(FILTERS)
    try:
        text = env.get_template(template.name).render(facts)
    except UndefinedError as error:
        raise BadInput(template.name, f"a fact is missing: {error}") from None
    # a lone surrogate, which JSON can carry, cannot be stored
    return re.sub(r"\n{3,}", "\n\n", text).encode("utf-8", "replace").decode()


def inline(value: object) -> Markdown:
    """Return any text as one line of Markdown that shows exactly that text, also in a table."""
    if type(value) is int:
        return Markdown(f"{value:,}")
    text = "".join(c if c.isprintable() else " " for c in str(value))
    # an entity never has a meaning in Markdown or HTML, whichever renderer reads it
    safe = re.sub(r"[^\w\s,;'()?/%=.+–…-]", lambda m: f"&#{ord(m[0])};", " ".join(text.split()))
    return Markdown(re.sub("_", "&#95;", safe))


def code(value: object) -> Markdown:
    """Return the text as a code span, or as plain text where that could end the span."""
    text = str(value)
    plain = text.isprintable() and re.fullmatch(r"[^\s`|]([^`|]*[^\s`|])?", text)
    return Markdown(f"`{text}`") if plain else inline(text)


def fence(value: object, language: str = "") -> Markdown:
    """Return a code block that nothing inside can close."""
    text = str(value).replace("\r", "\n")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return Markdown(f"{ticks}{language}\n{text}\n{ticks}")


def lines(value: object) -> Markdown:
    """Return a text for a table's cell, with its line breaks; `…` for an empty one."""
    cells = [inline(line) for line in str(value).splitlines() if line.strip()]
    return Markdown("<br>".join(cells) or "…")


def percent(value: float) -> Markdown:
    return Markdown(f"{100 * value:.1f}%")


def interval(bounds: Sequence[float] | None) -> Markdown:
    if bounds is None:
        return Markdown("not known")
    return Markdown(f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}%")


def count(n: int, noun: str, nouns: str | None = None) -> Markdown:
    """Return `1,140 labels`, `1 label`."""
    return Markdown(f"{n:,} {noun if n == 1 else nouns or noun + 's'}")


def reasons(counts: Mapping[str, int]) -> Markdown:
    """Return `12 ties; 3 skipped.`, or `nothing.`"""
    listed = "; ".join(f"{n:,} {inline(reason)}" for reason, n in sorted(counts.items()))
    return Markdown(f"{listed or 'nothing'}.")


def unbroken(text: Markdown) -> Markdown:
    """Return the text with spaces that no table cell breaks a line at."""
    return Markdown(text.replace(" ", "\u00a0"))


FILTERS: dict[str, Callable[..., Markdown]] = {
    "code": code,
    "count": count,
    "fence": fence,
    "interval": interval,
    "json": lambda value: Markdown(json.dumps(value, ensure_ascii=False, indent=2)),
    "lines": lines,
    "markdown": Markdown,
    "percent": percent,
    "reasons": reasons,
    "unbroken": unbroken,
}
