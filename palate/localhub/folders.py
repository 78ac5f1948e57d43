"""Which git folders belong to repos, whenever the Hub was killed.

While a folder is made or deleted, a marker beside it says that the database has the last word on
it. A folder without a marker and without a repo is nobody's leftover: the database is wrong, say
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
    """Note that `folder` is to be deleted unless a repo has it; return the marker."""
    marker = folder.with_name(folder.name + MARKER)
    marker.touch()
    return marker


@contextmanager
def unsure(folder: Path) -> Generator[None]:
    """A block that makes `folder` and, last of all, its repo; if it fails, neither is left."""
    marker = mark(folder)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        marker.unlink(missing_ok=True)


def settle(db: Database, root: Path) -> tuple[set[str], set[int]]:
    """Finish what was cut short.

    Return the folders that belong to no repo, and the ids of the repos that cannot be read.
    """
    repos = {row["folder"]: row for row in db.all("SELECT * FROM repo")}
    for marker in root.glob(f"*{MARKER}"):
        name = marker.name.removesuffix(MARKER)
        if name not in repos:
            shutil.rmtree(root / name, ignore_errors=True)
        marker.unlink()
    strange = {f.name for f in root.iterdir() if f.is_dir()} - repos.keys()
    for name in strange:
        print(f"warning: {root / name} belongs to no repo of hub.db; it is left as it is")
    damaged = {row["id"]: row for name, row in repos.items() if not _readable(root / name)}
    for row in damaged.values():
        name = f"{row['kind']} {row['ns']}/{row['name']}"
        print(f"warning: {name} cannot be read: restore {root / row['folder']} or delete the repo")
    return strange, set(damaged)


def _readable(folder: Path) -> bool:
    try:
        return bool(pygit2.Repository(str(folder)))
    except pygit2.GitError:
        return False
