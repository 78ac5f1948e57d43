"""Forks run the jobs in these tests. They end and obey signals as other processes do."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from living import alive

from palate.run.local import child_environment

WAITING = "import os, time; print(os.getpid()); time.sleep(600)"
SURROUNDINGS = (
    "import os, sys, torch; print(sys.argv[1:], os.getcwd(), os.environ['MINE'], os.getsid(0) == "
    "os.getpid(), 'palate' in sys.modules); print(sys.stdin.read(), file=sys.stderr)"
)

# of what the modules and theirs have read, as JSON; a few names are random in each process
CONSTANTS = """
import importlib, json, sys
from pathlib import Path
found = {}
for name in sys.argv[1:]:
    importlib.import_module(name)
for name, module in list(sys.modules.items()):
    if name.split(".")[0] in ("huggingface_hub", "gradio", "gradio_client", "argilla", "datasets",
                              "transformers"):
        found[name] = {
            k: str(v) for k, v in vars(module).items()
            if k.isupper() and k[0] != "_" and isinstance(v, str | int | float | Path | None)
            and k not in ("SESSION_ID", "WRITE_TOKEN")
        }
found["api"] = sys.modules["huggingface_hub.hf_api"].api.endpoint
found["sys"] = {"modules": len(sys.modules), "path": sys.path}
print(json.dumps(found))
"""


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


@pytest.mark.parametrize(
    ("python", "modules"),
    [
        ("space_python", ["gradio", "argilla", "huggingface_hub.hf_api"]),
        ("fast_python", ["datasets", "transformers.utils.hub", "huggingface_hub.hf_api"]),
    ],
)
def test_a_fork_reads_again_what_libraries_read_at_their_import(python, modules, request, tmp_path):
    """For another Hub and as another Space, it holds what a real interpreter would hold."""
    others = {name: str(tmp_path / name) for name in ("HF_HOME", "PYTHONPATH", "TMPDIR")}
    for folder in others.values():
        Path(folder).mkdir()
    others |= {
        "HF_ENDPOINT": "http://127.0.0.1:2", "HF_TOKEN": "hf_other", "SYSTEM": "spaces",
        "HF_HUB_DISABLE_PROGRESS_BARS": "0", "SPACE_ID": "you/other", "OAUTH_CLIENT_ID": "id",
        "OPENID_PROVIDER_URL": "http://127.0.0.1:2", "GRADIO_SERVER_PORT": "7999",
    }  # fmt: skip
    environment = child_environment() if python == "fast_python" else dict(os.environ)
    environment = {k: v for k, v in environment.items() if k != "HF_HUB_DISABLE_XET"} | others
    words = ["-c", CONSTANTS, *modules]
    real = subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.PIPE)
    fork = request.getfixturevalue(python).run(*words, env=environment)
    expected, found = json.loads(real.stdout), json.loads(fork.stdout)
    assert found["sys"]["modules"] > expected["sys"]["modules"]  # it is a fork
    for name in expected.keys() - {"sys"}:
        assert found[name] == expected[name], name
    assert found["sys"]["path"] == expected["sys"]["path"]
    assert expected["huggingface_hub.constants"]["ENDPOINT"] == others["HF_ENDPOINT"]


@pytest.mark.parametrize("name", ["HF_DATASETS_CACHE", "OMP_NUM_THREADS", "GRADIO_TEMP_DIR"])
def test_what_is_read_at_the_start_of_a_process_gets_a_real_one(name, jobs):
    jobs.env[name] = "7"
    done = jobs.run("-c", f"import os, sys; print(os.environ['{name}'], 'torch' in sys.modules)")
    assert done.stdout == "7 False\n"
