"""The loop as on the Hub: Spaces that the local Hub builds, jobs through its API, two browsers."""

import json
import os
import re
import subprocess
import sys

import pytest

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ARGILLA_"))}
ARGUMENTS = ["demo", "--hosted", "--tiny", "--once", "--labels", "120", "--root"]


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(2400)
def test_two_people_label_and_vote_in_deployed_spaces(tmp_path, with_writer):
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "from palate.cli import main; main()",
            *ARGUMENTS,
            str(with_writer(tmp_path)),
        ],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    output = run.stdout
    assert run.returncode == 0, output[-4000:] + run.stderr[-4000:]
    assert "me/titles-label, which restarts with an empty disk" in output
    assert re.search(r"labels  60 by me and 60 by you, signed in", output)
    assert output.count("machine: cpu-") == 3  # candidates, training, completions
    assert re.search(r"votes  \d+ by me and \d+ by you, signed in", output)
    assert re.search(r"card  http://\S+/me/titles-dpo", output)
    last = output.splitlines()[-1]
    votes = int(re.fullmatch(r"verdict: .*?\(.*?(\d+) votes.*\)", last)[1])
    assert votes > 80
    users = json.loads((tmp_path / "hub" / "users.json").read_text())
    for user in users.values():
        assert user["token"] not in output + run.stderr
