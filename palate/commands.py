"""The commands: each parses, calls and prints. Heavy imports wait until one needs them."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from palate.errors import UsageError

Id = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
Column = Annotated[str | None, tyro.conf.arg(metavar="COLUMN", help_behavior_hint="")]
Words = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")]
console = Console(highlight=False, soft_wrap=True)


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
    from palate import importing, tables
    from palate.project import Settings

    table = tables.read(prompts)
    rows = importing.prompts_of(table, column, importing.read_template(template, table))
    given = {"question": question, "base_model": base_model}
    settings = replace(Settings(), **{k: v for k, v in given.items() if v is not None})
    made = importing.start_project(project, rows, settings, public=public)
    _show_status(made)


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
    from palate import hub, importing, tables
    from palate.project import SETTINGS_FILE, Settings

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
    result = importing.add(project, new, f"Import {len(new.events)} labels from {name}")
    console.print(
        f"{name}: {len(new.events):,} labels on {len({e.pair_id for e in new.events}):,} pairs of"
        f" {len(new.candidates):,} texts, {len(new.prompts):,} prompts"
    )
    for reason, n in new.notes.items():
        console.print(f"  {n:,} {reason}")
    _show_status(result)


def _import_votes(project: str, source: str, table, columns, template: Path | None) -> None:
    from palate import hub, importing, votes
    from palate.project import Project, Settings

    there = hub.exists(project, "dataset")
    base = (Project.load(project).settings if there else Settings()).base_model
    read = importing.read_template(template, table)
    new = votes.votes_of(table, columns, read, base, f"{project}-dpo")
    votes.add(project, new, f"Import {len(new.events)} blind votes from {Path(source).name}")
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
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
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
    from palate.audit import findings, fit, measure, page, rows
    from palate.errors import UsageError
    from palate.importing import Columns

    if html and not html.parent.is_dir():
        raise UsageError(f"There is no folder {html.parent} to write {html.name} to.")
    with console.status(f"Reading {source}"):
        data = rows.read(source, Columns(prompt, a, b, choice), template)
    with console.status(f"Looking at {data.total:,} rows"):
        result = measure.measure(data)
        if model:
            from palate import models

            known = models.peek(model)
            result.fit = fit.fit(data.rows, known, max_length)
        found = findings.findings(result)
    if html:
        html.write_text(page.render(result, found), "utf-8")
    if as_json:
        print(json.dumps(findings.to_json(result, found), indent=2, ensure_ascii=False))
        return
    console.print(page.table(result, found))
    if html:
        console.print(f"\nwritten: {html}")


def export(project: Id) -> None:
    """Rebuild the preferences, which jobs train on, from the labels; renew the dataset card.

    Where ARGILLA_API_URL and ARGILLA_API_KEY are set, labels that were changed in Argilla's own
    interface come along.
    """
    import os

    from palate import ledger

    url, key = os.environ.get("ARGILLA_API_URL"), os.environ.get("ARGILLA_API_KEY")
    if url and key:
        from palate.ballot.labelling import take_edits

        console.print(f"changed in Argilla: {take_edits(project, url, key)}")
    result, made = ledger.export(project)
    rows = ", ".join(f"{len(v):,} {k}" for k, v in made.rows.items())
    console.print(f"{project}: {rows} preferences at {result.revision[:7]}")
    for reason, n in made.left_out.items():
        console.print(f"  left out: {n:,} {reason}")


def status(project: Id) -> None:
    """Show where the loop stands, and what to run next."""
    from palate.project import Project

    _show_status(Project.load(project))


def label(project: Id, port: int = 7860) -> None:
    """Serve the labelling page of a project here, until Ctrl-C.

    Labels go to Argilla (the embedded one, or the one that ARGILLA_API_URL names) and from there to
    the project on the Hub.

    Args:
        project: the project, which is a dataset repo.
        port: where to listen on this machine; 0 takes any free port.
    """
    _serve("label", project, port)


def agreement(project: Id, as_json: Annotated[bool, tyro.conf.arg(name="json")] = False) -> None:
    """Show how people label: agreement, self-consistency, side and length bias, haste.

    People stand there by their pseudonyms; the label Space's page for owners knows their names.

    Args:
        project: the project, which is a dataset repo.
        as_json: print all figures as JSON.
    """
    from palate import agreement as labelling
    from palate.project import Project

    loaded = Project.load(project)
    result = labelling.report(loaded.rows("labels"), loaded.rows("candidates"))
    if as_json:
        print(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
        return
    for sentence in result.sentences():
        console.print(sentence)
    if result.people:
        console.print(labelling.table(result))


def evaluate(project: Id, port: int = 7861) -> None:
    """Serve the blind comparison of base and tuned model here, until Ctrl-C.

    Args:
        project: the project, which is a dataset repo.
        port: where to listen on this machine; 0 takes any free port.
    """
    _serve("evaluate", project, port)


def verdict(
    project: Id,
    margin: float = 0.1,
    characters: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="LOW HIGH")] = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Count the blind votes, print the verdict and put it on the model's card.

    You may look after every vote: the rule that says "decided" allows for it. Beside the win rate
    stand what other prompts and people might say, and what besides quality may have decided.

    Args:
        project: the project, which is a dataset repo.
        margin: a win rate this near to one half is called no difference.
        characters: count how many answers of each model keep within these lengths.
        as_json: print all figures as JSON.
    """
    from palate import hub
    from palate import verdict as votes
    from palate.project import Project
    from palate.ratings import figures, ratings, table

    loaded = Project.load(project)
    result = votes.count(loaded, margin, characters)
    rated = ratings(loaded.rows("evaluations"), loaded.rows("candidates"), result.base)
    repo = loaded.model_repo
    trained = hub.exists(repo, "model") and "run.json" in hub.describe(repo, "model")[1]
    url = votes.publish(loaded, result) if trained else None
    if as_json:
        print(json.dumps(figures(result, rated), indent=2, ensure_ascii=False))
        return
    console.print(f"verdict: {result.sentence()}")
    lines = (result.meaning(), *result.cautions(), *votes.confounded(result), *table(rated))
    for line in lines:
        console.print(f"  {line}")
    console.print(f"card: {url}" if url else f"no card: {repo} holds no model that palate trained")


