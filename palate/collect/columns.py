"""Which columns of a table hold what, and templates that make a prompt of several."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from palate.collect import battles
from palate.collect.cells import BadCell, is_nothing
from palate.collect.choices import Given
from palate.collect.onehot import OneHot, one_hot
from palate.collect.rows import Table
from palate.core.errors import UsageError

# columns by the names that data sets give them; the first that is there counts
PROMPTS = (
    "prompt", "instruction", "question", "query", "conversations", "conversation", "messages",
    "context",
)  # fmt: skip
SYSTEMS = ("system", "system_prompt", "system_message")
ANNOTATORS = (
    "annotator", "annotator_id", "worker", "worker_id", "judge", "rater", "rater_id", "labeler",
    "evaluator", "voter", "user_id", "person",
)  # fmt: skip
SIDES = (
    ("response_a", "response_b"), ("a", "b"), ("output_1", "output_2"), ("response1", "response2"),
    ("response_1", "response_2"), ("response_0", "response_1"), ("answer_a", "answer_b"),
    ("answer_1", "answer_2"), ("answer1", "answer2"), ("completion_a", "completion_b"),
    ("conversation_a", "conversation_b"), ("text_a", "text_b"), ("output_a", "output_b"),
)  # fmt: skip
CHOSEN = (
    ("chosen", "rejected"),
    ("accepted", "rejected"),
    ("preferred_output", "non_preferred_output"),
)
MODELS = (
    ("model_a", "model_b"), ("generator_1", "generator_2"), ("model_1", "model_2"),
    ("model1", "model2"), ("chosen_model", "rejected_model"),
)  # fmt: skip
CHOICES = (
    "winner", "choice", "preference", "preferred", "overall_preference", "preference_strength",
    "winner_model_a", "vote", "verdict", "label", "better_response_id", "comparison", "won",
)  # fmt: skip
MEDIA = ("images", "image", "videos", "audios")


@dataclass(frozen=True)
class Template:
    """A text that is filled with a row's values."""

    text: str
    names: tuple[str, ...]

    def fill(self, row: Mapping[str, object]) -> str:
        """Return the text of a row; null is nothing. Raises BadCell where a column is missing."""
        for name in self.names:
            if name not in row:
                problem = "expected a value for the template, found no such field"
                raise BadCell(name, problem, "prompt")
        pattern = re.compile("|".join(re.escape("{" + n + "}") for n in self.names))

        def value(match: re.Match[str]) -> str:
            cell = row[match[0][1:-1]]
            return "" if is_nothing(cell) and not isinstance(cell, str) else str(cell)

        return pattern.sub(value, self.text).strip()


@dataclass(frozen=True)
class Columns:
    """The columns of labelled pairs, as the user names them: two texts and a choice.

    Without them, the table's own names say which columns hold what.
    """

    prompt: str | None = None
    a: str | None = None
    b: str | None = None
    choice: str | None = None
    annotator: str | None = None  # who chose
    models: tuple[str, str] | None = None  # which models wrote the two texts
    given: Given = field(default_factory=Given)
    judges: tuple[str, ...] = ()  # columns of which each has one judge's choices

    @classmethod
    def of(
        cls,
        prompt: str | None,
        a: str | None,
        b: str | None,
        choice: Sequence[str],
        annotator: str | None = None,
        models: tuple[str, str] | None = None,
        given: Given | None = None,
    ) -> "Columns":
        """Return the columns, of which several with a choice are several judges.

        Those of one choice, such as winner_model_a and winner_model_b, count as one.
        """
        hot = one_hot(choice[0], choice) if choice else None
        one = len(choice) < 2 or (hot is not None and set(choice) == set(hot.columns))
        if not one and annotator:
            raise UsageError(
                "--choice with several columns names the judges: leave --annotator out."
            )
        if len(set(choice)) < len(choice):
            raise UsageError("--choice: expected each column once.")
        judges = () if one else tuple(choice)
        first = choice[0] if choice else None
        return cls(prompt, a, b, first, annotator, models, given or Given(), judges)


@dataclass(frozen=True)
class Roles:
    """What each column of a table is used for; `choice` is None where the first text was chosen."""

    first: str
    second: str
    choice: str | OneHot | None
    prompt: str | None
    system: str | None = None
    history: str | None = None
    input: str | None = None
    media: tuple[str, ...] = ()
    tools: str | None = None
    annotator: str | None = None
    models: tuple[str, str] | None = None
    split: str | None = None
    template: Template | None = None

    @property
    def is_preference(self) -> bool:
        return self.choice is None

    def used(self) -> dict[str, str]:
        """Return what the columns are used for, by column."""
        words = ("chosen", "rejected") if self.is_preference else ("first text", "second text")
        names: dict[str, str] = {self.first: words[0]}
        names.setdefault(self.second, words[1])
        hot = self.choice.columns if isinstance(self.choice, OneHot) else (self.choice,)
        pairs: list[tuple[str | None, str]] = [(column, "choice") for column in hot]
        pairs += [
            (n, "prompt, by the template") for n in (self.template.names if self.template else ())
        ]
        pairs += [
            (self.prompt, "prompt"), (self.input, "prompt, after the instruction"),
            (self.system, "prompt, as system message"), (self.history, "prompt, as earlier turns"),
            *((m, "prompt, as a mark for each image") for m in self.media),
            (self.tools, "prompt; only rows without tools"),
            (self.annotator, "who chose, under a pseudonym"), (self.split, "split"),
            *((m, "which model wrote the text") for m in self.models or ()),
        ]  # fmt: skip
        for column, use in pairs:
            if column:
                names.setdefault(column, use)
        return names


