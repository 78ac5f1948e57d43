"""What `palate import` prints: what each column is used for, and what comes of the rows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from palate.commands.common import console
from palate.core.markdown import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from palate.collect.importing import Imported
    from palate.collect.pairs import Rows
    from palate.core.schema import EventConfig, Message

SHOWN = 120  # characters of a text in the example


def show_rows(data: "Rows") -> None:
    """Print what each column is used for, with the first row as an example."""
    from palate.collect.choices import MEANS

    show_columns(data.source, data.format, data.used, data.unused, data.codes)
    for row in data.rows[:1]:
        sides = ("first", "second") if data.sided else ("chosen", "rejected")
        texts = [(sides[0], row.left), (sides[1], row.right)]
        texts += [("choice", MEANS[row.choice])] if data.sided else []
        messages = row.messages if isinstance(row.messages, list) else []
        prompt = messages or [{"role": "user", "content": row.prompt}]
        show_texts(row.number, prompt, texts)
    if _are_names(data):
        first, second = data.texts.split(", ")
        console.print(
            "  The same few texts answer different prompts. Names of models? Then add"
            f" --models {first} {second}"
        )


def _are_names(data: "Rows") -> bool:
    """Return whether most texts answer several prompts, as the names of models do."""
    prompts: dict[str, set[str]] = {}
    for row in data.rows if data.sided and data.models is None else ():
        for text in (row.left, row.right):
            prompts.setdefault(text, set()).add(row.prompt)
    return 2 * sum(len(under) > 1 for under in prompts.values()) > len(prompts)


def show_columns(
    source: str, kind: str, used: "Mapping[str, str]", unused: "Sequence[str]", codes: str = ""
) -> None:
    console.print(f"{source}{f', read as {kind}' if kind else ''}", markup=False)
    width = max(map(len, used), default=0)
    for column, use in used.items():
        console.print(f"  {column:<{width}}  {use}", markup=False)
    if codes:
        console.print(f"  in the choice, {codes}", markup=False)
    if unused:
        console.print(f"  left out: {', '.join(unused)}", markup=False)


def show_texts(
    number: int, prompt: "Sequence[Message]", texts: "Sequence[tuple[str, str]]"
) -> None:
    console.print(f"for example, row {number}:")
    several = len(prompt) > 1
    for what, text in [
        *((m["role"] if several else "prompt", m["content"]) for m in prompt),
        *texts,
    ]:
        line = text.replace("\n", "⏎")
        more = "…" if len(line) > SHOWN else ""
        console.print(f"  {what + ':':<10} {line[:SHOWN]}{more}", markup=False)


def show_counts(data: "Rows", new: "Imported") -> None:
    read = len(data.rows) + len(data.bad) + sum(data.set_aside.values())
    show_read(read, len(new.events), new)


def show_read(read: int, imported: int, new: "Imported") -> None:
    """Print that all that was read is imported, left out or refused."""
    left_out, refused = new.left_out.total(), new.refused.total()
    console.print(
        f"{read:,} read = {imported:,} imported + {left_out:,} left out + {refused:,} refused"
    )
    for reason, n in [*new.left_out.items(), *new.refused.items(), *new.notes.items()]:
        console.print(f"  {n:,} {reason}", markup=False)


@dataclass(frozen=True)
class Sizes:
    """How much an import holds."""

    judgements: int
    pairs: int
    texts: int
    prompts: int

    @classmethod
    def of(cls, new: "Imported") -> "Sizes":
        pairs = len({e.pair_id for e in new.events})
        return cls(len(new.events), pairs, len(new.candidates), len(new.prompts))


def show_added(config: "EventConfig", new: Sizes, added: int) -> None:
    """Print how many of the judgements the project did not have."""
    what = "vote" if config == "evaluations" else "label"
    old = new.judgements - added
    if not added:
        console.print(f"Nothing changed: the project has {'it' if old == 1 else 'all of them'}.")
        return
    console.print(
        f"{count(new.judgements, what)} on {count(new.pairs, 'pair')}"
        f" of {count(new.texts, 'text')}, {count(new.prompts, 'prompt')}:"
        f" {added:,} new, {old:,} in the project already"
    )
