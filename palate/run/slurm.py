"""A job on a Slurm cluster: a batch script that a person can read and change, given to `sbatch`.

The nodes have to see this Python environment, as they do where the home folder is shared. The
script holds no token: a job finds the one that `hf auth login` stored, or HF_TOKEN, which `sbatch`
passes on. Partition and account come from SBATCH_PARTITION and SBATCH_ACCOUNT, which `sbatch`
reads, or from lines added to the script.
"""

import math
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from palate import __version__
from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.project import Project
from palate.core.ref import Ref
from palate.run import forecast
from palate.run.forecast import Flavor, Load
from palate.run.hf import check_arguments, load_of
from palate.run.hf_jobs import label
from palate.run.local import MALLOC, arguments_of, job_file

NOTICE = 180  # seconds before its time is over in which a job saves a checkpoint
ASSUMED = Flavor("a cluster's GPU", 1, "A10G", 8, 24e9, 0.0)
_SCRIPT = """\
#!/bin/bash
# {title}
# Written by palate {version}. Read it, change it, submit it: sbatch {file}
#SBATCH --job-name={name}
#SBATCH --output={name}-%j.log
#SBATCH --open-mode=append
#SBATCH --time={time}
#SBATCH --cpus-per-task={cores}
{gpu}#SBATCH --requeue
#SBATCH --signal=B:USR1@{notice}
# The time is about {times:.1f} times what the job should take ({expected} on {machine}).

set -u
export HF_ENDPOINT={endpoint}
{settings}
# No token stands here: the job takes HF_TOKEN, or what "hf auth login" stored.

{command} &
job=$!

# Before the time is over Slurm sends USR1: save a checkpoint, get in line again and go on from it.
again() {{
  kill -TERM "$job"
  wait "$job"
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
}}
trap again USR1
# Preempted, the job saves a checkpoint, too; Slurm itself puts it in line again.
trap 'kill -TERM "$job"; wait "$job"' TERM

wait "$job"
"""


def run(console: Console, command: str, job: str, argv: Sequence[str]) -> None:
    """Write the batch script and submit it; raises PalateError where `sbatch` is not there."""
    arguments = arguments_of(job, argv)
    ref = Ref.parse(arguments.project)
    check_arguments(job, arguments)
    load = load_of(job, arguments, Project.load(ref.repo, ref.revision))
    file = Path(f"palate-{command}-{label(ref.repo)}.sbatch")
    file.write_text(script(command, job, argv, load, file.name), "utf-8")
    expected = forecast.duration(load.seconds(ASSUMED))
    console.print(f"{load.what}: about {expected} on {_machine(load)}", markup=False)
    console.print(f"batch script: {file}", markup=False)
    if not shutil.which("sbatch"):
        raise PalateError(
            f"There is no sbatch on this machine, so nothing was submitted. Where there is one:"
            f" sbatch {file}"
        )
    done = subprocess.run(["sbatch", str(file)], capture_output=True, text=True)
    if done.returncode:
        raise PalateError(
            f"sbatch did not take {file}: {' '.join(done.stderr.split())}. Change the script, or"
            " set SBATCH_PARTITION and SBATCH_ACCOUNT, and run the same command again."
        )
    console.print(done.stdout.strip(), markup=False)
    console.print(
        f"What it writes: tail -F palate-{command}-*.log; when it is over, palate status {id}",
        markup=False,
    )


def script(command: str, job: str, argv: Sequence[str], load: Load, file: str) -> str:
    """Return the batch script of a job."""
    seconds = load.seconds(ASSUMED)
    limit = forecast.timeout(seconds) + NOTICE
    words = [sys.executable, str(job_file(job)), *argv]
    if any("\n" in word for word in words):
        raise UsageError("An argument with a line break cannot stand in a batch script.")
    return _SCRIPT.format(
        title=shlex.join(["palate", command, *argv]),
        version=__version__,
        file=file,
        name=f"palate-{command}",
        time=_clock(limit),
        gpu=f"#SBATCH --gres=gpu:{load.gpus}\n" if load.weights or load.operations else "",
        cores=4 * load.gpus,
        notice=NOTICE,
        times=limit / seconds,
        expected=forecast.duration(seconds),
        machine=_machine(load),
        endpoint=shlex.quote(hub.endpoint()),
        settings="\n".join(f"export {k}={v}" for k, v in MALLOC.items()),
        command=shlex.join(words),
    )


def _machine(load: Load) -> str:
    return f"{load.gpus} A10Gs" if load.gpus > 1 else "an A10G"


def _clock(seconds: float) -> str:
    """Return Slurm's "1-02:30:00", in whole minutes."""
    minutes = math.ceil(seconds / 60)
    days, rest = divmod(minutes, 24 * 60)
    return f"{f'{days}-' if days else ''}{rest // 60:02d}:{rest % 60:02d}:00"
