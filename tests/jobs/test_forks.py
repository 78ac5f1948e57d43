"""Forks run the jobs in these tests. They end and obey signals as other processes do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from living import alive

WAITING = "import os, time; print(os.getpid()); time.sleep(600)"
SURROUNDINGS = (
    "import os, sys, torch; print(sys.argv[1:], os.getcwd(), os.environ['MINE'], os.getsid(0) == "
    "os.getpid(), 'palate' in sys.modules); print(sys.stdin.read(), file=sys.stderr)"
)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("raise SystemExit('in words')", 1),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import atexit, os; atexit.register(os._exit, 5)", 5),
    ],
)
def test_a_fork_ends_as_an_interpreter_ends(code, status, jobs):
    ours = jobs.run("-c", code)
    real = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ours.returncode == real.returncode == status
    assert ours.stderr.splitlines()[-1:] == real.stderr.splitlines()[-1:]


def test_a_fork_has_surroundings_of_its_own(fast_python, jobs, tmp_path):
    with fast_python.start(
        "-c", SURROUNDINGS, "a", "b c", env=jobs.env | {"MINE": "yes"}, cwd=tmp_path,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        out, err = process.communicate("typed")
    assert out == f"['a', 'b c'] {tmp_path} yes True False\n"
    assert err == "typed\n"


def test_a_module_and_a_file_run_as_main(jobs, tmp_path):
    file: Path = tmp_path / "script.py"
    file.write_text("import sys; print(__name__, sys.argv, sys.path[0])")
    assert jobs.run(str(file), "x").stdout == f"__main__ {[str(file), 'x']} {tmp_path}\n"
    assert "usage" in jobs.run("-m", "torch.distributed.run", "--help").stdout


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL", "SIGUSR1"])
@pytest.mark.parametrize("through_parent", [False, True])
def test_a_signal_ends_the_process_that_runs_the_script(name, through_parent, jobs):
    """Both for signals sent by a test and for those that a program sends to what it started."""
    number = getattr(signal, name)
    with jobs.python("-c", WAITING) as process:
        pid = int(process.stdout.readline())
        if through_parent:
            os.kill(process.pid, number)
        else:
            process.send_signal(number)
        process.communicate()
    assert process.returncode == -number
    if not through_parent:
        assert not alive(pid)


def test_what_a_fork_starts_is_a_fork_too(jobs):
    code = (
        "import subprocess, sys; print(subprocess.run([sys.executable, '-c', "
        "'import sys; print(len(sys.modules)); sys.exit(3)']).returncode)"
    )
    modules, status = map(int, jobs.run("-c", code).stdout.split())
    assert modules > 1000
    assert status == 3


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "HF_HOME", "OMP_NUM_THREADS", "PYTHONPATH"])
def test_what_is_read_at_the_start_of_a_process_gets_a_real_one(name, jobs):
    jobs.env[name] = "7"
    done = jobs.run("-c", f"import os, sys; print(os.environ['{name}'], 'torch' in sys.modules)")
    assert done.stdout == "7 False\n"
