"""Jobs on HF Jobs, through the local Hub, which runs them with uv as the real one does."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from dpo_runs import FAST, LONG, record

from palate.core import hub as client
from palate.label import steps
from palate.run import bundle, hf_jobs

HF = ("--on", "hf", "--yes")


def lines_until(process: subprocess.Popen, pattern: str) -> list[str]:
    """Read what a process says up to a line with `pattern`; fails if that does not come."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if re.search(pattern, line):
            return said
    raise AssertionError("".join(said))


def processes_of(job: str) -> Iterator[int]:
    """Yield the processes of a job, which bear its id in their environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"JOB_ID={job}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def kill(job: str) -> None:
    for pid in processes_of(job):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_training_runs_from_what_was_put_into_the_project(labelled, palate, hub):
    said = palate("train", labelled.id, *FAST, "--processes", "2", *HF)
    # as many GPUs as processes; here they run on the CPU that the local Hub has
    assert "machine: a10g-largex2 (2 × A10G, 24 GB, $3.00 an hour)" in said
    assert re.search(r"about \d min and \$0\.1\d, within a factor of two", said)
    assert "training 12/12 (loss" in said
    assert "done: " in said
    assert record(labelled.model_repo)["results"]["best_step"] == 12

    (job,) = steps.jobs_of(labelled.id)
    assert job.command[:3] == ["uv", "run", "--with"]
    sha, files = client.describe(labelled.id, "dataset")
    assert all(f"/resolve/{sha}/jobs/" in word for word in job.command[3:5])
    assert hub.token not in json.dumps([job.command, job.environment, job.labels])
    shipped = [f for f in files if f.startswith("jobs/")]
    assert sorted(f.rpartition("/")[2] for f in shipped) == ["dpo.py", bundle.WHEEL]

    table = palate("jobs", labelled.id)
    assert max(map(len, table.splitlines())) <= 80
    assert re.search(rf"{job.id[:8]} +train +.*a10g-largex2 .+, \$0.\d\d +done, accuracy", table)
    assert "has already ended: done" in palate("jobs", labelled.id, "--cancel", job.id[:8])
    assert "training 12/12" in palate("jobs", labelled.id, "--follow", job.id[:8])


@pytest.mark.slow
def test_a_job_that_was_left_killed_and_cancelled_ends_as_if_it_had_not_been(
    labelled, palate, reference
):
    with palate.start("train", labelled.id, *LONG, *HF) as process:
        said = "".join(lines_until(process, r"step +4/"))
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    (job,) = steps.jobs_of(labelled.id)
    assert job.status.stage == "RUNNING"
    kill(job.id)
    assert process.returncode == 130
    assert "machine: cpu-basic (no GPU, 16 GB, $0.01 an hour)" in said
    assert "about 3 min and <$0.01" in said
    assert f"palate jobs {labelled.id} --follow {job.id[:8]}" in rest

    with palate.start("jobs", labelled.id, "--follow", job.id[:8]) as process:
        said = "".join(lines_until(process, r"Continuing after step \d"))
        assert "is cancelled" in hf_jobs.cancel(labelled.id, job.id[:6])
        rest, _ = process.communicate()
    assert "Took the last checkpoint from" in said
    assert process.returncode == 1
    assert "The job was cancelled. The same command starts it again" in rest
    assert hf_jobs.job_with(labelled.id, job.id).status.stage == "CANCELED"

    said = palate("train", labelled.id, *LONG, *HF)
    assert "Took the last checkpoint from" in said
    assert re.search(r"Continuing after step \d", said)
    one, two = reference(*LONG), record(labelled.model_repo)
    assert two["history"][-1]["step"] == one["history"][-1]["step"] == 24
    assert two["results"]["best_step"] == one["results"]["best_step"]
    assert two["results"]["test_loss"] == pytest.approx(one["results"]["test_loss"], abs=1e-4)
    assert "checkpoint" not in client.branches(labelled.model_repo, "model")
    listed = palate("jobs", labelled.id)
    assert "cancelled" in listed
    assert "done" in listed
