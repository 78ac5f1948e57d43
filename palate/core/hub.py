"""The Hub calls that palate makes, with retries and errors that say what to do.

`HF_ENDPOINT` alone decides which Hub; the token is the one `hf auth login` stored, or `HF_TOKEN`.
"""

import os
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Generic, Literal, TypeVar
from urllib.parse import quote, urlsplit

from palate.core.errors import PalateError, UsageError
from palate.core.hub_errors import TRIES, Conflict, readable_errors, retry

T = TypeVar("T")
RepoType = Literal["model", "dataset", "space"]
Files = Mapping[str, bytes | str | Path]  # contents by repo path; a Path is uploaded from disk


def keep_to_lfs() -> None:
    """Turn Xet off for a Hub on this machine, which stores large files by LFS alone.

    huggingface_hub reads the variable once, at its import, so this runs when this module is
    imported, before anything here imports the client. A value that is set already stays.
    """
    if urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname in ("127.0.0.1", "localhost", "::1"):
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")


keep_to_lfs()


@cache
def api():
    """Return the client of the Hub that `HF_ENDPOINT` names."""
    from huggingface_hub import HfApi

    client = HfApi(library_name="palate")
    if not client.endpoint:
        raise UsageError(
            "HF_ENDPOINT is set but empty. Unset it for huggingface.co, or set it to the address"
            " of your Hub, such as http://127.0.0.1:8123."
        )
    return client


def endpoint() -> str:
    """Return the Hub's address, such as https://huggingface.co."""
    return api().endpoint


def is_local() -> bool:
    """Tell whether the Hub is one on this machine."""
    return "127.0.0.1" in endpoint() or "localhost" in endpoint()


def describe(repo: str, kind: RepoType, revision: str = "main") -> tuple[str, list[str]]:
    """Return the commit that `revision` names and the paths of its files."""
    with readable_errors(repo, kind):
        info = retry(lambda: api().repo_info(repo, repo_type=kind, revision=revision))
        return info.sha, sorted(s.rfilename for s in info.siblings)


def hashes(repo: str, kind: RepoType, revision: str = "main") -> dict[str, str]:
    """Return the hash of every file by its path: git's, or sha256 of what LFS holds."""
    at: dict = {"repo_type": kind, "revision": revision, "recursive": True}
    with readable_errors(repo):
        tree = retry(lambda: list(api().list_repo_tree(repo, **at)))
    return {e.path: e.lfs.sha256 if e.lfs else e.blob_id for e in tree if hasattr(e, "blob_id")}


def exists(repo: str, kind: RepoType) -> bool:
    """Tell whether the repo exists and the token may see it."""
    with readable_errors(repo):
        return retry(lambda: api().repo_exists(repo, repo_type=kind))


def fetch(repo: str, kind: RepoType, revision: str, paths: Sequence[str]) -> list[Path]:
    """Download files at a commit, resuming an interrupted download; return their local paths."""
    from huggingface_hub import snapshot_download

    with readable_errors(repo), _quiet():
        folder = retry(
            lambda: snapshot_download(
                repo, repo_type=kind, revision=revision, allow_patterns=list(map(_literal, paths))
            )
        )
    local = [Path(folder) / path for path in paths]
    for path, file in zip(paths, local, strict=True):
        if not file.exists():
            raise PalateError(f"{repo} has no {path} at {revision}.")
    return local


def create(repo: str, kind: RepoType, *, private: bool = True) -> bool:
    """Create the repo if it does not exist; return whether it was created."""
    if exists(repo, kind):
        return False
    with readable_errors(repo):
        retry(lambda: api().create_repo(repo, repo_type=kind, private=private, exist_ok=True))
    return True


