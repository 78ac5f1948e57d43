"""What a Hub that was killed left unfinished, put right when it starts again."""

from pathlib import Path

from palate.localhub.database import Database
from palate.localhub.objects import LFS
from palate.localhub.repos import Repos


def unlock(root: Path) -> None:
    """Delete the locks and scratch files of writes to git and to the Hub's own files."""
    patterns = ("git/*/*.lock", "git/*/refs/**/*.lock", "git/*/objects/tmp_*", "*.new")
    for pattern in patterns:
        for file in root.glob(pattern):
            file.unlink(missing_ok=True)


def finish(db: Database, repos: Repos, lfs: LFS) -> None:
    """Drop pull requests that were not acknowledged, and large files that no ref needs."""
    lfs.links_known = not repos.strange
    opened = {(row["repo"], row["num"]) for row in db.all("SELECT repo, num FROM discussion")}
    for repo in repos.whole():
        git = repo.git()
        for ref in [r for r in git.references if r.startswith("refs/pr/")]:
            if (repo.id, int(ref.removeprefix("refs/pr/"))) not in opened:
                git.references.delete(ref)
        lfs.prune(repo, git)
    lfs.sweep()
