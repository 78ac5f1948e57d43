"""Cleaning up after a Hub that was killed."""

from pathlib import Path

from palate.localhub.objects import LFS
from palate.localhub.repos import Repos


def remove_scratch_files(root: Path) -> None:
    """Delete lock files and unfinished writes to git and to the Hub's own files."""
    patterns = ("git/*/*.lock", "git/*/refs/**/*.lock", "git/*/objects/tmp_*", "*.new")
    for pattern in patterns:
        for file in root.glob(pattern):
            file.unlink(missing_ok=True)


def recover(repos: Repos, lfs: LFS) -> None:
    """Drop the large files that no ref needs."""
    lfs.links_known = not repos.unknown_folders
    for repo in repos.intact():
        lfs.prune(repo, repo.git())
    lfs.sweep()
