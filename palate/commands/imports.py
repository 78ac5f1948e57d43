"""`palate import`: labels that were made elsewhere, into a project."""

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
from palate.commands.import_report import (
    Sizes,
    show_added,
    show_columns,
    show_counts,
    show_read,
    show_rows,
    show_texts,
)
from palate.core.errors import UsageError
from palate.core.markdown import count
from palate.terminal.flags import Text, flag
from palate.terminal.progress import announced

if TYPE_CHECKING:
    from palate.collect.importing import Imported
    from palate.collect.pairs import Rows
    from palate.collect.thumbs import Thumbs
    from palate.core.project import Project
    from palate.core.schema import EventConfig
    from palate.label.preferences import Preferences


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
    twice adds nothing, and a correction that is imported later replaces the first answer.

    Without --a, --b and --choice, the names of the columns decide: `chosen` and `rejected`, texts
    and a choice such as response_a, response_b and winner, or the shape of a file from another
    tool: hh-rlhf, OpenAI, LLaMA-Factory, ShareGPT, Label Studio, Argilla, ratings such as
    UltraFeedback and HelpSteer, thumbs for KTO.

    The choice is a text, its model's name, or a code such as a and b, left and right, model_a, 1
    and 2; true and 1 mean yes in a column about one text, such as b_won. If the values are unclear,
    the import stops and asks for --first, --second and --tie. docs/formats.md lists all shapes.

    All labels are kept for training and testing: no prompt with labels becomes an eval prompt, and
    prompts that the source keeps for testing stay test prompts. `palate prompts` adds the eval
    prompts for the blind comparison, which need no labels.

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
    from palate.collect import importing, pairs, tables
    from palate.collect import thumbs as single_answers
    from palate.collect import votes as blind_votes
    from palate.collect.choices import Given
    from palate.collect.columns import Columns, read_template
    from palate.core.project import Project, check_id
    from palate.report.export import export as export_project

    check_id(project)
    exists = importing.exists(project)
    columns = Columns.of(prompt, a, b, choice, annotator, models, Given(first, second, tie))
    if votes:
        blind_votes.check(columns)
    with announced(console.print, f"Reading {source}"):
        table = tables.read(source, encoding)
    if not votes and template is None and (thumbs := single_answers.read(table, columns)):
        _import_thumbs(project, thumbs, skip=skip, dry_run=dry_run)
        return
    _check_aspect(project, aspect, exists=exists)
    data = pairs.read(table, columns, read_template(template, table), needs_prompt=not votes)
    show_rows(data)
    new = importing.in_aspect(_judgements(project, data, skip=skip, votes=votes), aspect)
    new = importing.without_forgotten(project, new)
    show_counts(data, new)
    if dry_run:
        console.print("Nothing was written: --dry-run.")
        return
    del table, data  # of many rows as large as all that is made of them
    config, sizes = "evaluations" if votes else "labels", Sizes.of(new)
    known = _ids(Project.load(project), config) if exists else set()
    with announced(console.print, f"Writing to {project}"):
        _add(project, new, Path(source).name, votes=votes)
        del new
        result, preferences = export_project(project)
    show_added(config, sizes, len(_ids(result, config) - known))
    _show_next(result, preferences, votes=votes)


def _judgements(project: str, data: "Rows", *, skip: bool, votes: bool) -> "Imported":
    """Return the rows as labels, or as blind votes on the project's base and tuned model."""
    from palate.collect import importing, labels
    from palate.collect import votes as blind_votes
    from palate.core.project import Project

    if not votes:
        return labels.labels_of(data, skip=skip)
    exists = importing.exists(project)
    base = Project.load(project).settings.base_model if exists else ""
    return blind_votes.votes_of(data, base, f"{project}-dpo", skip=skip)


def _add(project: str, new: "Imported", name: str, *, votes: bool) -> None:
    """Add the judgements of a file of this name to the project in one commit."""
    from palate.collect import importing
    from palate.collect import votes as blind_votes
    from palate.core.project import Settings

    if votes:
        blind_votes.add(project, new, f"Import {len(new.events)} blind votes from {name}")
    else:
        importing.add(project, new, f"Import {len(new.events)} labels from {name}", Settings())


def _show_next(project: "Project", preferences: "Preferences", *, votes: bool) -> None:
    if votes:
        console.print(f"Next: palate verdict {project.id}")
        return
    for reason, n in preferences.left_out.items():
        console.print(f"  left out of the preferences: {n:,} {reason}")
    show_status(project)
    show_plan(project)


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
    from palate.collect import thumbs as single_answers
    from palate.core.project import Project, Settings
    from palate.report.dataset_card import push_dataset_card

    show_columns(thumbs.source, "single answers called good or bad", thumbs.used, thumbs.unused)
    for row in thumbs.rows[:1]:
        show_texts(
            thumbs.numbers[0],
            row.prompt,
            [("answer", row.completion[0]["content"]), ("label", "good" if row.label else "bad")],
        )
    new = importing.without_forgotten(project, single_answers.imported(thumbs, skip=skip))
    show_read(len(thumbs.rows) + len(thumbs.bad), len(new.unpaired), new)
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