def card(project: Id) -> None:
    """Render the cards of dataset and model again and push them."""
    from palate import cards, hub
    from palate.project import Project

    console.print(f"dataset card: {cards.push_dataset_card(project)}")
    repo = Project.load(project).model_repo
    if hub.exists(repo, "model"):
        console.print(f"model card: {cards.push_model_card(project)}")
    else:
        console.print(f"no model yet: palate train {project}")


def jobs(project: Id, follow: Words = None, cancel: Words = None) -> None:
    """Show what ran on HF Jobs for a project: when, where, how long, at what cost, how it ended.

    Example: palate train me/titles --on hf, then Ctrl-C, then palate jobs me/titles --follow ID

    Args:
        project: the project, which is a dataset repo.
        follow: show what the job with this id writes, until it ends or Ctrl-C.
        cancel: end the job with this id.
    """
    from palate import running
    from palate.project import check_id

    check_id(project)
    if follow:
        running.follow(console, project, running.named(project, follow))
    elif cancel:
        console.print(running.cancel(project, cancel))
    elif found := running.jobs_of(project):
        console.print(running.table(project, found))
    else:
        console.print(f"Nothing ran on HF Jobs yet: palate train {project} --on hf")


def demo(
    once: bool = False,
    hosted: bool = False,
    labels: int = 400,
    root: Path = Path(".palate/demo"),
) -> None:
    """Run the whole loop on this machine, with a tiny model and a simulated annotator.

    Starts a local Hub and Argilla, labels, trains, evaluates blind, and shows the links. Run again,
    it continues where it stood.

    Args:
        once: stop everything after the verdict instead of serving until Ctrl-C.
        hosted: as on the Hub: Spaces that the local Hub builds and runs, jobs through its API, and
            two people who sign in, each in a Chromium of their own.
        labels: how many pairs the annotator labels.
        root: where the demo keeps its Hub, its Argilla and its models.
    """
    from palate.demo import run

    run(root, once=once, labels=labels, as_hosted=hosted)


