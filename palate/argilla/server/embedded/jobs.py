"""Argilla's background jobs: run by a separate process, or without Redis by a thread."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import redis
import rq
from rq.job import Job, JobStatus

REQUEUE_SECONDS = 5  # between two looks for jobs that wait for another attempt
log = logging.getLogger("argilla.embedded.jobs")


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
