"""Reading and changing bare git repositories; knows nothing of users, HTTP or the database."""

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pygit2

from palate.localhub.errors import HubError

# objects and refs reach the disk before a commit is acknowledged
pygit2.option(pygit2.enums.Option.ENABLE_FSYNC_GITDIR, True)

POINTER = re.compile(
    rb"version https://git-lfs.github.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
LFS_PATTERNS = """
*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack
*.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors
saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*
"""
GITATTRIBUTES = "".join(f"{p} filter=lfs diff=lfs merge=lfs -text\n" for p in LFS_PATTERNS.split())


@dataclass(frozen=True)
class Change:
    """One step of a commit; `content` is what an `add` puts at `path`.

    `large` is the LFS object to which that points, if it is a pointer.
    """

    do: Literal["add", "delete", "delete folder"]
    path: str
    content: bytes = b""
    large: str | None = None


@dataclass(frozen=True)
class Pointer:
    """What git holds in the place of a file that LFS holds."""

    oid: str
    size: int

    def text(self) -> bytes:
        head = "version https://git-lfs.github.com/spec/v1"
        return f"{head}\noid sha256:{self.oid}\nsize {self.size}\n".encode()


def pointer(blob: pygit2.Blob) -> Pointer | None:
    return parse_pointer(blob.data) if blob.size < 400 else None


def parse_pointer(content: bytes) -> Pointer | None:
    found = POINTER.match(content) if len(content) < 400 else None
    return Pointer(found[1].decode(), int(found[2])) if found else None


def referenced(git: pygit2.Repository, wanted: set[str]) -> set[str]:
    """Those of some LFS objects to which a commit that a branch, tag or pull request has points.

    It looks at newest commits first, at each folder and file once, and no further than it must.
    """
    found: set[str] = set()
    seen: set[pygit2.Oid] = set()
    heads = [git.references[ref].peel(pygit2.Commit).id for ref in git.references]
    if not heads or not wanted:
        return found
    walker = git.walk(heads[0], pygit2.enums.SortMode.TIME)
    for head in heads[1:]:
        walker.push(head)
    for commit in walker:
        _pointed(commit.tree, seen, found)
        if found >= wanted:
            break
    return found & wanted


def _pointed(tree: pygit2.Tree, seen: set[pygit2.Oid], found: set[str]) -> None:
    """Add to `found` the objects to which `tree` points, but for what is in `seen`."""
    for entry in tree:
        if entry.id in seen:
            continue
        seen.add(entry.id)
        if isinstance(entry, pygit2.Tree):
            _pointed(entry, seen, found)
        elif isinstance(entry, pygit2.Blob) and (link := pointer(entry)):
            found.add(link.oid)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def find_ref(git: pygit2.Repository, name: str) -> pygit2.Reference | None:
    try:
        return git.references.get(name)
    except (ValueError, pygit2.GitError):  # not even a possible name
        return None


def find_commit(git: pygit2.Repository, revision: str) -> pygit2.Commit | None:
    """The commit that a branch, a tag, a full ref or a (short) id names."""
    for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
        ref = find_ref(git, name) if name.startswith("refs/") else None
        if ref:
            return ref.peel(pygit2.Commit)
    if re.fullmatch(r"[0-9a-f]{7,40}", revision):
        try:
            return git[revision].peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError):
            pass
    return None


def commit_at(git: pygit2.Repository, revision: str) -> pygit2.Commit:
    commit = find_commit(git, revision)
    if commit is None:
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def lookup(tree: pygit2.Tree, path: str) -> pygit2.Blob | pygit2.Tree | None:
    """What lies at `path`; the tree itself for ''."""
    here: pygit2.Object = tree
    if "\0" in path:
        return None
    for part in path.split("/") if path else []:
        if not isinstance(here, pygit2.Tree) or not part or part not in here:
            return None
        here = here[part]
    return here if isinstance(here, pygit2.Blob | pygit2.Tree) else None


def walk(
    tree: pygit2.Tree, base: str = "", recursive: bool = True
) -> Iterator[tuple[pygit2.Blob | pygit2.Tree, str]]:
    """Every entry under `tree` with its path, folders before what they hold."""
    for entry in tree:
        path = base + (entry.name or "")
        if isinstance(entry, pygit2.Blob | pygit2.Tree):
            yield entry, path
        if recursive and isinstance(entry, pygit2.Tree):
            yield from walk(entry, path + "/")


