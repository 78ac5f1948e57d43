"""Benchmark tasks in separate processes, some at once: a GPU has room for many small ones."""

import gc
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def results(
    run: Callable[[T], R],
    tasks: Sequence[T],
    workers: int = 1,
    minutes: float | None = None,
    *,
    fresh: bool = True,
) -> Iterator[tuple[T, R | Exception]]:
    """Yield each task with its result or what it raised, as they end.

    A `fresh` task has a new process, for its peak memory; on a GPU, which has its own count, a
    worker's process stays. After `minutes` no task begins.
    """
    import torch

    context = multiprocessing.get_context("spawn")
    end = None if minutes is None else time.monotonic() + 60 * minutes
    left = list(tasks)
    each = 1 if fresh and not torch.cuda.is_available() else None
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=each) as pool:
        running = {}
        while left or running:
            while left and len(running) < workers and (end is None or time.monotonic() < end):
                task = left.pop(0)
                running[pool.submit(run, task)] = task
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                error = done.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield running.pop(done), error or done.result()


def begin() -> None:
    """Prepare a worker's process for its next task: free what the last one left on the GPU."""
    import torch

    from palate.generate.models import quiet

    quiet()
    if torch.cuda.is_available():
        torch.set_num_threads(1)
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
