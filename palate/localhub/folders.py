"""Which git folders belong to repos, even after the Hub was killed.

While a folder is created or deleted, a marker next to it says that the database decides whether it
stays. A folder with neither a marker nor a repo is no leftover: the database is wrong, for example
restored from an old backup, and the folder is left alone.
"""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pygit2

from palate.localhub.database import Database

MARKER = ".unsure"


def mark(folder: Path) -> Path:
    """Mark `folder` for deletion unless a repo has it; return the marker."""
    marker = folder.with_name(folder.name + MARKER)
    marker.touch()
    return marker


@contextmanager
def creating(folder: Path) -> Generator[None]:
    """A block that creates `folder` and, last, its repo; if it fails, neither remains."""
    marker = mark(folder)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        marker.unlink(missing_ok=True)


def settle(db: Database, root: Path) -> tuple[set[str], set[int]]:
    """Finish creations and deletions that were interrupted.

    Returns the folders that belong to no repo, and the ids of the repos that cannot be read.
    """
    repos = {row["folder"]: row for row in db.all("SELECT * FROM repo")}
    for marker in root.glob(f"*{MARKER}"):
        name = marker.name.removesuffix(MARKER)
        if name not in repos:
            shutil.rmtree(root / name, ignore_errors=True)
        marker.unlink()
    unknown = {f.name for f in root.iterdir() if f.is_dir()} - repos.keys()
    for name in unknown:
        print(f"warning: {root / name} belongs to no repo in hub.db; it is left as it is")
    damaged = {row["id"]: row for name, row in repos.items() if not _readable(root / name)}
    for row in damaged.values():
        name = f"{row['kind']} {row['ns']}/{row['name']}"
        print(f"warning: cannot read {name}: restore {root / row['folder']} or delete the repo")
    return unknown, set(damaged)


def _readable(folder: Path) -> bool:
    try:
        return bool(pygit2.Repository(str(folder)))
    except pygit2.GitError:
        return False
