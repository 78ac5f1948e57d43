"""Jobs on HF Jobs, through the local Hub, which runs them with uv as the real one does."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from palate import hub as client
from palate import remote, running

FAST = ("--learning-rate", "1e-3", "--epochs", "2")


class Palate:
    """The command line as a person types it, in processes of its own."""

    def start(self, *args: str, **env: str) -> subprocess.Popen:
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from palate.cli import main; main()"
        )
        return subprocess.Popen(
            [sys.executable, "-uc", code, *args],
            env={**os.environ, "COLUMNS": "80", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str, code: int = 0, **env: str) -> str:
        with self.start(*args, **env) as process:
            out, err = process.communicate()
        assert process.returncode == code, out + err
        return out + err


@pytest.fixture
def palate(hub) -> Palate:
    return Palate()


@pytest.mark.slow
def test_a_training_runs_from_what_was_put_into_the_project(labelled, palate):
    said = palate("train", labelled.id, *FAST, "--on", "hf", "--yes")
    print(said)
    print(palate("jobs", labelled.id))
