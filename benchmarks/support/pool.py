"""Benchmark tasks in processes of their own, some at once: a GPU has room for many small ones."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def results(
    run: Callable[[T], R], tasks: Sequence[T], workers: int = 1, minutes: float | None = None
) -> Iterator[tuple[T, R | Exception]]:
    """Yield each task with its result or what it raised, as they end.

    Each has a new process, for its peak memory. After `minutes` no task begins.
    """
    context = multiprocessing.get_context("spawn")
    end = None if minutes is None else time.monotonic() + 60 * minutes
    left = list(tasks)
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
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
