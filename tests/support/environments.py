"""Cached environments for the Spaces of the local Hub."""

import os
from pathlib import Path

from palate.localhub.environments import environment_name


def lay_environment(root: Path, gradio: str, requirements: str, python: str) -> None:
    """Let Spaces with these requirements run with `python`, as if pip had installed all of them."""
    before = os.umask(0o077)  # the mode of the Hub's own files
    try:
        name = environment_name(f"gradio[oauth]=={gradio}", requirements)
        file = root / "spaces" / "environments" / name / "bin" / "python"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
        file.chmod(0o700)
        (file.parent.parent / "complete").touch()
    finally:
        os.umask(before)
