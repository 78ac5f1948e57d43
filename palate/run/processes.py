"""Several processes that train together on this machine, started and watched through accelerate.

A job calls `together` first. The process that the user started becomes the watcher: it starts the
same command once per GPU and exits as they do. `together` returns only in the started processes. An
accelerate config file decides how they share the work; ours are in jobs/accelerate/.
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
from typing import TYPE_CHECKING

from palate.core.errors import PalateError, UsageError
from palate.core.paths import shipped
from palate.train.config import WHOLE

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

STARTED_BY_US = "PALATE_PROCESSES"  # environment variable in the processes that `together` starts


def together(processes: int, configuration: str) -> None:
    """Run this command in `processes` processes and exit as they do; return in each of them.

    `configuration` is ddp, fsdp2, zero3 or an accelerate config file. Returns at once for one
    process with the whole model, and in processes that accelerate or torchrun started.
    """
    if "LOCAL_RANK" in os.environ:
        _take_device(int(os.environ["LOCAL_RANK"]))
        return
    file = check(processes, configuration)
    if processes == 1:
        return
    check_devices(processes, file)
    raise SystemExit(_watch(processes, file))


def check(processes: int, configuration: str) -> Path:
    """Return the config file; raise UsageError for a combination that cannot work."""
    file = find(configuration)
    if processes < 1:
        raise UsageError(f"--processes {processes}: expected 1 or more.")
    if processes == 1 and configuration != WHOLE:
        raise UsageError(
            f"--accelerate {configuration} shares the work of several processes, and there is only"
            " one. Say how many with --processes."
        )
    return file


def find(configuration: str) -> Path:
    """Return the accelerate config file of that name or path, or raise UsageError."""
    for file in (_folder() / f"{configuration}.yaml", Path(configuration)):
        if file.is_file():
            return file
    raise UsageError(
        f"There is no accelerate config {configuration!r}; expected one of"
        f" {', '.join(names())}, or a file that `accelerate config` wrote."
    )


def names() -> list[str]:
    """Return the names of our config files."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def _folder() -> Path:
    return shipped("jobs") / "accelerate"


def check_devices(processes: int, file: Path) -> None:
    import torch
    from accelerate.commands.config.config_args import load_config_from_file

    try:
        kind = str(load_config_from_file(str(file)).distributed_type)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{file} is not an accelerate config: {error}") from None
    gpus = torch.cuda.device_count()
    if gpus and processes > gpus:
        raise UsageError(
            f"--processes {processes}: this machine has {gpus} GPUs, and each process needs one."
        )
    if "DEEPSPEED" in kind and not find_spec("deepspeed"):
        raise UsageError(f"{file.stem} needs the package deepspeed: pip install deepspeed")
    if not gpus and ("DEEPSPEED" in kind or "FSDP" in kind):
        raise UsageError(
            f"{file.stem} shards a model over GPUs, and this machine has none. On a CPU every"
            " process holds the whole model: leave --accelerate out."
        )


def _take_device(number: int) -> None:
    """Make "cuda" mean this process's GPU, before anything is put there."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def _watch(processes: int, file: Path) -> int:
    """Start the processes, wait for them and return the exit code.

    If one fails, the others are stopped and its message is raised as PalateError.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.ERROR)  # torch's own lines about a failure that we report in one
    os.environ[STARTED_BY_US] = str(processes)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP's notes to programmers
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
        return _report(error.failures)
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


def _report(failures: "dict[int, ProcessFailure]") -> int:
    """Report what went wrong first and return that process's exit code."""

    def order(rank: int) -> tuple[int, float]:
        failure = failures[rank]
        report = failure.error_file_data
        when = report.get("time", 0.0)
        if failure.exitcode == -signal.SIGTERM:  # how the others are stopped
            return 4, when
        if failure.exitcode < 0:
            return 1, when
        if not report.get("message"):
            return 3, when
        # a process that failed because another was gone comes after the one that failed first
        return (2 if report["traceback"] else 0), when

    rank = min(failures, key=order)
    failure = failures[rank]
    report = failure.error_file_data
    if failure.exitcode < 0:
        raise PalateError(
            f"{failure.signal_name()} killed process {rank}, and the others were stopped."
            " Was there too little memory? Run the same command again: it continues from the last"
            " checkpoint."
        )
    if report.get("traceback"):
        print(f"In process {rank}:\n{report['traceback']}", file=sys.stderr)
    elif report.get("message"):
        usage = failure.exitcode == UsageError.exit_code
        raise (UsageError if usage else PalateError)(report["message"])
    return failure.exitcode


@contextmanager
def one_voice() -> Generator[None]:
    """Hand an error in this process to the watcher, which reports it once."""
    try:
        yield
    except Exception as error:
        file = os.environ.get("TORCHELASTIC_ERROR_FILE")
        raises = "--debug" in sys.argv or isinstance(error, BrokenPipeError)
        if STARTED_BY_US not in os.environ or not file or raises:
            raise
        ours = isinstance(error, PalateError)
        report = {
            "message": str(error) or type(error).__name__,
            "time": time.time(),
            "traceback": "" if ours else traceback.format_exc(),
        }
        Path(file).write_text(json.dumps(report), "utf-8")
        # no clean-up: it could wait for processes that wait for this one
        sys.stdout.flush()
        os._exit(error.exit_code if ours else 1)
    _leave()


def _leave() -> None:
    if "torch" in sys.modules:
        import torch.distributed as group

        if group.is_available() and group.is_initialized():
            group.destroy_process_group()
