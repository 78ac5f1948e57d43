"""rq without Redis: fakeredis holds the jobs, a thread with a loop of its own runs them."""

import asyncio
import logging
import threading

import fakeredis
import redis
import rq
from rq.job import JobStatus

log = logging.getLogger("argilla.embedded.jobs")


class InProcessQueue(rq.Queue):
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
    server = fakeredis.FakeServer()
    redis.from_url = lambda url, **kw: fakeredis.FakeStrictRedis(server=server)
    rq.Queue, original = InProcessQueue, rq.Queue
    import argilla_server.jobs.queues  # noqa: F401  (binds DEFAULT_QUEUE / HIGH_QUEUE)

    rq.Queue = original
