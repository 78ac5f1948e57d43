"""Cached environments for the Spaces of the local Hub."""

import os
import re
import shlex
from pathlib import Path

from forking import FastPython
from zygote import READ_AGAIN, early

from palate.localhub.environments import environment_name


def lay_environments(root: Path, python: FastPython) -> None:
    """Let both of palate's Spaces run with the packages of this environment, as forks."""
    from palate.web.deploy_plan import KINDS
    from palate.web.space_files import space_files

    for kind in KINDS:
        files = space_files(kind)
        (version,) = re.findall(r"^sdk_version: (\S+)", files["README.md"].read_text(), re.M)
        lay_environment(root, version, files["requirements.txt"], hosted(python))


def hosted(python: FastPython) -> str:
    """Return the command of a Python for Spaces, which lack variables that its zygote has."""
    missing = {n: v for n, v in early(dict(os.environ)).items() if not READ_AGAIN.fullmatch(n)}
    return shlex.join(["env", *(f"{n}={v}" for n, v in missing.items()), str(python.executable)])


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
