"""The whole loop, as `make demo ARGS=--once` runs it, and once more where it stands."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from palate.demo.titles import corpus, prompt_for

LINE = re.compile(
    r"verdict: tuned preferred (\d+\.\d)% \(95% interval (\d+\.\d)–(\d+\.\d),"
    r" (\d+) votes?, (\d+) ties?\)"
)
ARGUMENTS = ["demo", "--tiny", "--once", "--labels", "300"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ARGILLA_"))}


@pytest.fixture
def demo(demo_code) -> Callable[..., str]:
    """Run the demo in a folder with these flags; return what it prints."""

    def run(root: Path, *flags: str) -> str:
        words = [*ARGUMENTS[:3], *(flags or ARGUMENTS[3:5]), "--root", str(root)]
        command = [sys.executable, "-c", demo_code, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return run


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_loop_ends_with_a_verdict_and_goes_on_from_there(tmp_path, demo, with_writer):
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
    round_two = demo(tmp_path, "--labels", "40", "--rounds", "2")
    assert "palate round me/titles: the tuned model writes" in round_two
    assert "labels  40 by Ada" in round_two
    assert "342 topics: 136 train, 45 test, 161 eval" in round_two
    rate, low, high, votes, _ = map(float, LINE.search(round_two.splitlines()[-1]).groups())
    assert low <= rate <= high
    assert 30 <= votes <= 80  # on fresh prompts alone


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_own_labels_are_trained_on_and_the_votes_are_left_to_people(tmp_path, demo, with_writer):
    rows = [
        {"prompt": prompt_for(topic), "a": titles[0], "b": titles[1], "choice": "a"}
        for topic, titles in list(corpus().items())[:40]
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    root = with_writer(tmp_path / "demo")
    said = demo(root, "--data", str(file))
    assert "30 of mine.jsonl; 10 more are on prompts that stay" in said
    assert "Ada" not in said
    assert "the model prefers what people preferred in" in said
    assert said.splitlines()[-1].startswith("Nobody has voted yet")
    again = demo(root)  # it knows whose labels they are
    assert "Ada" not in again
    assert again.count(": 0 completions to write") == 2


def _tokens(users: object) -> list[str]:
    return re.findall(r"hf_\w+", json.dumps(users))
