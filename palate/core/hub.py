"""The few Hub calls that palate makes, with retry, and errors that say what to do.

`HF_ENDPOINT` alone decides which Hub; the token is the one `hf auth login` stored, or `HF_TOKEN`.
"""

import errno
import os
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from palate.core.errors import PalateError, Unreachable, UsageError

T = TypeVar("T")
RepoType = Literal["model", "dataset", "space"]
TRIES = 5


class Conflict(PalateError):
    """The branch moved since `parent` was read: read again, then commit again."""


@cache
def api():
    """Return the client of the Hub that `HF_ENDPOINT` names."""
    from huggingface_hub import HfApi

    return HfApi(library_name="palate")


def endpoint() -> str:
    """Return the Hub's address, such as https://huggingface.co."""
    return api().endpoint


def is_local() -> bool:
    """Tell whether the Hub is one on this machine."""
    return "127.0.0.1" in endpoint() or "localhost" in endpoint()


def describe(repo: str, kind: RepoType, revision: str = "main") -> tuple[str, list[str]]:
    """Return the commit that `revision` names and the paths of its files."""
    with readable_errors(repo):
        info = retry(lambda: api().repo_info(repo, repo_type=kind, revision=revision))
        return info.sha, sorted(s.rfilename for s in info.siblings)


def hashes(repo: str, kind: RepoType, revision: str = "main") -> dict[str, str]:
    """Return the hash of every file by its path: git's, or sha256 of what LFS holds."""
    at: dict = {"repo_type": kind, "revision": revision, "recursive": True}
    with readable_errors(repo):
        tree = retry(lambda: list(api().list_repo_tree(repo, **at)))
    return {e.path: e.lfs.sha256 if e.lfs else e.blob_id for e in tree if hasattr(e, "blob_id")}


def exists(repo: str, kind: RepoType) -> bool:
    """Tell whether the repo is there and the token may see it."""
    with readable_errors(repo):
        return retry(lambda: api().repo_exists(repo, repo_type=kind))


def fetch(repo: str, kind: RepoType, revision: str, paths: Sequence[str]) -> list[Path]:
    """Download files at a commit, resuming what an interrupted run left; return where they lie."""
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
            raise PalateError(f"{repo} holds no {path} at {revision}.")
    return local


def create(repo: str, kind: RepoType, *, private: bool = True) -> bool:
    """Make the repo unless it is there; return whether it was made. Private unless told not to."""
    if exists(repo, kind):
        return False
    with readable_errors(repo):
        retry(lambda: api().create_repo(repo, repo_type=kind, private=private, exist_ok=True))
    return True


