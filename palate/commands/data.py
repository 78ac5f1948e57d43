"""Commands that put prompts and labels into a project, audit them, and rebuild from them."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from palate.commands.common import (
    AsJson,
    Column,
    ColumnNames,
    File,
    Folder,
    Id,
    Values,
    console,
    show_missing_model,
    show_plan,
    show_status,
)
from palate.core.errors import UsageError
from palate.core.markdown import count
from palate.terminal.flags import ModelRef, Text
from palate.terminal.progress import announced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palate.audit.finding import Finding
    from palate.audit.measure import Audit


def init(
    project: Id,
    prompts: Annotated[str, tyro.conf.arg(metavar="FILE")],
    column: Column = None,
    template: File = None,
    question: Text = None,
    base_model: ModelRef = None,
    public: bool = False,
) -> None:
    """Make a project from prompts: a dataset repo with settings and a split by prompt.

    The prompts are split into train, test and eval now, before the first label. Eval prompts are
    never labelled: about 60, at most 40% of all prompts, are kept for the blind comparison. Run it
    again with more prompts to add the new ones; `palate prompts` adds eval prompts.

    Example: palate init me/titles --prompts ideas.csv --column idea --template prompt.txt

    Args:
        prompts: Text file (one prompt per line), CSV, JSON lines, Parquet, or a Hub dataset.
        column: Column with the prompt. Default: "prompt", or the only column.
        template: Text file that contains {column}, filled in for every row.
        question: What people are asked about two answers.
        base_model: Model to tune.
        public: Make the repo public. It is private otherwise.
    """
    from palate.collect import importing, tables
    from palate.collect.columns import read_template
    from palate.core.project import Settings
    from palate.report.export import export as export_project

    table = tables.read(prompts)
    rows = importing.prompts_of(table, column, read_template(template, table))
    options = {"question": question, "base_model": base_model}
    settings = replace(Settings(), **{k: v for k, v in options.items() if v is not None})
    with announced(console.print, f"Writing {count(len(rows), 'prompt')} to {project}"):
        importing.start_project(project, rows, settings, public=public)
        result, _ = export_project(project)
    show_status(result)
    show_plan(result)
    show_missing_model(result)


def audit(
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")],
    prompt: Column = None,
    a: Column = None,
    b: Column = None,
    choice: ColumnNames = (),
    first: Values = (),
    second: Values = (),
    tie: Values = (),
    template: File = None,
    encoding: Text = None,
    model: ModelRef = None,
    max_length: int = 1024,
    aspect: Text = None,
    html: File = None,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with preference data, before GPU time is spent on it.

    Checks for leaking splits, cycles, contradictions, duplicates, and biases of length, position
    and format, and scores the simple baselines that a tuned model has to beat. With --model it also
    checks what the tokenizer and chat template do to the rows. `palate train` runs the audit first.

    The exit code is 1 if a finding is fatal, which stops training.

    Example: palate audit pairs.csv --prompt idea --a title_a --b title_b --choice b_won

    Args:
        source: Project, Hub dataset, or a file as `palate import` reads them.
        prompt: Column with the prompt. Default: by its name, such as prompt or instruction.
        a: Column with the first text.
        b: Column with the second text.
        choice: Column that says which of the two was preferred. Several columns are several judges.
        first: Values of the choice column that mean the first text.
        second: Values of the choice column that mean the second text.
        tie: Values of the choice column that mean a tie.
        template: Text file that contains {column}, from which each prompt is made.
        encoding: Encoding of a text file that is not UTF-8, such as gb18030.
        model: Model to tune, for lengths in tokens and the cost.
        max_length: Tokens of prompt and answer that the training will allow.
        aspect: Aspect of a project whose labels are checked. Default: the first one.
        html: File to write the report to, as a page with plots.
    """
    from palate.audit import findings, fit, measure, rows
    from palate.collect.choices import Given
    from palate.collect.columns import Columns

    if html and not html.parent.is_dir():
        raise UsageError(f"There is no folder {html.parent} to write {html.name} to.")
    with console.status(f"Reading {source}"):
        columns = Columns.of(prompt, a, b, choice, given=Given(first, second, tie))
        data = rows.read(source, columns, template, encoding, aspect)
    with console.status(f"Auditing {data.total:,} rows"):
        result = measure.measure(data)
        if model:
            from palate.generate import models

            result.fit = fit.fit(data.rows, models.peek(model), max_length)
        issues = findings.findings(result)
    _report_audit(result, issues, data.project, as_json=as_json, html=html)
    if any(issue.level == "fatal" for issue in issues):
        sys.exit(1)


def _report_audit(
    result: "Audit",
    issues: "Sequence[Finding]",
    project: str | None,
    *,
    as_json: bool,
    html: Path | None,
) -> None:
    """Write the page of an audit, and print it as a table or as JSON."""
    from palate.audit import findings, json_report
    from palate.core.project import Project
    from palate.report import audit_page
    from palate.report.status import in_aspects

    if html:
        html.write_text(audit_page.render(result, issues), "utf-8")
    if as_json:
        print(json.dumps(json_report.to_json(result, issues), indent=2, ensure_ascii=False))
        return
    console.print(audit_page.table(result, issues))
    for line in in_aspects(Project.load(project)) if project else ():
        console.print(line)
    if html:
        console.print(f"\nwritten: {html}")
    console.print(f"\n{findings.outcome(issues)}")


def export(project: Id, to: Folder = None) -> None:
    """Rebuild the preferences, which trainings read, and the dataset card from the labels.

    With --to, also write what other tools read: preferences and single answers for TRL (Parquet),
    records for Argilla, and a CSV with a row for each judgement.

    If ARGILLA_API_URL and ARGILLA_API_KEY are set, changes made in Argilla's own interface are
    included.

    Args:
        to: Folder for the files of other tools.
    """
    from palate.report.export import export as export_project

    url, key = os.environ.get("ARGILLA_API_URL"), os.environ.get("ARGILLA_API_KEY")
    if url and key:
        from palate.web.argilla_sync import sync_edits

        console.print(f"changed in Argilla: {sync_edits(project, url, key)}")
    result, preferences = export_project(project)
    rows = ", ".join(f"{len(v):,} {k}" for k, v in preferences.rows.items())
    console.print(f"{project}: {rows} preferences at {result.revision[:7]}")
    for reason, n in preferences.left_out.items():
        console.print(f"  left out: {n:,} {reason}")
    if to:
        from palate.report.other_tools import write

        sizes, left_out = write(result, to)
        for name, size in sizes.items():
            console.print(f"  {to / name}: {count(size, 'row')}", markup=False)
        for reason, n in left_out.items():
            console.print(f"  left out of the single answers: {n:,} {reason}")
