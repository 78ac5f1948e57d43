"""Paths of what palate ships: next to `palate/` in a checkout, inside it in an installed wheel.

Also atomic replacement of a file: a kill leaves the old text or the new one, never a part.
"""

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


def replace(file: Path, text: str) -> None:
    """Write the whole file or nothing; one writer at a time."""
    scratch = file.with_name(f"{file.name}.new")
    scratch.write_text(text, "utf-8")
    scratch.replace(file)