def deploy(
    project: Id,
    visibility: Annotated[
        Literal["private", "protected", "public"] | None,
        tyro.conf.arg(metavar="private|protected|public", help_behavior_hint=""),
    ] = None,
    hardware: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None,
    sleep: Annotated[int | None, tyro.conf.arg(metavar="SECONDS", help_behavior_hint="")] = None,
    cache: bool = False,
    dry_run: bool = False,
    pause: bool = False,
    delete: bool = False,
) -> None:
    """Put the label and the evaluate Space of a project on the Hub, and wait until they run.

    Shows what it would do, does it, and shows the log of a Space that fails. Run again, it changes
    only what differs. The Spaces write the project with your token, or with PALATE_SPACE_TOKEN if
    that is set: best a fine-grained one that may write this dataset and its model alone. Where
    ARGILLA_API_URL and ARGILLA_API_KEY are set, labels go to that Argilla.

    Example: palate deploy me/titles --visibility protected

    Args:
        project: the project, which is a dataset repo.
        visibility: who may open the Spaces: private (you and your organisation, the default),
            protected (anybody, the code stays yours) or public.
        hardware: the Hub's name for a machine, such as cpu-upgrade; some cost money.
        sleep: seconds without a visit after which a paid machine sleeps.
        cache: keep downloaded packages in a bucket, so that a restart is quicker.
        dry_run: show what would be done, and do nothing.
        pause: pause the Spaces; deploy again to start them.
        delete: delete the Spaces. Labels and models stay.
    """
    from palate import deploy as spaces
    from palate.project import Project

    loaded = Project.load(project)
    if pause or delete:
        done = spaces.delete(loaded) if delete else spaces.pause(loaded)
        for name in done:
            console.print(f"{'deleted' if delete else 'paused'}: {name}")
        if not done:
            console.print(f"{project} has no Spaces here.")
        return
    wishes = spaces.Wishes(visibility, hardware, sleep, cache)
    spaces.deploy(loaded, wishes, console, dry_run=dry_run)


def hub_serve(root: Folder = None, host: str = "127.0.0.1", port: int = 8123) -> None:
    """Serve a Hub on this machine that the usual clients work with, until Ctrl-C.

    Args:
        root: where repos and users are kept.
        host: the address to listen on; anything but loopback opens it to the network.
        port: the port to listen on.
    """
    from palate.localhub import serve
    from palate.serving import data_folder

    with _plain_errors():
        serve(root or data_folder("hub"), host=host, port=port)


def argilla_serve(
    root: Folder = None, host: str = "127.0.0.1", port: int = 6900, workers: int = 1
) -> None:
    """Serve Argilla on this machine, in an environment of its own, until Ctrl-C.

    It keeps its data in SQLite, or where ARGILLA_DATABASE_URL (PostgreSQL) and ARGILLA_REDIS_URL
    say.

    Args:
        root: where its database and the owner's key are kept.
        host: the address to listen on; anything but loopback opens it to the network.
        port: the port to listen on.
        workers: how many processes serve; more than one needs PostgreSQL and Redis.
    """
    from palate.argilla.server import serve
    from palate.serving import data_folder

    with _plain_errors():
        serve(root or data_folder("argilla"), host=host, port=port, workers=workers)


@contextmanager
def _plain_errors() -> Generator[None]:
    """The servers know nothing of palate, so neither of its exceptions."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error


def _serve(kind, project: str, port: int) -> None:
    from palate import hub
    from palate.contest import contest
    from palate.project import Project
    from palate.serving import Space
    from palate.verdict import plan

    loaded = Project.load(project)
    if kind == "evaluate":
        contest(loaded)  # says here, rather than in the Space's log, that something is missing
    seconds = "2" if hub.is_local() else "30"  # the Hub limits commits by the hour
    space = Space(kind, project, port=port, env={"PALATE_PUBLISH_SECONDS": seconds})
    try:
        with space:
            console.print(f"Open [bold cyan]{space.url}[/] to {kind}. Ctrl-C stops.")
            if kind == "label":
                console.print(f"For you alone, how people label: [cyan]{space.owner_url}[/]")
            else:
                console.print(plan())
                console.print(f"The verdict so far, if you do not vote: [cyan]{space.owner_url}[/]")
            assert space.process is not None
            space.process.wait()
    except KeyboardInterrupt:
        console.print("Stopping; what was said is being published.")
    finally:
        space.stop()
    if kind == "label":
        export(project)
    else:
        console.print(f"Count the votes with: [bold cyan]palate verdict {project}[/]")


def _show_status(project) -> None:
    from palate import status as loop

    console.print(loop.picture(project, loop.steps(project)))
