"""Answers that somebody called good or bad, compared with none: KTO's files. Pure: no I/O."""

from collections import Counter
from dataclasses import dataclass, field

from palate.collect import cells
from palate.collect.cells import BadCell, Reader, is_nothing
from palate.collect.choices import code
from palate.collect.columns import ANNOTATORS, PROMPTS, SYSTEMS, Columns
from palate.collect.importing import Imported
from palate.collect.labels import UNNAMED, pseudonym
from palate.collect.rows import BadRow, Record, Table, bad_rows
from palate.core.schema import Message, Prompt, Unpaired, digest

GOOD = {"true", "1", "yes", "up", "good", "desirable", "thumbs up", "thumbs_up", "👍"}
BAD = {"false", "0", "no", "down", "bad", "undesirable", "thumbs down", "thumbs_down", "👎"}
COMPLETIONS = ("completion", "response", "answer", "output")
LABELS = ("label", "kto_tag", "thumb", "thumbs", "is_good")


@dataclass
class Thumbs:
    """The judgements of a source; every row is one of them or bad."""

    source: str
    rows: list[Unpaired]
    numbers: list[int]
    used: dict[str, str]
    unused: tuple[str, ...]
    bad: list[BadRow] = field(default_factory=list)


@dataclass(frozen=True)
class _Names:
    label: str
    completion: str | None  # None where the conversation ends with it
    prompt: str | None
    system: str | None
    input: str | None
    annotator: str | None

    def used(self) -> dict[str, str]:
        uses = {
            self.prompt: "prompt" if self.completion else "prompt and answer",
            self.input: "prompt, after the instruction", self.system: "prompt, as system message",
            self.completion: "answer", self.label: "whether it is good",
            self.annotator: "who said so, under a pseudonym",
        }  # fmt: skip
        return {column: use for column, use in uses.items() if column}


def read(table: Table, columns: Columns) -> Thumbs | None:
    """Return the judgements of single answers that a table holds; None for a table of pairs."""
    names = _names(table, columns)
    if names is None:
        return None
    reader = Reader()
    thumbs = Thumbs(table.source, [], [], names.used(), (), list(table.bad))
    for row, number in zip(table.rows, table.numbers, strict=True):
        try:
            thumbs.rows.append(_judgement(row, names, reader))
            thumbs.numbers.append(number)
        except BadCell as error:
            thumbs.bad.append(BadRow(number, error.column, error.problem))
    unused = [c for c in table.columns if c not in thumbs.used]
    thumbs.unused = (*unused, *reader.left_out)
    return thumbs


def _names(table: Table, columns: Columns) -> _Names | None:
    def first(names: tuple[str, ...]) -> str | None:
        by_name = {c.casefold(): c for c in table.columns}
        return next((by_name[n] for n in names if n in by_name), None)

    label, completion = first(LABELS), first(COMPLETIONS)
    others = {"chosen", "rejected", "data", "fields"} & set(table.columns)
    values = {code(row.get(label)) for row in table.rows if not is_nothing(row.get(label or ""))}
    if columns.a or label is None or others or not values or not values <= GOOD | BAD:
        return None
    prompt = columns.prompt or first(PROMPTS)
    if prompt is None or (completion is None and prompt not in ("messages", "conversations")):
        return None
    with_input = first(("input",)) if prompt == "instruction" else None
    return _Names(
        label, completion, prompt, first(SYSTEMS), with_input,
        columns.annotator or first(ANNOTATORS),
    )  # fmt: skip


def _judgement(row: Record, names: _Names, reader: Reader) -> Unpaired:
    value, column = row.get(names.prompt or ""), names.prompt or ""
    if names.completion is None:
        turns = reader.turns(value, column) or []
        prompt, answers = turns[:-1], turns[-1:]
    else:
        prompt = reader.prompt(value, column)
        said = row.get(names.completion)
        answers = reader.turns(said, names.completion) or [
            Message(role="assistant", content=cells.text(said, names.completion))
        ]
    if not prompt or len(answers) != 1 or answers[0]["role"] != "assistant":
        problem = "expected a prompt and one answer at the end"
        raise BadCell(names.completion or column, problem, "text")
    if names.input and not is_nothing(row.get(names.input)):
        more = cells.text(row.get(names.input), names.input)
        content = f"{prompt[-1]['content']}\n{more}"
        prompt = [*prompt[:-1], Message(role="user", content=content)]
    if names.system and not is_nothing(row.get(names.system)) and prompt[0]["role"] != "system":
        said = cells.text(row.get(names.system), names.system)
        prompt = [Message(role="system", content=said), *prompt]
    label = code(row.get(names.label))
    if label not in GOOD | BAD:
        seen = "nothing" if not label or label == "none" else repr(row.get(names.label))
        raise BadCell(names.label, f"expected true or false, found {seen}", "choice")
    who = row.get(names.annotator) if names.annotator else None
    person = UNNAMED if is_nothing(who) else pseudonym(str(who))
    return Unpaired(prompt, answers, label in GOOD, person, digest(prompt))


def imported(thumbs: Thumbs, *, skip: bool = False) -> Imported:
    """Return the prompts and judgements. Raises BadInput for bad rows, unless `skip`."""
    if thumbs.bad and not skip:
        raise bad_rows(thumbs.source, thumbs.bad)
    new = Imported([], [], [], refused=Counter(r.kind for r in thumbs.bad))
    standing: dict[str, Unpaired] = {}
    for row in thumbs.rows:
        key = digest(row.prompt, row.completion, row.annotator)
        if other := standing.pop(key, None):
            reason = "the same" if other.label == row.label else "another one"
            new.left_out[f"of an answer on which a later row has {reason} by the same person"] += 1
        standing[key] = row
    new.unpaired = list(standing.values())
    new.prompts = [Prompt.of(row.prompt) for row in new.unpaired]
    return new
