"""Background jobs: worked off in a process of their own, or without Redis in a thread."""

import asyncio
import logging
import threading
import time

import redis
import rq
from rq.job import JobStatus

log = logging.getLogger("argilla.embedded.jobs")


class InProcessQueue(rq.Queue):
    """fakeredis holds the jobs, a thread with a loop of its own runs them."""

    _lock = threading.Lock()  # one job at a time, like one rq worker

    def enqueue_call(self, func, args=None, kwargs=None, timeout=None, job_id=None, **_):
        job = self.create_job(
            func, args=args, kwargs=kwargs, timeout=timeout, job_id=job_id, status=JobStatus.QUEUED
        )
        job.save()
        threading.Thread(
            target=self._run, args=(job, func, args or (), kwargs or {}), daemon=True
        ).start()
        return job

    def _run(self, job, func, args, kwargs):
        with self._lock:
            job.set_status(JobStatus.STARTED)
            try:
                asyncio.run(func(*args, **kwargs))
                job.set_status(JobStatus.FINISHED)
            except Exception:
                log.exception("job %s failed", job.id)
                job.set_status(JobStatus.FAILED)


def install():
    """Must run before the first `import argilla_server`."""
    import fakeredis

    server = fakeredis.FakeServer()
    redis.from_url = lambda url, **kw: fakeredis.FakeStrictRedis(server=server)
    rq.Queue, original = InProcessQueue, rq.Queue
    import argilla_server.jobs.queues  # noqa: F401  (binds DEFAULT_QUEUE / HIGH_QUEUE)

    rq.Queue = original


def work():
    """Work off what lies in Redis, until SIGTERM."""
    from argilla_server.jobs.queues import DEFAULT_QUEUE, HIGH_QUEUE, REDIS_CONNECTION

    queues = [HIGH_QUEUE, DEFAULT_QUEUE]
    threading.Thread(target=_put_back, args=(queues, REDIS_CONNECTION), daemon=True).start()
    rq.Worker(queues, connection=REDIS_CONNECTION).work()


def _put_back(queues, connection):
    """Queue again what waits for another try; rq's own scheduler would outlive a killed worker."""
    from rq.scheduler import RQScheduler

    scheduler = RQScheduler([q.name for q in queues], connection=connection)
    while True:
        try:
            scheduler.acquire_locks()
            scheduler.enqueue_scheduled_jobs()
            scheduler.heartbeat()
        except redis.RedisError:
            log.warning("Redis does not answer; jobs wait")
        time.sleep(5)
