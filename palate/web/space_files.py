"""The files of a Space: `app.py`, pinned requirements, and the rooms of palate that it needs."""

import hashlib
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from palate.core.paths import PACKAGE, shipped
from palate.web.serving import Kind

MARKER = "palate/__init__.py"  # a Space that holds it was made by palate
# The folders of palate that each Space gets; tests/web/test_spaces.py compares them with what its
# app.py imports.
ROOMS: dict[Kind, tuple[str, ...]] = {
    "label": ("core", "label", "argilla", "web/ballot", "web/labelling"),
    "evaluate": ("core", "label", "evaluate", "web/ballot", "web/voting"),
}
UNUSED: dict[Kind, tuple[str, ...]] = {  # modules of these rooms that the Space does not import
    "label": ("core/splits", "label/questions"),
    "evaluate": (
        "evaluate/config",
        "evaluate/judging",
        "label/agreement_text",
        "label/preferences",
        "label/questions",
        "label/steps",
    ),
}
GPU_FILE = "gpu-requirements.txt"


def space_files(kind: Kind, *, gpu: bool = False) -> dict[str, Path | str]:
    """Return the Space's files by repo path; with `gpu` its requirements include models."""
    folder = shipped("spaces") / kind
    files: dict[str, Path | str] = {name: folder / name for name in ("app.py", "README.md")}
    needs = [folder / "requirements.txt", *([folder.parent / GPU_FILE] if gpu else [])]
    files["requirements.txt"] = pinned("".join(file.read_text("utf-8") for file in needs))
    for room in ROOMS[kind]:
        for parent in (PACKAGE / room).relative_to(PACKAGE).parents:
            files |= _by_repo_path(PACKAGE / parent / "__init__.py")
        files |= _by_repo_path(*(PACKAGE / room).rglob("*"))
    unused = {f"palate/{name}.py" for name in UNUSED[kind]}
    return {path: file for path, file in sorted(files.items()) if path not in unused}


def _by_repo_path(*paths: Path) -> dict[str, Path]:
    return {
        f"palate/{path.relative_to(PACKAGE).as_posix()}": path
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def pinned(requirements: str) -> str:
    """Return the requirements pinned to the versions installed here; others stay as they are.

    torch is left to the Hub, which has the one for its GPUs.
    """
    lines = []
    for line in requirements.splitlines():
        name = re.match(r"(?!torch\b)[\w.\-]+(\[[\w,]+\])?", line)
        try:
            lines.append(f"{name[0]}=={version(name[0].partition('[')[0])}" if name else line)
        except PackageNotFoundError:
            lines.append(line)
    return "\n".join(lines) + "\n"


def content_hashes(value: Path | str) -> tuple[str, str]:
    """Return the hashes by which git and LFS name a file's content."""
    content = value.encode() if isinstance(value, str) else value.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return git, hashlib.sha256(content).hexdigest()
