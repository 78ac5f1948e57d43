"""Run the demo, local or hosted, and serve what it made."""

import contextlib
import time
from contextlib import ExitStack
from pathlib import Path

from palate.core.errors import UsageError
from palate.demo import hosted, local
from palate.demo.common import console, load_project, one_at_a_time, own_line, say, verdict_line
from palate.demo.own import OwnLabels, is_own
from palate.demo.servers import start_argilla, start_hub


def run(
    root: Path,
    *,
    once: bool,
    labels: int | None,
    as_hosted: bool,
    tiny: bool,
    rounds: int,
    own: OwnLabels | None = None,
    seed: int | None = None,
) -> None:
    """Run `rounds` of the loop under `root`; then, unless `once`, serve the result until Ctrl-C.

    With `as_hosted` the local Hub runs the Spaces and the jobs, and two people use browsers. With
    `own` labels, now or the first time, nobody is simulated: people vote on the page. The project
    keeps the `seed` that it was begun with.
    """
    started = time.monotonic()
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as servers, one_at_a_time(root):
        local_hub = start_hub(root, servers)
        owned = _owned(root, own)
        seed = seed_of(root, seed)
        if as_hosted:
            hosted.run_loop(root, local_hub, labels, tiny=tiny, seed=seed)
        else:
            argilla = start_argilla(root, servers)
            if owned:
                local.run_own(root, own, tiny=tiny, seed=seed)
            else:
                local.run_loop(root, labels, argilla, tiny=tiny, rounds=rounds, seed=seed)
        minutes, seconds = divmod(round(time.monotonic() - started), 60)
        say("time", f"{minutes} min {seconds} s; all files are in {root}")
        line = own_line() if owned else verdict_line()
        if once:
            console.print(line)
            return
        if as_hosted:
            hosted.print_links(local_hub)
        else:
            local.serve(root, servers, argilla, local_hub)
        console.print(line)
        console.print("Press Ctrl-C to stop.")
        with contextlib.suppress(KeyboardInterrupt):
            local_hub.process.wait()
        console.print("\nStopping.")


def _owned(root: Path, own: OwnLabels | None) -> bool:
    """Tell whether the labels are a person's; raises UsageError where the folder's are others."""
    project = load_project()
    if own and project and not is_own(project):
        raise UsageError(f"The demo in {root} has other labels. Choose another folder with --root.")
    return own is not None or (project is not None and is_own(project))


def seed_of(root: Path, given: int | None) -> int:
    """Return the demo's seed; raises UsageError where the folder's project has another."""
    project = load_project()
    if project is None:
        return given or 0
    if given not in (None, project.settings.seed):
        raise UsageError(
            f"The demo in {root} has the seed {project.settings.seed}."
            " Choose another folder with --root."
        )
    return project.settings.seed
