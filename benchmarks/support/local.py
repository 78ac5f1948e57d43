"""What several benchmarks start and ask: a local Hub, a project, a label Space, Chromium."""

import json
import os
import time
import urllib.request
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

    from palate.core.project import Settings
    from palate.core.schema import Candidate, Prompt
    from palate.localhub import LocalHub

FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
    " --disable-sync"
)


def use_hub(hub: "LocalHub", root: Path, **more: str) -> None:
    """Set the environment variables that direct palate and its child processes to the Hub.

    Call it before anything imports huggingface_hub, which reads them once.
    """
    os.environ |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(root / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "PALATE_DATA": str(root / "data"),
        **more,
    }


def start_project(
    project_id: str,
    prompts: Sequence["Prompt"],
    candidates: Iterable["Candidate"],
    settings: "Settings",
) -> None:
    """Create a project that has these candidates."""
    from palate.collect import importing
    from palate.collect.importing import Imported

    importing.start_project(project_id, prompts, settings)
    importing.add(project_id, Imported([], list(candidates), []), "Add candidates")


def wait_until_ready(url: str) -> None:
    """Return once the Space can save labels."""
    while True:
        with suppress(OSError), urllib.request.urlopen(f"{url}/healthz"):
            return
        time.sleep(0.5)


def post(url: str, body: dict, name: str, seconds: float = 60) -> dict:
    """Send what the page sends for the person `name`; return the answer."""
    headers = {"content-type": "application/json", "x-annotator": name.replace(" ", "%20")}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return json.load(answer)


def chromium(playwright: "Playwright") -> "Browser":
    return playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS.split())
