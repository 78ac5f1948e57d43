"""Commands that serve something: Spaces here or on the Hub, the demo, a Hub, Argilla."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from palate.commands.common import Column, File, Folder, Host, Id, console
from palate.commands.data import export
from palate.core.errors import UsageError
from palate.terminal.flags import Count, check_whole, flag

if TYPE_CHECKING:
    from palate.web.serving import Space

Visible = Annotated[
    Literal["private", "protected", "public"] | None, flag("private|protected|public")
]


def label(project: Id, port: int = 7860) -> None:
    """Serve the labelling page of a project here, until Ctrl-C.

    Labels go to Argilla (embedded, or the one at ARGILLA_API_URL), and from there to the project
    on the Hub.

    Args:
        port: Port to listen on. 0 takes any free port.
    """
    _serve("label", project, port)


def open_(project: Id, port: int = 7860) -> None:
    """Serve the labelling page here as `palate label` does, and open the project's home on it.

    The home shows the next step and runs it. There you find and correct labels, change instructions
    and settings, and start jobs on HF Jobs, whose time and price you see first.

    Args:
        port: Port to listen on. 0 takes any free port.
    """
    _serve("label", project, port, opens="owner")


def evaluate(project: Id, port: int = 7861) -> None:
    """Serve the blind comparison of base and tuned model here, until Ctrl-C.

    Args:
        port: Port to listen on. 0 takes any free port.
    """
    _serve("evaluate", project, port)


def try_(project: Id, port: int = 7861) -> None:
    """Serve the blind comparison here as `palate evaluate` does, and open its try page.

    Write a prompt, and base and tuned model answer side by side. Your choice is kept as a vote in
    the wild, which no verdict counts; the prompt is kept only if you say so. A browser that has
    opened the page can no longer vote blind, because the page may show which model wrote what.

    Args:
        port: Port to listen on. 0 takes any free port.
    """
    _serve("evaluate", project, port, opens="try")


def deploy(
    project: Id,
    visibility: Visible = None,
    hardware: Annotated[str | None, flag("NAME")] = None,
    sleep: Annotated[int | None, flag("SECONDS")] = None,
    dry_run: bool = False,
    pause: bool = False,
    delete: bool = False,
) -> None:
    """Put the label and the evaluate Space of a project on the Hub, and wait until they run.

    Prints the plan, carries it out, and prints the log of a Space that fails. Run it again to apply
    what has changed. The Spaces write to the project with your token, or with PALATE_SPACE_TOKEN;
    best is a fine-grained token that can write to this dataset and its model alone. If
    ARGILLA_API_URL and ARGILLA_API_KEY are set, labels go to that Argilla.

    A free account can host these two Spaces on ZeroGPU. If your plan does not allow what you ask
    for, the command says so before it creates anything.

    Example: palate deploy me/titles --visibility public

    Args:
        visibility: Who may open the Spaces: private (you and your organization), protected
            (anyone, but the code stays private; needs a paid plan) or public (the code is
            palate's; the project stays as private as it is). Default: private.
        hardware: The Hub's name for a machine, such as cpu-upgrade. Some cost money. Default:
            cpu-basic where your plan has it, ZeroGPU otherwise.
        sleep: Seconds without a visit after which a paid machine sleeps.
        dry_run: Print the plan only.
        pause: Pause the Spaces. Deploy again to start them.
        delete: Delete the Spaces. Labels and models stay.
    """
    import palate.web.deploy
    from palate.core.project import Project
    from palate.web.deploy_plan import SpaceOptions

    options = SpaceOptions(visibility, hardware, sleep)
    if (pause or delete) and (pause + delete + dry_run > 1 or options != SpaceOptions()):
        raise UsageError(f"--{'delete' if delete else 'pause'} takes no other flag.")
    if pause or delete:
        _take_down(project, delete=delete)
    else:
        palate.web.deploy.deploy(Project.load(project), options, console, dry_run=dry_run)


def _take_down(project: str, *, delete: bool) -> None:
    """Pause or delete the Spaces and print their names."""
    import palate.web.deploy
    from palate.core.project import Project

    change = palate.web.deploy.delete if delete else palate.web.deploy.pause
    spaces = change(Project.load(project))
    for space in spaces:
        console.print(f"{'deleted' if delete else 'paused'}: {space}")
    if not spaces:
        console.print(f"{project} has no Spaces here.")


def demo(
    once: bool = False,
    hosted: bool = False,
    tiny: bool = False,
    labels: Count = None,
    rounds: int = 1,
    data: File = None,
    prompt: Column = None,
    a: Column = None,
    b: Column = None,
    choice: Column = None,
    seed: Count = None,
    root: Path = Path(".palate/demo"),
) -> None:
    """Run the whole loop on this machine, with a small model and a simulated annotator.

    Starts a local Hub and Argilla, labels, trains, compares blind, and prints the links. Run it
    again to continue after an interruption.

    Args:
        once: Stop after the verdict instead of serving until Ctrl-C.
        hosted: Work as on the Hub, which builds and runs Spaces and jobs; two people sign in.
        tiny: Start from a tiny model that writes odd titles, not from SmolLM2-135M-Instruct.
        labels: Pairs that the annotator labels, in each round. Default: 160, or 400 with --tiny.
        rounds: 2 adds a round: the tuned model writes, and its answers meet the best of round 1.
        data: File with your own labels, to train on. You vote, on 24 prompts at most.
        prompt: Column of --data with the prompt.
        a: Column of --data with the first text.
        b: Column of --data with the second text.
        choice: Column of --data that says which of the two was preferred.
        seed: Another seed splits, writes, labels and trains differently. Default: 0.
        root: Folder for the demo's Hub, Argilla and models.
    """
    from palate.collect.columns import Columns
    from palate.demo.own import OwnLabels
    from palate.demo.runner import run

    check_whole("seed", seed)
    if rounds not in (1, 2) or (hosted and rounds > 1):
        raise UsageError("--rounds is 1, or 2 without --hosted.")
    columns = Columns.of(prompt, a, b, (choice,) if choice else ())
    if data is None and columns != Columns():
        raise UsageError("--prompt, --a, --b and --choice name columns of --data FILE.")
    if data and (hosted or labels is not None or rounds > 1):
        raise UsageError("--data goes without --hosted, --labels and --rounds.")
    own = OwnLabels(data, columns) if data else None
    run(
        root,
        once=once,
        labels=labels,
        as_hosted=hosted,
        tiny=tiny,
        rounds=rounds,
        own=own,
        seed=seed,
    )


def hub_serve(root: Folder = None, host: Host = "127.0.0.1", port: int = 8123) -> None:
    """Serve a Hub on this machine, for the usual clients, until Ctrl-C.

    Jobs and Spaces run on this machine, too. On Linux with user namespaces each sees of the Hub's
    folder what is its own alone: no tokens, no repos, no other Space. Elsewhere they can read what
    you can read. With --host and without user namespaces the Hub therefore refuses to run any: a
    user of the network would be you.

    Args:
        root: Folder for repos and users. Default: hub, in palate's data folder.
        port: Port to listen on.
    """
    from palate.localhub import ServeError
    from palate.localhub.server import serve
    from palate.web.serving import data_folder

    with _usage_errors(ServeError):
        serve(root or data_folder("hub"), host=host, port=port)


def argilla_serve(
    root: Folder = None, host: Host = "127.0.0.1", port: int = 6900, workers: int = 1
) -> None:
    """Serve Argilla on this machine, in a separate Python environment, until Ctrl-C.

    Data are kept in SQLite, or in the PostgreSQL at ARGILLA_DATABASE_URL and the Redis at
    ARGILLA_REDIS_URL.

    Args:
        root: Folder for its database and key. Default: argilla, in palate's data folder.
        port: Port to listen on.
        workers: Processes that serve. More than one needs PostgreSQL and Redis.
    """
    from palate.argilla.server import ServeError, serve
    from palate.web.serving import data_folder

    with _usage_errors(ServeError):
        serve(root or data_folder("argilla"), host=host, port=port, workers=workers)


@contextmanager
def _usage_errors(serve_error: type[Exception]) -> Generator[None]:
    """Turn the user errors of a server, which imports nothing of palate, into usage errors."""
    try:
        yield
    except (serve_error, PermissionError) as error:
        raise UsageError(str(error)) from error


def _serve(
    kind: Literal["label", "evaluate"],
    project: str,
    port: int,
    *,
    opens: Literal["owner", "try"] | None = None,
) -> None:
    import webbrowser

    from palate.core import hub
    from palate.terminal.progress import announced
    from palate.web.serving import Space

    plan = _plan(kind, project)
    seconds = "2" if hub.is_local() else "30"  # the Hub limits commits by the hour
    variables = {"PALATE_PUBLISH_SECONDS": seconds}
    space = Space(kind, project, port=port, env=variables, show=console.print)
    try:
        with space:
            _show_links(space, plan)
            if opens:
                page = space.owner_url.replace("/verdict?", f"/{opens}?")
                webbrowser.open(page)
            assert space.process is not None
            space.process.wait()
    except KeyboardInterrupt:
        console.print("Stopping. Publishing what has been answered.")
    finally:
        space.stop()
    if printed := space.printed().strip():
        console.print(f"The Space printed to {space.log}:\n{printed}", markup=False)
    if kind == "label":
        with announced(console.print, "Writing preferences and the dataset card to the Hub."):
            export(project)
    else:
        console.print(f"Count the votes with: [bold cyan]palate verdict {project}[/]", markup=True)


def _plan(kind: Literal["label", "evaluate"], project: str) -> str:
    """Return what a blind comparison will take; nothing for the labelling.

    What the project lacks for it is reported here, not in the log of the Space.
    """
    from palate.core.project import Project
    from palate.terminal.progress import announced

    with announced(console.print, f"Reading {project}."):
        loaded = Project.load(project)
        if kind == "label":
            return ""
        from palate.evaluate.loading import pairs_to_compare, plan_of

        return plan_of(loaded, pairs_to_compare(loaded))


def _show_links(space: "Space", plan: str) -> None:
    console.print(f"Open [bold cyan]{space.url}[/] to {space.kind}. Ctrl-C stops.", markup=True)
    owner = f"[cyan]{space.owner_url}[/]"
    if space.kind == "label":
        console.print(f"For you only, the project's home: {owner}", markup=True)
        return
    console.print(plan)
    console.print(
        f"The verdict so far, which ends the voting in the browser that opens it: {owner}",
        markup=True,
    )
    trying = space.owner_url.replace("/verdict?", "/try?")
    console.print(f"Both models on a prompt of yours: [cyan]{trying}[/]", markup=True)
