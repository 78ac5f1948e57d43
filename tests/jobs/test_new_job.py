"""CONTRIBUTING's recipe for a new job, followed in a copy of the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from palate.core.paths import PACKAGE
from palate.label import steps

JOB = '''# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "palate",
# ]
# [tool.uv.sources]
# palate = { path = "..", editable = true }
# ///
"""Count a project's prompts.

    python jobs/count.py me/titles
"""

import sys

from palate.collect.counting import CountArguments, count
from palate.run.local import run_main

if __name__ == "__main__":
    sys.exit(run_main(count, CountArguments, __doc__))
'''
CODE = '''"""Count a project's prompts."""

from dataclasses import dataclass

from palate.terminal.flags import ProjectId
from palate.core.project import Project


@dataclass(frozen=True)
class CountArguments:
    """The arguments of `palate count`."""

    project: ProjectId
    """Project, such as me/titles."""
    times: int = 1
    """Factor to multiply the count by."""


def count(args: CountArguments) -> None:
    print(f"{args.times * len(Project.load(args.project).prompts)} in all")
'''
SPEC = """

from palate.collect.counting import CountArguments
from palate.run import forecast

JOBS += (
    JobSpec(
        name="count",
        script="count",
        arguments=CountArguments,
        help="count the prompts of a project",
        load=lambda args, project: forecast.asking(),
    ),
)
"""


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the checkout, with the new job as CONTRIBUTING says."""
    for name in ("palate", "jobs", "spaces", "cards"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE.parent / name, tmp_path / name, ignore=ignored)
    (tmp_path / "jobs" / "count.py").write_text(JOB)
    (tmp_path / "palate" / "collect" / "counting.py").write_text(CODE)
    with (tmp_path / "palate" / "run" / "jobs.py").open("a") as table:
        table.write(SPEC)
    return tmp_path


def palate(checkout: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "palate", *words],
        env={**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": "100", **env},
        cwd=checkout,
        capture_output=True,
        text=True,
    )


def test_a_new_job_is_a_command_and_a_slurm_script(checkout, project):
    assert "count the prompts of a project" in palate(checkout, "--help").stdout
    shown = palate(checkout, "count", "--help").stdout
    assert "usage: palate count [-h] OWNER/NAME [--times N]" in shown
    assert "palate count me/titles\n" in shown
    assert palate(checkout, "count", project.id, "--times", "2").stdout == "80 in all\n"

    (checkout / "bin").mkdir()
    sbatch = checkout / "bin" / "sbatch"
    sbatch.write_text('#!/bin/bash\necho "Submitted batch job 4711"\nbash "$1"\n')
    sbatch.chmod(0o755)
    path = f"{sbatch.parent}:{os.environ['PATH']}"
    run = palate(checkout, "count", project.id, "--times", "3", "--on", "slurm", PATH=path)
    assert run.returncode == 0, run.stderr
    assert "asking a server: about" in run.stdout
    assert "120 in all" in run.stdout


@pytest.mark.slow
def test_a_new_job_runs_on_hf_jobs(checkout, project):
    run = palate(checkout, "count", project.id, "--times", "4", "--on", "hf", "--yes")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "160 in all" in run.stdout
    (job,) = steps.jobs_of(project.id)
    assert (job.labels or {})[steps.JOB_LABEL] == "count"
    assert job.status.stage == "COMPLETED"
    assert " count " in palate(checkout, "jobs", project.id).stdout