def roles_of(
    table: Table, columns: Columns, template: Template | None, *, needs_prompt: bool = True
) -> Roles:
    """Return what the columns are used for: as named, or by their usual names.

    Raises UsageError or BadInput if columns are missing, or could hold one thing or another.
    """
    roles = _sides(table, columns)
    models = columns.models or pair_of(table, MODELS)
    if not set(models or ()) <= set(table.columns):
        table.need(*(models or ()))
    texts = {roles.first, roles.second}
    if texts == set(models or ()):
        has_prompt = bool(columns.prompt or template or table.named(PROMPTS))
        sides = roles.first, roles.second
        battles.check(table, sides, str(columns.choice), not needs_prompt, has_prompt)
    named = columns.prompt or template is None
    prompt = _prompt(table, columns, roles, needs_prompt=needs_prompt) if named else None
    filled = set(template.names) if template else set()
    asks = prompt is not None and prompt.casefold() in ("instruction", "prompt", "question")
    history = next(
        (c for c in table.named(("history",)) if c != prompt and table.has_lists(c)), None
    )
    if columns.annotator:
        table.need(columns.annotator)
    return replace(
        roles,
        prompt=None if template else prompt,
        template=template,
        system=_free(table, SYSTEMS, filled | {prompt}),
        history=history if history not in filled else None,
        input=_free(table, ("input",), filled | {prompt}) if asks and not template else None,
        media=tuple(c for c in table.named(MEDIA) if c not in filled and table.fills(c)),
        tools=_free(table, ("tools",), filled),
        models=models,
        annotator=columns.annotator or _free(table, ANNOTATORS, texts),
        split=_free(table, ("split",), filled),
    )


def _prompt(table: Table, columns: Columns, roles: Roles, *, needs_prompt: bool) -> str | None:
    """Return the column of the prompt, None where the texts bring it; raise if it is unclear."""
    if columns.prompt:
        return table.name_of(columns.prompt)
    whole = table.has_lists(roles.first)  # conversations, which begin with the prompt
    free = (c for c in table.named(PROMPTS) if c not in (roles.first, roles.second))
    prompt = next((c for c in free if not (whole and _lacks_messages(table, c))), None)
    if prompt is None and needs_prompt and not (roles.is_preference or whole):
        have = ", ".join(table.columns)
        raise UsageError(
            f"{table.source}: which column holds the prompt? Found: {have}. Name it with --prompt"
            " COLUMN, or make it of several with --template FILE."
        )
    return prompt


def _sides(table: Table, columns: Columns) -> Roles:
    """Return the roles of the two texts and the choice."""
    present = [pair for pair in SIDES if pair_of(table, [pair])]
    usual = pair_of(table, present) if len(present) == 1 else None
    a, b = columns.a, columns.b
    if columns.choice and usual and not a and not b:
        a, b = usual
    if a and b and columns.choice:
        table.need(a, b, columns.choice)
        if len({a, b, columns.choice}) < 3:
            raise UsageError("--a, --b and --choice: expected three different columns.")
        return Roles(a, b, _choice(table, columns.choice), None)
    if a or b or columns.choice:
        raise UsageError(
            "Give --a, --b and --choice together, or none of them; --choice alone where the texts"
            " are in columns such as response_a and response_b."
        )
    if pair := pair_of(table, CHOSEN):
        return Roles(*pair, None, None)
    choices = table.named(CHOICES)
    if usual and len(choices) == 1:
        return Roles(*usual, _choice(table, choices[0]), None)
    if (models := pair_of(table, MODELS)) and len(choices) == 1:
        raise battles.refusal(table, models, choices[0])
    have = ", ".join(table.columns) or "none"
    if usual:
        raise UsageError(
            f"{table.source}: which column says whether {usual[0]} or {usual[1]} was preferred?"
            f" Found: {have}. Name it with --choice COLUMN."
        )
    raise UsageError(
        f"{table.source} has no columns chosen and rejected; found: {have}. Say which hold the two"
        " texts and the choice: --prompt COL --a COL --b COL --choice COL"
    )


def _choice(table: Table, column: str) -> str | OneHot:
    """Return the column of the choice, or the columns of which one says yes."""
    hot = one_hot(column, table.columns)
    if hot and all(hot.fits(row) for row in table.rows):
        return hot
    return column


def pair_of(table: Table, pairs: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the table's columns with the first of these pairs of names, if it has any."""
    for pair in pairs:
        if len(columns := table.named(pair)) == 2:
            return columns[0], columns[1]
    return None


def _free(table: Table, names: Iterable[str], taken: Iterable[str | None]) -> str | None:
    return next((c for c in table.named(names) if c not in taken), None)


def _lacks_messages(table: Table, column: str) -> bool:
    """Tell whether the column holds lists of something else than messages, such as turns."""
    values = (row.get(column) for row in table.rows)
    first = next((value for value in values if isinstance(value, list) and value), [])
    return any(not isinstance(x, dict) or not {"role", "from"} & set(x) for x in first)


def template_of(text: str, table: Table) -> Template:
    """Return the template that fills `{column}` in the text with a row's values."""
    names = [n for n in re.findall(r"\{([^{}\n]+)\}", text) if n in table.columns]
    if not names:
        have = ", ".join("{" + c + "}" for c in table.columns)
        raise UsageError(f"The template names no column of {table.source}; it has: {have}")
    return Template(text, tuple(dict.fromkeys(names)))


def read_template(path: Path | None, table: Table) -> Template | None:
    """Return the template in a file, or None without one."""
    if path is None:
        return None
    try:
        return template_of(path.read_text("utf-8"), table)
    except FileNotFoundError:
        raise UsageError(f"There is no template file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The template {path} cannot be read: {error}.") from None