def commit(
    repo: str,
    kind: RepoType,
    files: Files,
    message: str,
    *,
    delete: Sequence[str] = (),
    parent: str | None = None,
    revision: str | None = None,
) -> str:
    """Commit files (text, bytes or a local path, by repo path) at once; return the commit's hash.

    The branch is `revision`, or main. With `parent`, raise Conflict if the branch has moved on.
    Without, commit on top of what others committed in the meantime.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    def send() -> str:
        # built for each try: an operation remembers what it has uploaded
        operations: list[CommitOperationAdd | CommitOperationDelete]
        operations = [CommitOperationAdd(p, _content(v)) for p, v in sorted(files.items())]
        operations += [CommitOperationDelete(p) for p in sorted(delete)]
        return (
            api()
            .create_commit(
                repo,
                operations,
                commit_message=message,
                repo_type=kind,
                parent_commit=parent,
                revision=revision,
            )
            .oid
        )

    with readable_errors(repo), _quiet():
        return retry(send, also=() if parent else (409, 412))


@dataclass(frozen=True)
class Change(Generic[T]):
    """A commit to make, and the `result` to return once it is on the Hub."""

    result: T
    message: str = ""
    files: Files = field(default_factory=dict)
    delete: Sequence[str] = ()


def update(
    repo: str,
    kind: RepoType,
    build: Callable[[str, list[str]], Change[T]],
    *,
    tries: int = TRIES,
) -> tuple[str, T]:
    """Read the head, build a change from it and commit that; start over if the head has moved.

    `build` gets the head's commit hash and its file paths. A change without files is not committed.
    Returns the commit's hash and the change's `result`. Raises Conflict when all tries collide.
    """
    for _ in range(tries):
        head, paths = describe(repo, kind)
        change = build(head, paths)
        if not change.files and not change.delete:
            return head, change.result
        what, delete = (repo, kind, change.files, change.message), change.delete
        try:
            return commit(*what, delete=delete, parent=head), change.result
        except Conflict:
            # writers that collided must not collide again in step
            time.sleep(random.uniform(0, 0.5))
    raise Conflict(
        f"Others changed {repo} during each of {tries} tries to commit to it."
        " Nothing was written. Run the same command again in a minute."
    )


def differ(repo: str, kind: RepoType, revision: str, have: Sequence[str], files: Files) -> bool:
    """Tell whether any of `files` (text or bytes) is missing or different at a commit."""
    if not set(files) <= set(have):
        return True
    local = fetch(repo, kind, revision, list(files)) if files else []
    return any(
        file.read_bytes() != _content(value)
        for file, value in zip(local, files.values(), strict=True)
    )


def tag(repo: str, kind: RepoType, name: str, revision: str) -> None:
    """Point the tag at `revision`, creating or moving it."""
    from huggingface_hub.errors import RevisionNotFoundError

    with readable_errors(repo):
        with suppress(RevisionNotFoundError):
            retry(lambda: api().delete_tag(repo, tag=name, repo_type=kind))
        retry(lambda: api().create_tag(repo, tag=name, revision=revision, repo_type=kind))


def tags(repo: str, kind: RepoType) -> dict[str, str]:
    """Return the commit of each tag; none if there is no such repo."""
    if not exists(repo, kind):
        return {}
    with readable_errors(repo):
        refs = retry(lambda: api().list_repo_refs(repo, repo_type=kind))
    return {ref.name: ref.target_commit for ref in refs.tags}


def other_refs(repo: str, kind: RepoType) -> list[str]:
    """Return the refs besides the main branch: branches, tags and pull requests."""
    with readable_errors(repo):
        refs = retry(lambda: api().list_repo_refs(repo, repo_type=kind, include_pull_requests=True))
    every = [*refs.branches, *refs.converts, *refs.tags, *(refs.pull_requests or ())]
    return [ref.ref for ref in every if ref.ref != "refs/heads/main"]


def user_id(name: str) -> str | None:
    """Return what sign-in calls the user `sub`; None if the Hub knows nobody of that name."""
    from huggingface_hub.errors import HfHubHTTPError

    with readable_errors(name):
        try:
            user = retry(lambda: api().get_user_overview(quote(name, safe="")))
        except HfHubHTTPError as error:
            if error.response.status_code in (400, 404):
                return None
            raise
    return getattr(user, "_id", None)


def drop_cached(repo: str, kind: RepoType, keep: str) -> None:
    """Delete from this machine's cache every commit of the repo but `keep`."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    with suppress(CacheNotFound):
        cache = scan_cache_dir()
        old = [
            revision.commit_hash
            for cached in cache.repos
            if (cached.repo_id, cached.repo_type) == (repo, kind)
            for revision in cached.revisions
            if revision.commit_hash != keep
        ]
        cache.delete_revisions(*old).execute()


def squash(repo: str, kind: RepoType, message: str) -> None:
    """Replace the history of the main branch by one commit with its files as they are."""
    with readable_errors(repo):
        retry(lambda: api().super_squash_history(repo, repo_type=kind, commit_message=message))


def branches(repo: str, kind: RepoType) -> list[str]:
    """Return the names of the repo's branches."""
    with readable_errors(repo):
        return [b.name for b in retry(lambda: api().list_repo_refs(repo, repo_type=kind)).branches]


def branch(repo: str, kind: RepoType, name: str) -> None:
    """Create the branch if it does not exist."""
    with readable_errors(repo):
        retry(lambda: api().create_branch(repo, branch=name, repo_type=kind, exist_ok=True))


def delete_branch(repo: str, kind: RepoType, name: str) -> None:
    with readable_errors(repo):
        retry(lambda: api().delete_branch(repo, branch=name, repo_type=kind))


def _content(value: bytes | str | Path) -> bytes | Path:
    return value.encode("utf-8") if isinstance(value, str) else value


def _literal(path: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


@contextmanager
def _quiet() -> Generator[None]:
    """Silence the clients' own progress bars and warnings."""
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars, logging

    logging.set_verbosity_error()  # warnings on retries and on commits without a change
    was_off = os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS")
    if was_off is None:
        disable_progress_bars()
    try:
        yield
    finally:
        if was_off is None:
            enable_progress_bars()
