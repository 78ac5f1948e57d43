"""Run the demo, local or hosted, and serve what it made."""

import contextlib
import time
from contextlib import ExitStack
from pathlib import Path

from palate.demo import hosted, local
from palate.demo.common import console, one_at_a_time, say
from palate.demo.servers import start_argilla, start_hub


def run(root: Path, *, once: bool, labels: int, as_hosted: bool) -> None:
    """Run the loop under `root`; afterwards serve it until Ctrl-C, unless `once`.

    `as_hosted`: in Spaces that the local Hub runs, with jobs through its API and two browsers.
    """
    started = time.monotonic()
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as servers, one_at_a_time(root):
        local_hub = start_hub(root, servers)
        if as_hosted:
            hosted.loop(root, local_hub, labels)
        else:
            argilla = start_argilla(root, servers)
            local.loop(
                root, labels, {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}
            )
        minutes, seconds = divmod(round(time.monotonic() - started), 60)
        say("clock", f"{minutes} min {seconds} s, everything under {root}")
        line = local.verdict_line()
        if once:
            console.print(line)
            return
        if as_hosted:
            hosted.links(local_hub)
        else:
            local.serve(root, servers, argilla, local_hub)
        console.print(line)
        console.print("Ctrl-C stops all of it.")
        with contextlib.suppress(KeyboardInterrupt):
            local_hub.process.wait()
        console.print("\nStopping.")
