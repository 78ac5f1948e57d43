"""What the jobs push is of use without palate: the code on each card runs where there is none."""

import re
import subprocess
import sys

import pytest

from palate.core import hub as client
from palate.core.project import Project
from palate.train.trainers.losses import FREE

FAST = ("--method", "full", "--learning-rate", "1e-3", "--epochs", "1")
ADAPTER = ("--method", "lora", "--epochs", "1")
# what is imported as palate from here on is not found
WITHOUT = """
import sys, warnings
sys.modules["palate"] = None
warnings.simplefilter("ignore")
"""


def code_of(repo: str) -> str:
    """Return the card's code; it takes the model's files from the Hub."""
    sha, _ = client.describe(repo, "model")
    card = client.fetch(repo, "model", sha, ["README.md"])[0].read_text("utf-8")
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", card)
    assert f'"{repo}"' in code
    return code


@pytest.mark.slow
def test_the_code_on_each_card_runs_without_palate(labelled: Project, jobs):
    adapter = f"{labelled.id}-adapter"
    best = f"{labelled.id}-best"
    jobs("reward", labelled.id)
    jobs("dpo", labelled.id, *FAST)
    jobs("dpo", labelled.id, *ADAPTER, "--output", adapter)
    jobs("sft", labelled.id, *FAST)
    words = ("--from", "best", "--n", "4", "--rounds", "1", "--max-new-tokens", "16")
    jobs("sft", labelled.id, *FAST, *words, "--output", best)
    hindsight = f"{labelled.id}-hindsight"
    jobs("sft", labelled.id, *FAST, "--hindsight", "--output", hindsight)
    jobs("kto", labelled.id, *FAST)
    losses = [f"{labelled.id}-{loss}" for loss in FREE]
    for loss, repo in zip(FREE, losses, strict=True):
        jobs("dpo", labelled.id, *FAST, "--loss", loss, "--output", repo)
    longest = ("--max-new-tokens", "12", "--batch-size", "16")
    jobs("rl", labelled.id, *FAST, *longest)
    repos = (labelled.reward_repo, labelled.model_repo, adapter, labelled.sft_repo, best,
             hindsight, labelled.kto_repo, *losses, labelled.rl_repo)  # fmt: skip
    parts = [f'print("# {repo}", flush=True)\n{code_of(repo)}' for repo in repos]
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT + "\n".join(parts)],
        env=jobs.env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.split(r"(?m)^# .*\n", done.stdout)[1:]
    assert len(said) == len(repos)
    assert float(said[0])  # a reward
    assert all(text.strip() for text in said)
