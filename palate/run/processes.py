"""Several processes that train together on this machine, started and watched through accelerate.

A job calls `together` first. The process that the user started becomes the one that watches: it
starts the same command again, once for each GPU, and ends as they end. In those `together` returns.
How they share the work says a file of accelerate's configuration; ours lie in jobs/accelerate/.
"""

import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from palate.core.errors import PalateError, UsageError
from palate.core.paths import shipped
from palate.train.config import WHOLE

_OURS = "PALATE_PROCESSES"  # set in the processes that we start, which report to us


def together(processes: int, configuration: str) -> None:
    """Run this very command in `processes` processes and exit as they do; return in each of them.

    `configuration` is ddp, fsdp2 or zero3, or a file of accelerate's configuration. Returns at once
    for one process with the whole model, and where accelerate or torchrun has started several.
    """
    if "LOCAL_RANK" in os.environ:
        _take_device(int(os.environ["LOCAL_RANK"]))
        return
    file = check(processes, configuration)
    if processes == 1:
        return
    _check_devices(processes, file)
    raise SystemExit(_watch(processes, file))


def check(processes: int, configuration: str) -> Path:
    """Return the configuration's file, or raise UsageError for what no machine could run."""
    file = find(configuration)
    if processes < 1:
        raise UsageError(f"--processes {processes} is none; expected 1 or more.")
    if processes == 1 and configuration != WHOLE:
        raise UsageError(
            f"--accelerate {configuration} shares work between processes, and there is one."
            " Name how many with --processes."
        )
    return file


def find(configuration: str) -> Path:
    """Return the file of that configuration, or raise UsageError."""
    for file in (_folder() / f"{configuration}.yaml", Path(configuration)):
        if file.is_file():
            return file
    raise UsageError(
        f"There is no configuration {configuration!r} of accelerate; expected one of"
        f" {', '.join(names())}, or a file that `accelerate config` wrote."
    )


def names() -> list[str]:
    """Return the names of our configurations."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def _folder() -> Path:
    return shipped("jobs") / "accelerate"


def _check_devices(processes: int, file: Path) -> None:
    import torch
    from accelerate.commands.config.config_args import load_config_from_file

    try:
        kind = str(load_config_from_file(str(file)).distributed_type)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{file} is no configuration of accelerate: {error}") from None
    gpus = torch.cuda.device_count()
    if gpus and processes > gpus:
        raise UsageError(
            f"--processes {processes} are more than this machine's GPUs, which are {gpus}:"
            " each process needs one."
        )
    if "DEEPSPEED" in kind and not find_spec("deepspeed"):
        raise UsageError(f"{file.stem} needs the package deepspeed: pip install deepspeed")
    if not gpus and ("DEEPSPEED" in kind or "FSDP" in kind):
        raise UsageError(
            f"{file.stem} parts a model between GPUs, and this machine has none. On a CPU every"
            " process holds the whole model: leave --accelerate out."
        )


def _take_device(number: int) -> None:
    """Make this process's GPU the one that "cuda" means, before anything is put there."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def _watch(processes: int, file: Path) -> int:
    """Start the processes, wait for their end and return the exit code.

    When one fails the others are stopped, and what it said is raised as PalateError.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.ERROR)  # torch's own lines on what we say in one
    os.environ[_OURS] = str(processes)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # notes of DDP to programmers
    if sys.platform == "linux":
        # all are on this machine, which may have no network
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    cores = max(1, (os.cpu_count() or 1) // processes)
    words = ["--config_file", str(file), "--num_processes", str(processes)]
    words += ["--num_machines", "1", "--main_process_port", "0"]
    words += ["--num_cpu_threads_per_process", os.environ.get("OMP_NUM_THREADS") or str(cores)]
    try:
        launch_command(launch_command_parser().parse_args([*words, *sys.argv]))
    except ChildFailedError as error:
        return _tell(error.failures)
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


def _tell(failures: dict[int, Any]) -> int:
    """Say what went wrong first, and return that process's exit code: the others only followed."""

    def order(rank: int) -> tuple[int, float]:
        failure = failures[rank]
        said, when = failure.error_file_data, failure.error_file_data.get("time", 0.0)
        if failure.exitcode == -signal.SIGTERM:  # how the others are stopped
            return 4, when
        if failure.exitcode < 0:
            return 1, when
        if not said.get("message"):
            return 3, when
        # what broke because another process had gone comes later than what broke first
        return (2 if said["traceback"] else 0), when

    rank = min(failures, key=order)
    failure = failures[rank]
    said = failure.error_file_data
    if failure.exitcode < 0:
        raise PalateError(
            f"Process {rank} was ended by {failure.signal_name()}, and the others were stopped."
            " Was there too little memory? Run the same command again: it continues from the last"
            " checkpoint."
        )
    if said.get("traceback"):
        print(f"In process {rank}:\n{said['traceback']}", file=sys.stderr)
    elif said.get("message"):
        raise (UsageError if failure.exitcode == UsageError.exit_code else PalateError)(
            said["message"]
        )
    return failure.exitcode


@contextmanager
def one_voice() -> Generator[None]:
    """Leave what goes wrong in this process to the one that watches, which says it once."""
    try:
        yield
    except Exception as error:
        file = os.environ.get("TORCHELASTIC_ERROR_FILE")
        asked = "--debug" in sys.argv or isinstance(error, BrokenPipeError)
        if _OURS not in os.environ or not file or asked:
            raise
        ours = isinstance(error, PalateError)
        said = {
            "message": str(error) or type(error).__name__,
            "time": time.time(),
            "traceback": "" if ours else traceback.format_exc(),
        }
        Path(file).write_text(json.dumps(said), "utf-8")
        # no clean-up: it could wait for processes that wait for this one
        sys.stdout.flush()
        os._exit(error.exit_code if ours else 1)
    _leave()


def _leave() -> None:
    if "torch" in sys.modules:
        import torch.distributed as group

        if group.is_available() and group.is_initialized():
            group.destroy_process_group()
