"""Run a job on this machine, as a child process.

Elsewhere jobs run through `remote` (HF Jobs) and `slurm`. `run_main` is the last line of every job.
"""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from palate.core.errors import UsageError, run_guarded
from palate.core.flags import parse
from palate.core.paths import shipped

A = TypeVar("A")
# glibc hands tensors' memory back after every step unless told otherwise, and reads this at start
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}


def child_environment() -> dict[str, str]:
    """Return our environment with what a process that trains on a CPU needs to be quick."""
    return MALLOC | os.environ


def job_file(name: str) -> Path:
    """Return where `jobs/<name>.py` lies, or raise UsageError naming those there are."""
    folder = shipped("jobs")
    script = folder / f"{name}.py"
    if not script.exists():
        names = ", ".join(sorted(p.stem for p in folder.glob("*.py")))
        raise UsageError(f"There is no job {name!r}; expected one of {names}.")
    return script


def arguments_of(name: str, argv: Sequence[str]) -> Any:
    """Return what the job would make of its command line; a wrong one ends as it would there."""
    spec = importlib.util.spec_from_file_location(f"_palate_job_{name}", job_file(name))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where tyro looks for the fields' comments
    spec.loader.exec_module(module)
    arguments = getattr(module, f"{name.capitalize()}Arguments", None) or module.Arguments
    return parse(arguments, argv, f"jobs/{name}.py")


def run_job(name: str, argv: Sequence[str]) -> int:
    """Run `jobs/<name>.py` with this Python, its output ours, and return its exit code.

    A Ctrl-C or SIGTERM that reaches us reaches the job once, and we wait for how it ends.
    """
    script = job_file(name)
    child = subprocess.Popen(
        [sys.executable, str(script), *argv],
        env=child_environment(),
        start_new_session=True,  # or the terminal's Ctrl-C would reach it a second time
    )

    def forward(number: int, _frame: object) -> None:
        if child.poll() is None:
            child.send_signal(number)

    before = {n: signal.signal(n, forward) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def run_main(main: Callable[[A], object], kind: type[A], description: str | None = None) -> int:
    """Parse the command line into `kind`, call `main` with it and return the exit code."""
    words = [w for w in sys.argv[1:] if w != "--debug"]
    prog = f"python jobs/{Path(sys.argv[0]).name}"
    return run_guarded(
        lambda: main(parse(kind, words, prog, description)),
        debug=len(words) < len(sys.argv) - 1,
    )
