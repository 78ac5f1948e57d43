"""The whole loop, as `make demo ARGS=--once` runs it, and once more where it stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

LINE = re.compile(
    r"verdict: tuned preferred (\d+\.\d)% \(95% interval (\d+\.\d)–(\d+\.\d),"
    r" (\d+) votes?, (\d+) ties?\)"
)
ARGUMENTS = ["demo", "--tiny", "--once", "--labels", "300", "--root"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ARGILLA_"))}


def demo(root: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-c", "from palate.cli import main; main()", *ARGUMENTS, str(root)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_loop_ends_with_a_verdict_and_goes_on_from_there(tmp_path, with_writer):
    first = demo(with_writer(tmp_path))
    rate, low, high, votes, _ = map(float, LINE.search(first.splitlines()[-1]).groups())
    assert low < rate < high
    assert low > 50
    assert votes > 80
    again = demo(tmp_path)
    assert again.splitlines()[-1] == first.splitlines()[-1]
    assert "0 of 181 prompts need completions" in again
    assert "for training, 0 for testing" not in again
    assert "labels  300 by Ada" in first
    assert "labels  300 by Ada" not in again  # no Space starts for nothing
    users = json.loads((tmp_path / "hub" / "users.json").read_text())
    assert not [t for t in _tokens(users) if t in first + again]


def _tokens(users: object) -> list[str]:
    return re.findall(r"hf_\w+", json.dumps(users))
