"""The Spaces' front matter is valid, and a Space that lacks a setting says which."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SPACES = Path(__file__).parents[2] / "spaces"
NAMES = ("label", "evaluate")


@pytest.mark.parametrize("name", NAMES)
def test_front_matter(name):
    text = (SPACES / name / "README.md").read_text("utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["sdk"] == "gradio"
    assert front["hf_oauth"] is True
    assert (SPACES / name / front["app_file"]).exists()
    assert len(front["short_description"]) <= 60
    assert f"gradio=={front['sdk_version']}\n" in (SPACES.parent / "constraints.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("missing", ["PALATE_PROJECT", "PALATE_SECRET"])
def test_a_missing_setting_is_named(name, missing):
    settings = {"PALATE_PROJECT": "me/x", "PALATE_SECRET": "key"}
    del settings[missing]
    run = subprocess.run(
        [sys.executable, str(SPACES / name / "app.py")],
        capture_output=True,
        text=True,
        env={**os.environ, **settings},
        timeout=60,
    )
    assert run.returncode == 2
    assert f"{missing} is not set" in run.stderr
    assert "Traceback" not in run.stderr
