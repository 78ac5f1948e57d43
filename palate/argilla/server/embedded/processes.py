"""What runs in which process: requests, and Argilla's background jobs.

On SQLite one process serves requests and runs jobs in a thread. On PostgreSQL and Redis several
processes serve and another runs jobs; a process that dies is restarted. They are forked from a
process that has everything loaded, so they share most of their memory. Each server process has its
own socket on the same port, and the kernel distributes the connections. The parent keeps the
sockets open, so the successor of a dead process takes over its waiting clients.

Nothing here imports argilla_server at the top: `install` runs before its first import.
"""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess

import redis
import rq
from rq.job import Job, JobStatus
from starlette.types import ASGIApp

FORK = multiprocessing.get_context("fork")
GRACE_SECONDS = 5  # for a request that is being answered
RESTART_SECONDS = 0.2  # between restarts, if every process dies at once for lack of its database
BACKLOG = 2048  # connections
REQUEUE_SECONDS = 5  # between two looks for jobs that wait for another attempt
log = logging.getLogger("argilla.embedded.jobs")


def run(app: ASGIApp, host: str, port: int, workers: int, parent: int) -> None:
    """Serve until SIGTERM, Ctrl-C or the end of the process `parent` (0: ignore it)."""
    sockets = [_listen(host, port) for _ in range(workers)]
    tasks: list[Callable[[], None]] = [partial(_serve, app, s, sockets) for s in sockets]
    tasks.append(partial(_run_jobs, sockets))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    gc.collect()
    gc.freeze()  # reference counting must not copy the shared memory into the children
    Workers(tasks).watch(parent)


class Workers:
    """Child processes, one per task."""

    def __init__(self, tasks: list[Callable[[], None]]):
        self.tasks = tasks
        self.leash = os.pipe()  # its end tells the children that this process is gone
        self.children = [self._start(task) for task in tasks]

    def watch(self, parent: int) -> None:
        try:
            while not parent or os.getppid() == parent:
                wait([child.sentinel for child in self.children], timeout=1)
                for n, child in enumerate(self.children):
                    if not child.is_alive():
                        print(f"Process {child.pid} ended ({child.exitcode}); starting another.")
                        time.sleep(RESTART_SECONDS)
                        self.children[n] = self._start(self.tasks[n])
        finally:
            self._stop()

    def _start(self, task: Callable[[], None]) -> ForkProcess:
        sys.stdout.flush()  # or the child would print the buffer again
        child = FORK.Process(target=_child, args=(task, *self.leash))
        child.start()
        return child

    def _stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        for child in self.children:
            child.terminate()
        deadline = time.monotonic() + GRACE_SECONDS + 2
        for child in self.children:
            child.join(max(0.0, deadline - time.monotonic()))
            child.kill()


def _leave(*_: object) -> None:
    raise SystemExit(0)


def _child(task: Callable[[], None], leash: int, other_end: int) -> None:
    os.close(other_end)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, args=(leash,), daemon=True).start()
    task()


def _end_with_parent(leash: int) -> None:
    os.read(leash, 1)
    os._exit(1)


def _serve(app: ASGIApp, own: socket.socket, sockets: list[socket.socket]) -> None:
    import uvicorn

    _close(s for s in sockets if s is not own)
    config = uvicorn.Config(
        app, access_log=False, log_level="info", timeout_graceful_shutdown=GRACE_SECONDS
    )
    uvicorn.Server(config).run(sockets=[own])


def _run_jobs(sockets: list[socket.socket]) -> None:
    _close(sockets)
    work()


def _close(sockets: Iterable[socket.socket]) -> None:
    for s in sockets:
        s.close()


def _listen(host: str, port: int) -> socket.socket:
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((host, port))
    s.listen(BACKLOG)
    return s


class InProcessQueue(rq.Queue):
    """A queue in fakeredis, whose jobs run one at a time in threads of this process."""

    _lock = threading.Lock()  # one job at a time, like one rq worker

    def enqueue_call(
        self,
        func: Callable[..., Awaitable[object]],
        args: Sequence[object] | None = None,
        kwargs: Mapping[str, object] | None = None,
        timeout: int | None = None,
        job_id: str | None = None,
        **_: object,
    ) -> Job:
        job = self.create_job(
            func, args=args, kwargs=kwargs, timeout=timeout, job_id=job_id, status=JobStatus.QUEUED
        )
        job.save()
        threading.Thread(
            target=self._run, args=(job, func, args or (), kwargs or {}), daemon=True
        ).start()
        return job

    def _run(
        self,
        job: Job,
        func: Callable[..., Awaitable[object]],
        args: Sequence[object],
        kwargs: Mapping[str, object],
    ) -> None:
        with self._lock:
            job.set_status(JobStatus.STARTED)
            try:
                asyncio.run(func(*args, **kwargs))
                job.set_status(JobStatus.FINISHED)
            except Exception:
                log.exception("job %s failed", job.id)
                job.set_status(JobStatus.FAILED)


def install() -> None:
    """Replace Redis; call it before the first `import argilla_server`."""
    import fakeredis

    server = fakeredis.FakeServer()
    redis.from_url = lambda url, **options: fakeredis.FakeStrictRedis(server=server)
    rq.Queue, original = InProcessQueue, rq.Queue
    import argilla_server.jobs.queues  # noqa: F401  (binds DEFAULT_QUEUE and HIGH_QUEUE)

    rq.Queue = original


def work() -> None:
    """Run the jobs in Redis until SIGTERM."""
    from argilla_server.jobs.queues import DEFAULT_QUEUE, HIGH_QUEUE, REDIS_CONNECTION

    queues = [HIGH_QUEUE, DEFAULT_QUEUE]
    threading.Thread(target=_requeue, args=(queues, REDIS_CONNECTION), daemon=True).start()
    rq.Worker(queues, connection=REDIS_CONNECTION).work()


def _requeue(queues: list[rq.Queue], connection: redis.Redis) -> None:
    """Queue jobs that wait for another attempt; rq's own scheduler outlives a killed worker."""
    from rq.scheduler import RQScheduler

    scheduler = RQScheduler([q.name for q in queues], connection=connection)
    while True:
        try:
            scheduler.acquire_locks()
            scheduler.enqueue_scheduled_jobs()
            scheduler.heartbeat()
        except redis.RedisError:
            log.warning("Redis does not answer; jobs wait")
        time.sleep(REQUEUE_SECONDS)
