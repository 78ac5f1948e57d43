"""Server processes, Redis and PostgreSQL die while labels arrive; nothing acknowledged is lost.

The same script as in `benchmarks/`, with fewer people and labels.
"""

import pytest
from scripts import measured

LABELS = 80


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.xdist_group("services")
def test_labels_outlive_workers_redis_and_postgresql():
    words = ("--faults", "--people", "6", "--workers", "3", "--labels", str(LABELS))
    seen = measured("workers.py", *words, seconds=450)
    assert [row["fault"] for row in seen] == ["jobs", "worker", "redis", "postgres"]
    for row in seen:
        assert row["labels"] >= LABELS // 4, row
        assert row["lost"] == 0, row
    jobs, _, redis, _ = seen
    assert jobs["not at once"] == redis["not at once"] == 0, "no label waits for Redis or for a job"
