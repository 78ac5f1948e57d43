"""Where the Spaces, jobs and card templates lie: next to `palate/`, or inside an installed wheel.

And how a file is replaced, so that a kill leaves the old text or the new one, never half of it.
"""

from pathlib import Path
from typing import Literal

from palate.core.errors import PalateError

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(kind: Literal["spaces", "jobs", "cards"]) -> Path:
    """Return the folder of what palate ships; raises PalateError where an install lacks it."""
    for folder in (PACKAGE.parent / kind, PACKAGE / "_shipped" / kind):
        # in site-packages `spaces` may be Hugging Face's package of that name
        if folder.is_dir() and not (folder / "__init__.py").exists():
            return folder
    raise PalateError(
        f"The palate in {PACKAGE} has no {kind}/ folder."
        " Install it again: pip install --force-reinstall palate"
    )


def replace(file: Path, text: str) -> None:
    """Write the file whole or not at all; one writer at a time."""
    scratch = file.with_name(f"{file.name}.new")
    scratch.write_text(text, "utf-8")
    scratch.replace(file)