def read_text(tree: pygit2.Tree, path: str) -> str | None:
    """A file's text with undecodable bytes replaced, or None where no file is."""
    blob = lookup(tree, path)
    return blob.data.decode("utf-8", "replace") if isinstance(blob, pygit2.Blob) else None


def check_path(path: str) -> str:
    parts = path.split("/")
    bad = any(p in ("", ".", "..") or p.lower() == ".git" or len(p) > 255 for p in parts)
    bad = bad or len(parts) > 100  # folders are walked recursively
    if bad or re.search(r"[\x00-\x1f\x7f\\]", path) or len(path) > 2000:
        raise HubError(422, f"Invalid path {path[:200]!r}: expected folder/file, without '..'")
    return path


def edited(tree: pygit2.Tree | None, changes: Iterable[Change]) -> pygit2.Index:
    """What `changes`, in their order, make of `tree`; writes nothing."""
    index = pygit2.Index()
    if tree is not None:
        index.read_tree(tree)
    for change in changes:
        if change.do != "add":
            _remove(index, change)
            continue
        try:
            blob = pygit2.hash(change.content)
            index.add(pygit2.IndexEntry(change.path, blob, pygit2.enums.FileMode.BLOB))
        except (ValueError, pygit2.GitError):
            raise HubError(422, f"Invalid path {change.path!r}") from None
    return index


def write_tree(
    git: pygit2.Repository, index: pygit2.Index, changes: Iterable[Change]
) -> pygit2.Oid:
    """Write the tree that `edited` made, and the files that the changes add to it."""
    for change in changes:
        if change.do == "add":
            git.create_blob(change.content)
    return index.write_tree(git)


def _remove(index: pygit2.Index, change: Change) -> None:
    if change.do == "delete" and change.path in index:
        index.remove(change.path)
        return
    prefix = change.path + "/" if change.path else ""
    inside = [entry.path for entry in index if entry.path.startswith(prefix)]
    if not inside:
        raise HubError(404, f'Nothing with the name "{change.path}" exists', "EntryNotFound")
    for path in inside:
        index.remove(path)


def check_text(message: str) -> str:
    """A commit's or a tag's message; git ends it at a NUL character."""
    if "\0" in message:
        raise HubError(400, "A message cannot have NUL characters in it")
    return message


def signature(name: str) -> pygit2.Signature:
    return pygit2.Signature(name, f"{name}@users.noreply.local")


def write_commit(
    git: pygit2.Repository,
    ref: str,
    author: str,
    message: str,
    tree: pygit2.Oid,
    parents: list[pygit2.Oid],
) -> pygit2.Oid:
    """Write a commit, then make `ref` point at it: readers see all of it or nothing."""
    who = signature(author)
    check_text(message)
    oid = git.create_commit(None, who, who, message, tree, parents)
    git.references.create(ref, oid, force=True)
    return oid


def last_commits(start: pygit2.Commit, git: pygit2.Repository, paths: Iterable[str]) -> dict:
    """The newest commit that changed each path, as {path: Commit}."""
    open_paths, found = set(paths), {}
    for commit in git.walk(start.id, pygit2.enums.SortMode.TOPOLOGICAL):
        before = commit.parents[0].tree if commit.parents else None
        for path in list(open_paths):
            now_, then = lookup(commit.tree, path), before and lookup(before, path)
            if (now_ and now_.id) != (then and then.id):
                found[path] = commit
                open_paths.discard(path)
        if not open_paths:
            break
    return found


def lfs_patterns(commit: pygit2.Commit) -> list[str]:
    lines = (read_text(commit.tree, ".gitattributes") or "").splitlines()
    return [line.split()[0] for line in lines if "filter=lfs" in line]


def matches(path: str, patterns: Iterable[str]) -> bool:
    name = path.rsplit("/", 1)[-1]
    return any(fnmatch.fnmatch(path if "/" in p else name, p) for p in patterns)


def ignored(path: str, gitignore: str) -> bool:
    """Whether a .gitignore's text excludes `path`; the last line that matches decides."""
    hit = False
    for line in map(str.strip, gitignore.splitlines()):
        if not line or line.startswith("#"):
            continue
        pattern = line.lstrip("!").strip("/")
        names = [path, *path.split("/")]
        if path.startswith(pattern + "/") or any(fnmatch.fnmatch(n, pattern) for n in names):
            hit = not line.startswith("!")
    return hit
