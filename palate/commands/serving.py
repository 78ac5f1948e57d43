"""Commands that serve: Spaces here or on the Hub, the demo, a Hub, Argilla."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import tyro

from palate.commands.common import Folder, Id, console
from palate.commands.data import export
from palate.core.errors import UsageError


def label(project: Id, port: int = 7860) -> None:
    """Serve the labelling page of a project here, until Ctrl-C.

    Labels go to Argilla (the embedded one, or the one that ARGILLA_API_URL names) and from there to
    the project on the Hub.

    Args:
        project: the project, which is a dataset repo.
        port: where to listen on this machine; 0 takes any free port.
    """
    _serve("label", project, port)


def evaluate(project: Id, port: int = 7861) -> None:
    """Serve the blind comparison of base and tuned model here, until Ctrl-C.

    Args:
        project: the project, which is a dataset repo.
        port: where to listen on this machine; 0 takes any free port.
    """
    _serve("evaluate", project, port)


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
    from palate.core.project import Project
    from palate.web import deploy as spaces

    wishes = spaces.Wishes(visibility, hardware, sleep, cache)
    if (pause or delete) and (pause + delete + dry_run > 1 or wishes != spaces.Wishes()):
        raise UsageError(f"--{'delete' if delete else 'pause'} goes with no other flag.")
    loaded = Project.load(project)
    if pause or delete:
        done = spaces.delete(loaded) if delete else spaces.pause(loaded)
        for name in done:
            console.print(f"{'deleted' if delete else 'paused'}: {name}")
        if not done:
            console.print(f"{project} has no Spaces here.")
        return
    spaces.deploy(loaded, wishes, console, dry_run=dry_run)


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
    from palate.demo.runner import run

    run(root, once=once, labels=labels, as_hosted=hosted)


def hub_serve(root: Folder = None, host: str = "127.0.0.1", port: int = 8123) -> None:
    """Serve a Hub on this machine that the usual clients work with, until Ctrl-C.

    Args:
        root: where repos and users are kept.
        host: the address to listen on; anything but loopback opens it to the network.
        port: the port to listen on.
    """
    from palate.localhub import ServeError
    from palate.localhub.server import serve
    from palate.web.serving import data_folder

    with _usage_errors(ServeError):
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


def _serve(kind, project: str, port: int) -> None:
    from palate.core import hub
    from palate.core.project import Project
    from palate.evaluate.loading import pairs_to_compare
    from palate.evaluate.verdict import plan
    from palate.web.serving import Space

    loaded = Project.load(project)
    if kind == "evaluate":
        pairs_to_compare(
            loaded
        )  # says here, rather than in the Space's log, that something is missing
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
