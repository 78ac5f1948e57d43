"""Commands that put prompts and labels into a project, look at them, and rebuild from them."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from palate.commands.common import AsJson, Column, File, Id, Source, Words, console, show_status
from palate.core.errors import UsageError


def init(
    project: Id,
    prompts: Annotated[str, tyro.conf.arg(metavar="FILE")],
    column: Column = None,
    template: File = None,
    question: Words = None,
    base_model: Words = None,
    public: bool = False,
) -> None:
    """Make a project from prompts: a Hub dataset repo with settings and the split by prompt.

    The split into train, test and eval is made now, before the first label: eval prompts are never
    labelled. Run again with more prompts, it adds those that are new.

    Example: palate init me/titles --prompts ideas.csv --column idea --template prompt.txt

    Args:
        project: the project, which is a dataset repo.
        prompts: a text file (a prompt a line), CSV, JSON lines, Parquet, or a Hub dataset.
        column: the column that holds the prompt; "prompt" or the only one unless named.
        template: a text file with {column} in it, filled for every row.
        question: what people are asked about two answers.
        base_model: the model to tune.
        public: make the repo public (it is private otherwise).
    """
    from palate.collect import importing, tables
    from palate.core.project import Settings
    from palate.report.export import export as export_project

    table = tables.read(prompts)
    rows = importing.prompts_of(table, column, importing.read_template(template, table))
    given = {"question": question, "base_model": base_model}
    settings = replace(Settings(), **{k: v for k, v in given.items() if v is not None})
    importing.start_project(project, rows, settings, public=public)
    show_status(export_project(project)[0])


def import_(
    project: Id,
    source: Source,
    prompt: Annotated[str, tyro.conf.arg(metavar="COLUMN")] = "prompt",
    a: Column = None,
    b: Column = None,
    choice: Column = None,
    template: File = None,
    votes: bool = False,
) -> None:
    """Take labels that were made elsewhere into a project (which is made if it is not there).

    The choice column says a, 0, left or the first text for the first one; b, 1, right or the second
    text for the second one; or tie. Without --a, --b and --choice the file holds `chosen` and
    `rejected`, as text or as chat messages. The same file imported twice adds nothing.

    Example: palate import me/titles pairs.csv --prompt idea --a title_a --b title_b --choice b_won

    Args:
        project: the project, which is a dataset repo.
        source: a CSV, JSON lines, JSON or Parquet file, or a Hub dataset.
        prompt: the column that holds the prompt.
        a: the column with the first text.
        b: the column with the second text.
        choice: the column that says which of the two was preferred.
        template: a text file with {column} in it, which makes the prompt.
        votes: the rows are blind votes: --a is the base model's text, --b the tuned one's.
    """
    from palate.collect import importing, tables
    from palate.core import hub
    from palate.core.project import SETTINGS_FILE, Settings
    from palate.report.export import export as export_project

    table = tables.read(source)
    columns = importing.Columns(prompt, a, b, choice)
    if votes:
        _import_votes(project, source, table, columns, template)
        return
    new = importing.labels_of(table, columns, importing.read_template(template, table))
    there = hub.exists(project, "dataset")
    if not there or SETTINGS_FILE not in hub.describe(project, "dataset")[1]:
        importing.start_project(project, new.prompts, Settings())
    name = Path(source).name
    importing.add(project, new, f"Import {len(new.events)} labels from {name}")
    result, _ = export_project(project)
    console.print(
        f"{name}: {len(new.events):,} labels on {len({e.pair_id for e in new.events}):,} pairs of"
        f" {len(new.candidates):,} texts, {len(new.prompts):,} prompts"
    )
    for reason, n in new.notes.items():
        console.print(f"  {n:,} {reason}")
    show_status(result)


def _import_votes(project: str, source: str, table, columns, template: Path | None) -> None:
    from palate.collect import importing, votes
    from palate.core import hub
    from palate.core.project import Project, Settings
    from palate.report.export import export as export_project

    there = hub.exists(project, "dataset")
    base = (Project.load(project).settings if there else Settings()).base_model
    read = importing.read_template(template, table)
    new = votes.votes_of(table, columns, read, base, f"{project}-dpo")
    votes.add(project, new, f"Import {len(new.events)} blind votes from {Path(source).name}")
    export_project(project)
    console.print(
        f"{Path(source).name}: {len(new.events):,} votes on {len(new.prompts):,} prompts."
        f" Next: palate verdict {project}"
    )


def audit(
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")],
    prompt: Annotated[str, tyro.conf.arg(metavar="COLUMN")] = "prompt",
    a: Column = None,
    b: Column = None,
    choice: Column = None,
    template: File = None,
    model: Words = None,
    max_length: int = 1024,
    html: File = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with preference data, before GPU time is spent on it.

    Looks for leaking splits, cycles, contradictions, duplicates, biases of length, side and format,
    and for what simple baselines make of it, which a tuned model has to beat. With --model also for
    what its tokenizer and chat template do to the rows. `palate train` looks first, too.

    Example: palate audit pairs.csv --prompt idea --a title_a --b title_b --choice b_won

    Args:
        source: a palate project, a Hub dataset, or a CSV, JSON lines, JSON or Parquet file.
        prompt: the column that holds the prompt.
        a: the column with the first text.
        b: the column with the second text.
        choice: the column that says which of the two was preferred.
        template: a text file with {column} in it, which makes the prompt.
        model: the model that is to be tuned, for lengths in tokens and the cost.
        max_length: tokens of prompt and completion that a training would allow.
        html: where to write the report as a page with pictures.
        as_json: print all figures as JSON.
    """
    from palate.audit import findings, fit, measure, rows
    from palate.collect.importing import Columns
    from palate.report import audit_page

    if html and not html.parent.is_dir():
        raise UsageError(f"There is no folder {html.parent} to write {html.name} to.")
    with console.status(f"Reading {source}"):
        data = rows.read(source, Columns(prompt, a, b, choice), template)
    with console.status(f"Looking at {data.total:,} rows"):
        result = measure.measure(data)
        if model:
            from palate.generate import models

            known = models.peek(model)
            result.fit = fit.fit(data.rows, known, max_length)
        found = findings.findings(result)
    if html:
        html.write_text(audit_page.render(result, found), "utf-8")
    if as_json:
        print(json.dumps(findings.to_json(result, found), indent=2, ensure_ascii=False))
        return
    console.print(audit_page.table(result, found))
    if html:
        console.print(f"\nwritten: {html}")


def export(project: Id) -> None:
    """Rebuild the preferences, which jobs train on, from the labels; renew the dataset card.

    Where ARGILLA_API_URL and ARGILLA_API_KEY are set, labels that were changed in Argilla's own
    interface come along.
    """
    from palate.report.export import export as export_project

    url, key = os.environ.get("ARGILLA_API_URL"), os.environ.get("ARGILLA_API_KEY")
    if url and key:
        from palate.web.ballot.labelling import take_edits

        console.print(f"changed in Argilla: {take_edits(project, url, key)}")
    result, made = export_project(project)
    rows = ", ".join(f"{len(v):,} {k}" for k, v in made.rows.items())
    console.print(f"{project}: {rows} preferences at {result.revision[:7]}")
    for reason, n in made.left_out.items():
        console.print(f"  left out: {n:,} {reason}")
