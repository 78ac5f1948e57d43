"""What the tests of dpo.py share: flags that train the tiny model fast, and a model's record."""

import json

from palate import hub

FAST = ("--learning-rate", "1e-3", "--epochs", "2")


def record(repo: str, revision: str = "main") -> dict:
    sha, _ = hub.describe(repo, "model", revision)
    return json.loads(hub.fetch(repo, "model", sha, ["run.json"])[0].read_text("utf-8"))
