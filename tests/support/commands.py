"""The `palate` command as a process, and a small file of labels for it."""

import os
import subprocess
import sys

PAIRS = "idea,a,b,b_won\n" + "".join(f"idea {i},x{i},y{i},{i % 2}\n" for i in range(10))
COLUMNS = ("--prompt", "idea", "--a", "a", "--b", "b", "--choice", "b_won")


def palate(*args: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", "from palate.cli import main; main()", *args],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", **env},
        timeout=120,
    )
