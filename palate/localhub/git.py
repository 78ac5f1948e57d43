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

MAX_DEPTH = 100  # of folders, which are walked recursively
POINTER = re.compile(
    rb"version https://git-lfs.github.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
MAX_POINTER = 400  # bytes
LFS_PATTERNS = """
*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack
*.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors
saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*
"""
GITATTRIBUTES = "".join(f"{p} filter=lfs diff=lfs merge=lfs -text\n" for p in LFS_PATTERNS.split())


@dataclass(frozen=True)
class Change:
    """One step of a commit; `content` is the new content of an added file.

    `large` is the id of the LFS object if the content is a pointer.
    """

    do: Literal["add", "delete", "delete folder"]
    path: str
    content: bytes = b""
    large: str | None = None


@dataclass(frozen=True)
class Pointer:
    """The text that git stores for a file whose content is in LFS."""

    oid: str
    size: int

    def text(self) -> bytes:
        head = "version https://git-lfs.github.com/spec/v1"
        return f"{head}\noid sha256:{self.oid}\nsize {self.size}\n".encode()


def pointer(blob: pygit2.Blob) -> Pointer | None:
    return parse_pointer(blob.data) if blob.size < MAX_POINTER else None


def parse_pointer(content: bytes) -> Pointer | None:
    match = POINTER.match(content) if len(content) < MAX_POINTER else None
    return Pointer(match[1].decode(), int(match[2])) if match else None


def referenced(git: pygit2.Repository, candidates: set[str]) -> set[str]:
    """Return which LFS objects among `candidates` a commit that any ref reaches points to.

    It reads the newest commits first, each folder and file once, and stops as soon as it can.
    """
    oids: set[str] = set()
    seen: set[pygit2.Oid] = set()
    heads = [git.references[ref].peel(pygit2.Commit).id for ref in git.references]
    if not heads or not candidates:
        return oids
    walker = git.walk(heads[0], pygit2.enums.SortMode.TIME)
    for head in heads[1:]:
        walker.push(head)
    for commit in walker:
        _collect_pointers(commit.tree, seen, oids)
        if oids >= candidates:
            break
    return oids & candidates


def _collect_pointers(tree: pygit2.Tree, seen: set[pygit2.Oid], oids: set[str]) -> None:
    """Add the LFS objects that `tree` points to, skipping entries in `seen`."""
    for entry in tree:
        if entry.id in seen:
            continue
        seen.add(entry.id)
        if isinstance(entry, pygit2.Tree):
            _collect_pointers(entry, seen, oids)
        elif isinstance(entry, pygit2.Blob) and (link := pointer(entry)):
            oids.add(link.oid)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def find_ref(git: pygit2.Repository, name: str) -> pygit2.Reference | None:
    try:
        return git.references.get(name)
    except (ValueError, pygit2.GitError):  # not a valid name
        return None


def find_commit(git: pygit2.Repository, revision: str) -> pygit2.Commit | None:
    """Return the commit that a branch, a tag, a full ref or a (short) id names."""
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
    """Return the commit of a revision; `HubError` 404 if there is none."""
    commit = find_commit(git, revision)
    if commit is None:
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def lookup(tree: pygit2.Tree, path: str) -> pygit2.Blob | pygit2.Tree | None:
    """Return the file or folder at `path`, the tree itself for ''."""
    entry: pygit2.Object = tree
    if "\0" in path:
        return None
    for part in path.split("/") if path else []:
        if not isinstance(entry, pygit2.Tree) or not part or part not in entry:
            return None
        entry = entry[part]
    return entry if isinstance(entry, pygit2.Blob | pygit2.Tree) else None


def walk(
    tree: pygit2.Tree, base: str = "", recursive: bool = True
) -> Iterator[tuple[pygit2.Blob | pygit2.Tree, str]]:
    """Yield every entry under `tree` with its path, folders before their content."""
    for entry in tree:
        path = base + (entry.name or "")
        if isinstance(entry, pygit2.Blob | pygit2.Tree):
            yield entry, path
        if recursive and isinstance(entry, pygit2.Tree):
            yield from walk(entry, path + "/")


def read_text(tree: pygit2.Tree, path: str) -> str | None:
    """Return a file's text, undecodable bytes replaced, or None if there is no such file."""
    blob = lookup(tree, path)
    return blob.data.decode("utf-8", "replace") if isinstance(blob, pygit2.Blob) else None


def check_path(path: str) -> str:
    """Return `path`; `HubError` 422 if it could leave the repo or not be checked out."""
    parts = path.split("/")
    bad = any(p in ("", ".", "..") or p.lower() == ".git" or len(p) > 255 for p in parts)
    bad = bad or len(parts) > MAX_DEPTH
    if bad or re.search(r"[\x00-\x1f\x7f\\]", path) or len(path) > 2000:
        raise HubError(422, f"Invalid path {path[:200]!r}: expected folder/file, without '..'")
    return path


def edited(tree: pygit2.Tree | None, changes: Iterable[Change]) -> pygit2.Index:
    """Apply `changes` to `tree` in order, in memory only."""
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
    """Write the tree that `edited` returned, and the files that the changes add to it."""
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
    """Return the message of a commit or tag; git would end it at a NUL character."""
    if "\0" in message:
        raise HubError(400, "A message cannot contain NUL characters")
    return message


def write_commit(
    git: pygit2.Repository,
    ref: str,
    author: str,
    message: str,
    tree: pygit2.Oid,
    parents: list[pygit2.Oid],
) -> pygit2.Oid:
    """Write a commit, then point `ref` at it: readers see all of it or nothing."""
    who = pygit2.Signature(author, f"{author}@users.noreply.local")
    check_text(message)
    oid = git.create_commit(None, who, who, message, tree, parents)
    git.references.create(ref, oid, force=True)
    return oid


def last_commits(
    start: pygit2.Commit, git: pygit2.Repository, paths: Iterable[str]
) -> dict[str, pygit2.Commit]:
    """Return the newest commit that changed each path."""
    open_paths, newest = set(paths), {}
    for commit in git.walk(start.id, pygit2.enums.SortMode.TOPOLOGICAL):
        parent_tree = commit.parents[0].tree if commit.parents else None
        for path in list(open_paths):
            entry, previous = lookup(commit.tree, path), parent_tree and lookup(parent_tree, path)
            if (entry and entry.id) != (previous and previous.id):
                newest[path] = commit
                open_paths.discard(path)
        if not open_paths:
            break
    return newest


def lfs_patterns(commit: pygit2.Commit) -> list[str]:
    lines = (read_text(commit.tree, ".gitattributes") or "").splitlines()
    return [line.split()[0] for line in lines if "filter=lfs" in line]


def matches(path: str, patterns: Iterable[str]) -> bool:
    name = path.rsplit("/", 1)[-1]
    return any(fnmatch.fnmatch(path if "/" in p else name, p) for p in patterns)


def ignored(path: str, gitignore: str) -> bool:
    """Tell whether a .gitignore excludes `path`; the last matching line decides."""
    excluded = False
    for line in map(str.strip, gitignore.splitlines()):
        if not line or line.startswith("#"):
            continue
        pattern = line.lstrip("!").strip("/")
        names = [path, *path.split("/")]
        if path.startswith(pattern + "/") or any(fnmatch.fnmatch(n, pattern) for n in names):
            excluded = not line.startswith("!")
    return excluded
