"""A job on a Slurm cluster: writes a readable batch script and submits it with `sbatch`.

The nodes must see this Python environment, for example through a shared home folder. The script
contains no token: a job uses HF_TOKEN, which `sbatch` passes on, or the token that `hf auth login`
stored. Partition and account come from SBATCH_PARTITION and SBATCH_ACCOUNT, which `sbatch` reads,
or from lines added to the script.
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
from palate.core.rounds import in_aspect
from palate.label.steps import label_of
from palate.run import forecast
from palate.run.forecast import Flavor, Load
from palate.run.local import CPU_SETTINGS
from palate.run.spec import JobSpec
from palate.terminal.ref import Ref
from palate.train.config import TrainArguments
from palate.train.rows import people

NOTICE_SECONDS = 180  # before the time limit, for a job to save a checkpoint
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
# There is no token here: the job uses HF_TOKEN, or the one that "hf auth login" stored.

{command} &
job=$!

# Before the time limit Slurm sends USR1: save a checkpoint, requeue, and continue from it.
again() {{
  kill -TERM "$job"
  wait "$job"
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
}}
trap again USR1
# When preempted, the job saves a checkpoint as well; Slurm requeues it.
trap 'kill -TERM "$job"; wait "$job"' TERM

wait "$job"
"""


def run(console: Console, spec: JobSpec, argv: Sequence[str]) -> None:
    """Write the batch script and submit it; raises PalateError where there is no `sbatch`."""
    arguments = spec.parse(argv)
    ref = Ref.parse(arguments.project)
    project = Project.load(ref.repo, ref.revision)
    if isinstance(arguments, TrainArguments):
        project = people.part(in_aspect(project, arguments.aspect), arguments)
    load = spec.load(arguments, project)
    file = Path(f"palate-{spec.name}-{label_of(ref.repo)}.sbatch")
    file.write_text(script(spec, argv, load, file.name), "utf-8")
    expected = forecast.duration(load.seconds(ASSUMED))
    console.print(f"{load.what}: about {expected} on {_machine(load)}", markup=False)
    console.print(f"batch script: {file}", markup=False)
    if not shutil.which("sbatch"):
        raise PalateError(
            "There is no sbatch on this machine, so nothing was submitted. Where there is one:"
            f" sbatch {file}"
        )
    submitted = subprocess.run(["sbatch", str(file)], capture_output=True, text=True)
    if submitted.returncode:
        raise PalateError(
            f"sbatch refused {file}: {' '.join(submitted.stderr.split())}. Change the script, or"
            " set SBATCH_PARTITION and SBATCH_ACCOUNT, and run the same command again."
        )
    console.print(submitted.stdout.strip(), markup=False)
    console.print(
        f"Its output: tail -F palate-{spec.name}-*.log. When it has ended: palate status"
        f" {ref.repo}",
        markup=False,
    )


def script(spec: JobSpec, argv: Sequence[str], load: Load, file: str) -> str:
    """Return the batch script of a job."""
    seconds = load.seconds(ASSUMED)
    limit = forecast.timeout(seconds) + NOTICE_SECONDS
    words = [sys.executable, str(spec.file), *argv]
    if any("\n" in word for word in words):
        raise UsageError("A batch script cannot hold an argument with a line break.")
    return _SCRIPT.format(
        title=shlex.join(["palate", spec.name, *argv]),
        version=__version__,
        file=file,
        name=f"palate-{spec.name}",
        time=_clock(limit),
        gpu=f"#SBATCH --gres=gpu:{load.gpus}\n" if load.weights or load.operations else "",
        cores=4 * load.gpus,
        notice=NOTICE_SECONDS,
        times=limit / seconds,
        expected=forecast.duration(seconds),
        machine=_machine(load),
        endpoint=shlex.quote(hub.endpoint()),
        settings="\n".join(f"export {k}={v}" for k, v in CPU_SETTINGS.items()),
        command=shlex.join(words),
    )


def _machine(load: Load) -> str:
    return f"{load.gpus} A10Gs" if load.gpus > 1 else "an A10G"


def _clock(seconds: float) -> str:
    """Return Slurm's "1-02:30:00", in whole minutes."""
    minutes = math.ceil(seconds / 60)
    days, rest = divmod(minutes, 24 * 60)
    return f"{f'{days}-' if days else ''}{rest // 60:02d}:{rest % 60:02d}:00"
