"""Run a job on this machine, as a child process. `run_main` is the last line of every job file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import TypeVar

from palate.core.errors import run_guarded
from palate.run.spec import JobSpec
from palate.terminal.flags import parse

A = TypeVar("A")
PARENT = "PALATE_PARENT"  # environment variable: who started a job
CPU_SETTINGS = {
    # read by glibc at start: without these it returns tensors' memory after every step
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    # threads that wait for each other sleep: where others use the processors too, spinning made
    # generation ten times slower
    "OMP_WAIT_POLICY": "PASSIVE",
}


def child_environment() -> dict[str, str]:
    """Return our environment with the settings that make a CPU quick, unless we have others."""
    return CPU_SETTINGS | os.environ


def run_job(spec: JobSpec, argv: Sequence[str]) -> int:
    """Run the job's file with this Python and our output; return its exit code.

    Ctrl-C and SIGTERM are passed on to the job once; its exit code is awaited. Should this process
    be killed, the job ends, too: the same command, typed again, must not meet it.
    """
    child = subprocess.Popen(
        [sys.executable, str(spec.file), *argv],
        env=child_environment() | {PARENT: str(os.getpid())},
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
    if parent := os.environ.pop(PARENT, None):  # not for the job's own processes
        Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    words = [w for w in sys.argv[1:] if w != "--debug"]
    prog = f"python jobs/{Path(sys.argv[0]).name}"
    return run_guarded(
        lambda: main(parse(kind, words, prog, description)),
        debug=len(words) < len(sys.argv) - 1,
    )


def _end_with(parent: int) -> None:
    """Stop as at SIGTERM once the process that started the job is gone, however it ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
