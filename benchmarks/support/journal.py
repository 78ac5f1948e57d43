"""Tasks whose results are lines of JSON in a file: what the file holds is not computed again."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from support import pool

Task = dict[str, Any]  # JSON: what names the task
Run = Callable[[Task], dict[str, Any]]  # a module's own function, for spawned processes


def read(file: Path) -> list[dict[str, Any]]:
    """Return what finished without an error; a line that a kill left half-written is none."""
    text = file.read_text("utf-8") if file.exists() else ""
    rows = [json.loads(line) for line in text[: text.rfind("\n") + 1].split("\n") if line]
    return [row for row in rows if "error" not in row]


def run_missing(
    tasks: Sequence[Task],
    run: Run,
    out: Path,
    workers: int,
    minutes: float,
    *,
    fresh: bool = True,
) -> None:
    """Run what the file does not hold, in this order; after so many minutes no task begins.

    A task that fails appends its error, and runs again with the next command. `fresh` tasks have a
    process each.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # processes share the cores
        os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // workers)))
    done = [row["task"] for row in read(out)]
    missing = [task for task in tasks if task not in done]
    start = time.monotonic()
    results = pool.results(partial(_timed, run), missing, workers, minutes, fresh=fresh)
    for count, (task, result) in enumerate(results, 1):
        if isinstance(result, Exception):
            result = {"error": f"{type(result).__name__}: {result}"}
        with out.open("a") as file:
            file.write(json.dumps({"task": task, **result}) + "\n")
        note = result.get("error") or f"{result['seconds']:.0f} s"
        name = ", ".join(str(value) for value in task.values())
        elapsed = time.monotonic() - start
        print(f"{elapsed:5.0f} s  {count}/{len(missing)}  {name}: {note}", file=sys.stderr)


def _timed(run: Run, task: Task) -> dict[str, Any]:
    pool.begin()
    start = time.monotonic()
    result = run(task)
    return {"seconds": round(time.monotonic() - start, 1), **result}


def reset_peak() -> None:
    """Forget the peak of memory: on the GPU, or of this process (proc(5), clear_refs)."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def peak_gb() -> float:
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM"))
    return round(int(peak.split()[1]) / 2**20, 2)
