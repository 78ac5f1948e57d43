"""Scripts of `benchmarks/`, run as tests with smaller numbers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from forking import FastPython

FOLDER = Path(__file__).parents[2] / "benchmarks"


def measured(script: str, *words: str, seconds: float, python: FastPython | None = None) -> Any:
    """Return what the script prints as JSON; it is a process that knows no Hub and no Argilla.

    What it starts can be forks of `python`.
    """
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ARGILLA_"))}
    keep |= {"FAST_PYTHON": str(python.folder)} if python else {}
    run = subprocess.Popen(
        [sys.executable, str(FOLDER / script), *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=keep,
        start_new_session=True,
    )
    try:
        out, err = run.communicate(timeout=seconds)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGTERM)  # it ends what it started
            run.wait(30)
    assert run.returncode == 0, (out + err)[-3000:]
    return json.loads(out)
