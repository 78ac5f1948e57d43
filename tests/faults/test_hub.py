"""The local Hub is killed, lied to and filled: the script of `benchmarks/`, with smaller numbers.

It is a process of its own: clients read the Hub's address once, and this Hub dies and comes back.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/hub.py"


def measured(*words: str) -> dict:
    keep = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    command = [sys.executable, str(SCRIPT), *words, "--json"]
    run = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=keep,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, err = run.communicate(timeout=280)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 0, (out + err)[-3000:]
    return json.loads(out)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_hub_loses_no_acknowledged_commit():
    seen = measured("writers", "--writers", "4", "--kills", "2", "--commits", "6")
    assert seen["acknowledged"] == 24
    assert (seen["lost"], seen["fsck"], seen["in_log"], seen["left_over"]) == (0, [], [], [])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_request_breaks_the_hub():
    seen = measured("fuzz", "--requests", "600", "--seed", "7")
    assert seen["answers"]["2xx"] > 50  # or else it never got far
    assert seen["answers"]["4xx"] > 200
    assert (seen["server_errors"], seen["in_log"], seen["outside"], seen["fsck"]) == ([],) * 4


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_large_file_does_not_fill_the_servers_memory():
    seen = measured("large", "--megabytes", "64")
    assert not seen["differs"]
    assert seen["memory_after_down_mb"] - seen["memory_before_mb"] < 32
    assert (seen["in_log"], seen["left_over"]) == ([], [])
