"""`palate import`: labels that were made elsewhere, into a project."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from palate.commands.common import (
    Column,
    ColumnNames,
    File,
    Id,
    Source,
    Values,
    console,
    show_plan,
    show_status,
)
from palate.core.errors import UsageError
from palate.core.markdown import count
from palate.terminal.flags import Text, flag
from palate.terminal.progress import announced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from palate.collect.importing import Imported
    from palate.collect.pairs import Rows
    from palate.collect.thumbs import Thumbs
    from palate.core.project import Project
    from palate.core.schema import EventConfig, Message

SHOWN = 120  # characters of a text in the example


def import_(
    project: Id,
    source: Source,
    prompt: Column = None,
    a: Column = None,
    b: Column = None,
    choice: ColumnNames = (),
    first: Values = (),
    second: Values = (),
    tie: Values = (),
    annotator: Column = None,
    models: Annotated[tuple[str, str] | None, flag("COLUMN COLUMN")] = None,
    template: File = None,
    encoding: Text = None,
    votes: bool = False,
    aspect: Text = None,
    skip: bool = False,
    dry_run: bool = False,
) -> None:
    """Import labels that were made elsewhere. The project is created if it does not exist.

    Prints what each column is used for, with an example, before it writes. A row that cannot be
    used stops the import before anything is written; all such rows are listed. Importing a file
    twice adds nothing, and a correction that is imported later stands.

    Without --a, --b and --choice, the names of the columns decide: `chosen` and `rejected`, texts
    and a choice such as response_a, response_b and winner, or the shape of a file from another
    tool: hh-rlhf, OpenAI, LLaMA-Factory, ShareGPT, Label Studio, Argilla, ratings such as
    UltraFeedback and HelpSteer, thumbs for KTO.

    The choice is a text, its model's name, or a code such as a and b, left and right, model_a, 1
    and 2; true and 1 mean yes in a column about one text, such as b_won. What is uncertain is asked
    for: --first, --second and --tie say which values mean what. docs/formats.md has all shapes.

    All labels are kept for training and testing: no prompt with labels becomes an eval prompt, and
    prompts that the source keeps for testing stay test prompts. `palate prompts` brings the eval
    prompts of the blind comparison, which need no labels.

    Example: palate import me/titles pairs.csv --prompt idea --a title_a --b title_b --choice b_won

    Args:
        source: CSV, JSON lines, JSON, Parquet or Excel file, or a Hub dataset
            (owner/name:config/split).
        prompt: Column with the prompt. Default: by its name, such as prompt or instruction.
        a: Column with the first text.
        b: Column with the second text.
        choice: Column that says which of the two was preferred. Several columns are several judges.
        first: Values of the choice column that mean the first text.
        second: Values of the choice column that mean the second text.
        tie: Values of the choice column that mean a tie.
        annotator: Column that says who chose. Only a pseudonym is stored.
        models: Columns that say which models wrote the first and the second text.
        template: Text file that contains {column}, from which each prompt is made.
        encoding: Encoding of a text file that is not UTF-8, such as gb18030.
        votes: The rows are blind votes: --a is the base model's text, --b the tuned model's.
        aspect: Aspect of the project that the choice is about. Needed where it has aspects.
        skip: Leave out rows that cannot be used, and count them.
        dry_run: Print what would be imported, and stop.
    """
    from palate.collect import importing, labels, pairs, tables
    from palate.collect import thumbs as unpaired
    from palate.collect import votes as blind
    from palate.collect.choices import Given
    from palate.collect.columns import Columns, read_template
    from palate.core.project import Project, Settings, check_id
    from palate.report.export import export as export_project

    check_id(project)
    exists = importing.exists(project)
    given = Given(first, second, tie)
    columns = Columns.of(prompt, a, b, choice, annotator, models, given)
    if votes:
        blind.check(columns)
    with announced(console.print, f"Reading {source}"):
        table = tables.read(source, encoding)
    if not votes and template is None and (thumbs := unpaired.read(table, columns)):
        _import_thumbs(project, thumbs, skip=skip, dry_run=dry_run)
        return
    _check_aspect(project, aspect, exists=exists)
    data = pairs.read(table, columns, read_template(template, table), needs_prompt=not votes)
    _show(data)
    if votes:
        base = Project.load(project).settings.base_model if exists else ""
        new = blind.votes_of(data, base, f"{project}-dpo", skip=skip)
    else:
        new = labels.labels_of(data, skip=skip)
    new = importing.without_forgotten(project, importing.in_aspect(new, aspect))
    _show_counts(data, new)
    if dry_run:
        console.print("Nothing was written: --dry-run.")
        return
    del table, data  # of many rows as large as all that is made of them
    name, config = Path(source).name, "evaluations" if votes else "labels"
    known = _ids(Project.load(project), config) if exists else set()
    sizes = _Sizes.of(new)
    with announced(console.print, f"Writing to {project}"):
        if votes:
            blind.add(project, new, f"Import {len(new.events)} blind votes from {name}")
        else:
            message = f"Import {len(new.events)} labels from {name}"
            importing.add(project, new, message, Settings())
        del new
        result, preferences = export_project(project)
    _show_added(result, config, known, sizes)
    if votes:
        console.print(f"Next: palate verdict {project}")
        return
    for reason, n in preferences.left_out.items():
        console.print(f"  left out of the preferences: {n:,} {reason}")
    show_status(result)
    show_plan(result)


def _check_aspect(project: str, aspect: str | None, *, exists: bool) -> None:
    """Raise UsageError unless the judgements can be in this aspect, or in none, of the project."""
    from palate.core.project import Project
    from palate.core.rounds import check_aspect, in_aspect

    if exists:
        loaded = in_aspect(Project.load(project), aspect)
        check_aspect(loaded, aspect)
    elif aspect:
        raise UsageError(
            f"--aspect {aspect}: there is no project {project} yet. Start it with palate init, and"
            " write `aspects` into its palate.toml."
        )


def _import_thumbs(project: str, thumbs: "Thumbs", *, skip: bool, dry_run: bool) -> None:
    """Import answers that were called good or bad: they are kept, but make no pairs."""
    from palate.collect import importing
    from palate.collect import thumbs as unpaired
    from palate.core.project import Project, Settings
    from palate.report.dataset_card import push_dataset_card

    _show_columns(thumbs.source, "single answers called good or bad", thumbs.used, thumbs.unused)
    for row in thumbs.rows[:1]:
        _show_texts(
            thumbs.numbers[0],
            row.prompt,
            [("answer", row.completion[0]["content"]), ("label", "good" if row.label else "bad")],
        )
    new = importing.without_forgotten(project, unpaired.imported(thumbs, skip=skip))
    _show_read(len(thumbs.rows) + len(thumbs.bad), len(new.unpaired), new)
    if dry_run:
        console.print("Nothing was written: --dry-run.")
        return
    before = len(Project.load(project).read("unpaired")) if importing.exists(project) else 0
    result = importing.add(project, new, f"Import {len(new.unpaired)} single answers", Settings())
    push_dataset_card(project)
    added = len(result.read("unpaired")) - before
    console.print(
        f"{count(added, 'new answer')} in the config unpaired, for KTO. They make no pairs, so"
        f" `palate train` does not use them. Next: palate kto {project}"
    )


def _ids(project: "Project", config: "EventConfig") -> set[str]:
    return {e.event_id for e in project.read(config)}


def _show(data: "Rows") -> None:
    """Print what each column is used for, with the first row as an example."""
    from palate.collect.choices import MEANS

    _show_columns(data.source, data.format, data.used, data.unused, data.codes)
    for row in data.rows[:1]:
        sides = ("first", "second") if data.sided else ("chosen", "rejected")
        texts = [(sides[0], row.left), (sides[1], row.right)]
        texts += [("choice", MEANS[row.choice])] if data.sided else []
        messages = row.messages if isinstance(row.messages, list) else []
        prompt = messages or [{"role": "user", "content": row.prompt}]
        _show_texts(row.number, prompt, texts)
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


def _show_columns(
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


def _show_texts(
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


def _show_counts(data: "Rows", new: "Imported") -> None:
    read = len(data.rows) + len(data.bad) + sum(data.set_aside.values())
    _show_read(read, len(new.events), new)


def _show_read(read: int, imported: int, new: "Imported") -> None:
    """Print that all that was read is imported, left out or refused."""
    left_out, refused = new.left_out.total(), new.refused.total()
    console.print(
        f"{read:,} read = {imported:,} imported + {left_out:,} left out + {refused:,} refused"
    )
    for reason, n in [*new.left_out.items(), *new.refused.items(), *new.notes.items()]:
        console.print(f"  {n:,} {reason}", markup=False)


@dataclass(frozen=True)
class _Sizes:
    """How much an import holds."""

    judgements: int
    pairs: int
    texts: int
    prompts: int

    @classmethod
    def of(cls, new: "Imported") -> "_Sizes":
        pairs = len({e.pair_id for e in new.events})
        return cls(len(new.events), pairs, len(new.candidates), len(new.prompts))


def _show_added(project: "Project", config: "EventConfig", known: set[str], new: _Sizes) -> None:
    """Print how many of the judgements the project did not have."""
    what = "vote" if config == "evaluations" else "label"
    added = len(_ids(project, config) - known)
    old = new.judgements - added
    if not added:
        console.print(f"Nothing changed: the project has {'it' if old == 1 else 'all of them'}.")
        return
    console.print(
        f"{count(new.judgements, what)} on {count(new.pairs, 'pair')}"
        f" of {count(new.texts, 'text')}, {count(new.prompts, 'prompt')}:"
        f" {added:,} new, {old:,} in the project already"
    )
