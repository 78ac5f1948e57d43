"""Servers are killed, disks emptied and hands unsteady while labels arrive; nothing is lost.

The same script as in `benchmarks/`, with fewer labels. It is a process of its own: clients read the
Hub's address once, and this Hub dies and comes back.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/faults.py"
LABELS = 36


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("scenarios", ["flaky,devices,hub", "space", "argilla", "wiped", "hands"])
def test_every_label_is_there_once_and_nobody_is_asked_twice(scenarios):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ARGILLA_"))}
    command = [sys.executable, str(SCRIPT), "--labels", str(LABELS), "--only", scenarios, "--json"]
    run = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=keep,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, err = run.communicate(timeout=450)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 0, (out + err)[-3000:]
    for seen in json.loads(out):
        assert seen["labels"] >= LABELS - 3  # three devices do not divide it evenly
        for wrong in ("lost", "not_in_argilla", "twice", "never_said", "asked_twice", "refused"):
            assert seen[wrong] == 0, seen
