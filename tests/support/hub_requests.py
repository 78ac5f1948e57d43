"""Requests to the local Hub, by huggingface_hub's client and by hand."""

import hashlib
import json
from collections.abc import Callable

from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.errors import HfHubHTTPError


def status_of(call: Callable[..., object], *args: object, **kwargs: object) -> int:
    """Return 200, or the status with which the Hub refused the call."""
    try:
        call(*args, **kwargs)
    except HfHubHTTPError as e:
        return e.response.status_code
    return 200


def upload(api: HfApi, repo: str, path: str, content: bytes, **kwargs: str) -> CommitInfo:
    return api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo, **kwargs)


def oid_of(content: bytes) -> str:
    """Return the id of a large file."""
    return hashlib.sha256(content).hexdigest()


def change(key: str, **value: object) -> dict[str, object]:
    """Return one line of a commit."""
    return {"key": key, "value": value}


def large(path: str, oid: str) -> dict[str, object]:
    return change("lfsFile", path=path, algo="sha256", oid=oid, size=1)


def commit_body(*changes: dict[str, object], **header: object) -> bytes:
    """Return the body of a commit, one JSON object per line."""
    lines = (change("header", **{"summary": "x", **header}), *changes)
    return "\n".join(map(json.dumps, lines)).encode()


def lfs_batch(operation: str, oid: str, size: int, **more: object) -> dict[str, object]:
    """Return the question where to download or upload a large file."""
    return {"operation": operation, "objects": [{"oid": oid, "size": size}], **more}