def commit(
    repo: str,
    kind: RepoType,
    files: Mapping[str, bytes | str | Path],
    message: str,
    *,
    delete: Sequence[str] = (),
    parent: str | None = None,
    revision: str | None = None,
) -> str:
    """Commit files (text, bytes or a local path, by repo path) at once; return the commit's hash.

    To the branch `revision`, or to main. With `parent`, raise Conflict if it has moved past it;
    without, it is sent again on top of what came in between.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    def content(value: bytes | str | Path) -> bytes | Path:
        return value.encode("utf-8") if isinstance(value, str) else value

    def send() -> str:
        # built anew for each try: an operation remembers what it has uploaded
        operations: list = [CommitOperationAdd(p, content(v)) for p, v in sorted(files.items())]
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


def tag(repo: str, kind: RepoType, name: str, revision: str) -> None:
    """Make the tag point at `revision`, wherever it pointed before."""
    from huggingface_hub.errors import RevisionNotFoundError

    with readable_errors(repo):
        with suppress(RevisionNotFoundError):
            retry(lambda: api().delete_tag(repo, tag=name, repo_type=kind))
        retry(lambda: api().create_tag(repo, tag=name, revision=revision, repo_type=kind))


def branches(repo: str, kind: RepoType) -> list[str]:
    with readable_errors(repo):
        return [b.name for b in retry(lambda: api().list_repo_refs(repo, repo_type=kind)).branches]


def branch(repo: str, kind: RepoType, name: str) -> None:
    """Make the branch unless it is there."""
    with readable_errors(repo):
        retry(lambda: api().create_branch(repo, branch=name, repo_type=kind, exist_ok=True))


def delete_branch(repo: str, kind: RepoType, name: str) -> None:
    with readable_errors(repo):
        retry(lambda: api().delete_branch(repo, branch=name, repo_type=kind))


def retry(call: Callable[[], T], tries: int = TRIES, also: Sequence[int] = ()) -> T:
    """Call until it succeeds: a Hub that is busy, restarting or rate-limiting gets a new chance.

    Waits 0.5, 1, 2 … s with jitter, or what `Retry-After` says; other errors than those and the
    status codes `also` pass at once.
    """
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx

    for attempt in range(tries):
        try:
            return call()
        except HfHubHTTPError as error:
            status = error.response.status_code
            passing = status == 429 or (status >= 500 and status != 507) or status in also
            if attempt == tries - 1 or not passing:
                raise
            wait = float(error.response.headers.get("Retry-After") or 0)
        except httpx.TransportError:
            if attempt == tries - 1:
                raise
            wait = 0
        time.sleep(min(60, max(wait, 0.5 * 2**attempt * random.uniform(0.7, 1.3))))
    raise AssertionError("unreachable: the last try returns or raises")


@contextmanager
def readable_errors(repo: str) -> Generator[None]:
    """Turn the clients' errors into palate's, each ending in what to do."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import httpx

    where = endpoint()
    try:
        yield
    except LocalTokenNotFoundError:
        raise Unreachable(f"No token for {where}. Sign in with: hf auth login") from None
    except RevisionNotFoundError as error:
        if "revision" in str(error).lower():
            raise UsageError(f"{repo} has no such revision: {_first_line(error)}") from None
        raise
    except RepositoryNotFoundError as error:
        raise _not_found(repo, where, error.response.status_code) from None
    except HfHubHTTPError as error:
        raise _http_error(repo, where, error) from None
    except (httpx.TransportError, OfflineModeIsEnabled) as error:
        raise Unreachable(
            f"The Hub at {where} does not answer ({_first_line(error)}). Is it running?"
            " Check HF_ENDPOINT, or start a local one with: palate hub serve"
        ) from None
    except RuntimeError as error:  # how the client says that an LFS upload broke off
        if "uploading" not in str(error):
            raise
        raise Unreachable(
            f"An upload to {repo} broke off ({_first_line(error.__cause__ or error)})."
            " Run the same command again."
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise PalateError(
                f"No space left on the disk for {repo}. Free some, or point HF_HOME at a larger"
                " disk, and run the same command again: it resumes."
            ) from None
        raise


def _not_found(repo: str, where: str, status: int) -> PalateError:
    if status == 401:
        return Unreachable(
            f"{where} did not let us see {repo}: no valid token. Sign in with: hf auth login"
            " (or set HF_TOKEN)"
        )
    return UsageError(
        f"There is no repo {repo} on {where}, or your token may not see it."
        " Check the spelling; a new project starts with: palate init OWNER/NAME --prompts FILE"
    )


def _http_error(repo: str, where: str, error) -> PalateError:
    status, text = error.response.status_code, error.server_message or _first_line(error)
    if status == 402:
        return PalateError(
            f"{where} asks for payment for {repo} ({text}). See {where}/settings/billing"
        )
    if status == 412:
        return Conflict(f"{repo} was changed by somebody else meanwhile: {text}")
    if status == 401:
        return Unreachable(f"{where} does not accept the token. Sign in with: hf auth login")
    if status == 403:
        return Unreachable(
            f"The token may not write to {repo} ({text}). Use one with write access: hf auth login"
        )
    if status == 507:
        return PalateError(f"The Hub's disk is full, nothing was written to {repo}: {text}")
    if status == 404:
        return UsageError(f"{repo}: {text}")
    return PalateError(f"The Hub answered {status} for {repo}: {text}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _literal(path: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


@contextmanager
def _quiet() -> Generator[None]:
    """Silence the clients' own bars and remarks: palate's commands say what matters."""
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars, logging

    logging.set_verbosity_error()  # its remarks on retries and on commits without a change
    was_off = os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS")
    if was_off is None:
        disable_progress_bars()
    try:
        yield
    finally:
        if was_off is None:
            enable_progress_bars()
