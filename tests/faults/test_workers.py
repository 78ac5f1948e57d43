"""Server processes, Redis and PostgreSQL die while labels arrive; nothing acknowledged is lost.

The same script as in `benchmarks/`, with fewer people and labels.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/workers.py"
LABELS = 80


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.xdist_group("services")
def test_labels_outlive_workers_redis_and_postgresql():
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ARGILLA_"))}
    command = [sys.executable, str(SCRIPT), "--faults", "--people", "6", "--workers", "3"]
    run = subprocess.Popen(
        [*command, "--labels", str(LABELS), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=keep,
        start_new_session=True,
    )
    try:
        out, err = run.communicate(timeout=450)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGTERM)
            run.wait()
    assert run.returncode == 0, (out + err)[-3000:]
    seen = json.loads(out)
    assert [row["fault"] for row in seen] == ["jobs", "worker", "redis", "postgres"]
    for row in seen:
        assert row["labels"] >= LABELS // 4, row
        assert row["lost"] == 0, row
    jobs, _, redis, _ = seen
    assert jobs["not at once"] == redis["not at once"] == 0, "no label waits for Redis or for a job"
