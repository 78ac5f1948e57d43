"""What hatch cannot say in pyproject.toml: jobs that run from an install, a README for an index."""

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from palate.run.bundle import installed_job  # noqa: E402


class BuildHook(BuildHookInterface):
    """Ships jobs/ without the headers' path to the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # jobs/ is used where it is
            return
        self.scratch = tempfile.TemporaryDirectory()
        for file in sorted((ROOT / "jobs").rglob("*")):
            if not file.is_file() or file.suffix == ".pyc":
                continue
            path = file.relative_to(ROOT / "jobs").as_posix()
            if file.suffix == ".py":
                copy = Path(self.scratch.name) / file.name
                copy.write_text(installed_job(file.read_text("utf-8")), "utf-8")
                file = copy
            build_data["force_include"][str(file)] = f"palate/_shipped/jobs/{path}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self.scratch.cleanup()


class MetadataHook(MetadataHookInterface):
    """Gives an index the README without what only works inside the repo."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (ROOT / "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_index(text)}


def for_index(readme: str) -> str:
    """Return the README without pictures, its links into the repo as plain file names.

    An index shows the text alone, so relative links and pictures would lead nowhere.
    """
    readme = re.sub(r"(?m)^!\[[^\]]*\]\((?!https?:)[^)]+\)\n+", "", readme)
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)", r"\1 (`\2` in the source)", readme)
