"""Server processes, Redis and PostgreSQL die while labels arrive; no acknowledged label is lost.

This is the script in `benchmarks/`, with fewer people and labels.
"""

import pytest
from scripts import measured

LABELS = 80


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.xdist_group("services")
def test_labels_outlive_workers_redis_and_postgresql():
    words = ("--faults", "--people", "6", "--workers", "3", "--labels", str(LABELS))
    rows = measured("workers.py", *words, seconds=450)
    assert [row["fault"] for row in rows] == ["jobs", "worker", "redis", "postgres"]
    for row in rows:
        assert row["labels"] >= LABELS // 4, row
        assert row["lost"] == 0, row
    jobs, _, redis, _ = rows
    assert jobs["not at once"] == redis["not at once"] == 0, "no label waits for Redis or for a job"
