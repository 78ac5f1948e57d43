"""Paths of what palate ships: next to `palate/` in a checkout, inside it in an installed wheel.

Also atomic replacement of a file: a kill leaves the old text or the new one, never a part; and
files that may be lost.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from palate.core.errors import PalateError

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(kind: Literal["spaces", "jobs", "cards"]) -> Path:
    """Return the folder of that kind. Raises PalateError if the install lacks it."""
    for folder in (PACKAGE.parent / kind, PACKAGE / "_shipped" / kind):
        # in site-packages `spaces` may be Hugging Face's package of that name
        if folder.is_dir() and not (folder / "__init__.py").exists():
            return folder
    raise PalateError(
        f"The palate in {PACKAGE} lacks its {kind}/ folder."
        " Install it again: pip install --force-reinstall palate"
    )


def cache() -> Path:
    """Return `PALATE_CACHE`, or `palate` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palate"
    return Path(os.environ.get("PALATE_CACHE") or default)


def replace(file: Path, content: str | bytes) -> None:
    """Write the whole file or nothing. Of several writers, the last one wins."""
    scratch = file.with_name(f"{file.name}.{os.getpid()}.new")
    scratch.write_bytes(content if isinstance(content, bytes) else content.encode())
    scratch.replace(file)


def keep(file: Path | None, rows: list) -> None:
    """Write what may be lost: a disk that is full costs no more than that."""
    if file:
        with suppress(OSError):
            replace(file, json.dumps(rows))


def kept(file: Path | None) -> list:
    """Return what `keep` wrote; nothing of a file that is missing or damaged."""
    if file is None:
        return []
    try:
        rows = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return rows if isinstance(rows, list) else []
