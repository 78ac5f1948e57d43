"""The batch script, submitted to programs that run it as Slurm would."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from dpo_runs import LONG, record

from palate.run.local import child_environment

SBATCH = """#!/bin/bash
# Takes the script as Slurm does: a copy, run with bash, its output in the file that it names.
cp "$1" job.sh
grep -q '^#SBATCH --time=' job.sh || { echo "no time limit" >&2; exit 1; }
[ -z "${SBATCH_REFUSES:-}" ] || { echo "error: invalid partition" >&2; exit 1; }
echo "Submitted batch job 4711"
"""
SCONTROL = """#!/bin/bash
# Slurm would start the script again, later.
echo "$@" >> requeued
"""


@pytest.fixture
def cluster(tmp_path) -> dict[str, str]:
    """An environment with `sbatch` and `scontrol`: programs that do no more than they say."""
    for name, text in (("sbatch", SBATCH), ("scontrol", SCONTROL)):
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    return {
        **child_environment(),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PALATE_CACHE": str(tmp_path / "cache"),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def submit(fast_python, tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that submits a training of a project from the folder of the test."""

    def submit(project: str, env: dict[str, str], *flags: str) -> subprocess.CompletedProcess:
        words = ["-c", "from palate.cli import main; main()", "train", project, *LONG, *flags]
        return fast_python.run(*words, "--on", "slurm", cwd=tmp_path, env=env)

    return submit


def start(folder: Path, env: dict) -> subprocess.Popen:
    """As a node runs what was submitted."""
    return subprocess.Popen(
        ["bash", "job.sh"],
        cwd=folder,
        env={**env, "SLURM_JOB_ID": "4711"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_a_job_whose_time_is_over_gets_in_line_again_and_goes_on(
    labelled, cluster, submit, tmp_path, hub
):
    done = submit(labelled.id, cluster)
    assert done.returncode == 0, done.stderr
    assert "Submitted batch job 4711" in done.stdout
    script = (tmp_path / "job.sh").read_text()
    assert f"# palate train {labelled.id} --learning-rate 1e-3 --epochs 4" in script
    for line in ("--time=00:33:00", "--gres=gpu:1", "--requeue", "--signal=B:USR1@180"):
        assert f"#SBATCH {line}\n" in script
    assert hub.token not in script
    assert "hf_" not in script

    with start(tmp_path, cluster) as node:
        for line in node.stdout:
            if re.search(r"training 5/", line):
                node.send_signal(signal.SIGUSR1)
                break
        rest = node.stdout.read()
    assert node.returncode == 0
    assert "Stopped; checkpoints are kept" in rest
    assert (tmp_path / "requeued").read_text() == "requeue 4711\n"
    checkpoints = [f.name for f in (tmp_path / "cache").glob("training/*/checkpoint-*")]
    newest = max(int(name.partition("-")[2]) for name in checkpoints)
    assert newest >= 5

    with start(tmp_path, cluster) as node:
        said = node.stdout.read()
    assert node.returncode == 0
    assert f"Continuing after step {newest}" in said
    assert record(labelled.model_repo)["history"][-1]["step"] == 24


@pytest.mark.slow
def test_a_job_that_is_preempted_saves_a_checkpoint_before_the_script_ends(
    labelled, cluster, submit, tmp_path
):
    submit(labelled.id, cluster)
    with start(tmp_path, cluster) as node:
        for line in node.stdout:
            if re.search(r"training 5/", line):
                node.terminate()
                break
        node.wait()
        left = [
            p for p in psutil.process_iter(["cmdline"]) if labelled.id in (p.info["cmdline"] or [])
        ]
        assert not left, "Slurm would have killed it as it saved"
        rest = node.stdout.read()
    assert node.returncode != 0
    assert "Stopped; checkpoints are kept" in rest
    assert not (tmp_path / "requeued").exists()
    assert list((tmp_path / "cache").glob("training/*/checkpoint-*"))


def test_several_gpus_are_asked_for(labelled, cluster, submit, tmp_path):
    said = submit(labelled.id, cluster, "--processes", "4").stdout
    assert "on 4 GPUs: about" in said
    script = (tmp_path / "job.sh").read_text()
    assert "#SBATCH --gres=gpu:4\n" in script
    assert "#SBATCH --cpus-per-task=16\n" in script
    assert "--processes 4 &" in script
    done = submit(labelled.id, cluster, "--processes", "0")
    assert done.returncode == 2
    assert "--processes 0: expected 1 or more" in done.stderr


def test_a_script_that_nobody_takes(labelled, cluster, submit, tmp_path):
    done = submit(labelled.id, {**cluster, "SBATCH_REFUSES": "1"})
    assert done.returncode == 1
    assert "invalid partition. Change the script, or set SBATCH_PARTITION" in done.stderr
    bare = {**cluster, "PATH": str(tmp_path)}
    done = submit(labelled.id, bare)
    assert done.returncode == 1
    assert "There is no sbatch on this machine, so nothing was submitted" in done.stderr
    file = re.search(r"batch script: (\S+)", done.stdout)[1]
    subprocess.run(["bash", "-n", str(tmp_path / file)], check=True)
