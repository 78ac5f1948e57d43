"""The first rows of a data set, by config and split, as its card or its file names say."""

import csv
import io
import json
import posixpath
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice

import pygit2
from starlette.responses import Response

from palate.localhub import metadata, render
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.files import content
from palate.localhub.git import commit_at, pointer, read_text, walk
from palate.localhub.lfs import check_gate
from palate.localhub.templates import repo_page

SHOWN_ROWS = 100
MAX_FILES = 20  # that are opened for a page
MAX_BYTES = 64_000_000  # of a file that is opened
MAX_READ = 8_000_000  # bytes of a text file, from its beginning
MAX_UNPACKED = 256_000_000  # bytes of Parquet's first rows
MAX_PATTERNS = 100  # of a card, each of so many characters, for so many files
MAX_PATTERN = 300
MAX_PATHS = 10_000
ENDINGS = ("jsonl", "ndjson", "csv", "tsv", "parquet")
Splits = dict[str, list[str]]  # files by split


@router.route("GET", "/{kind}/{ns}/{name}/viewer", "/{kind}/{ns}/{name}/viewer/{config}/{split}")
def viewer(call: Call) -> Response:
    repo = call.repo()
    if repo.kind != "dataset":
        raise HubError(404, f"{repo.full_name} is no dataset")
    check_gate(call, repo)
    tree = commit_at(repo.git(), "main").tree
    blobs = {path: entry for entry, path in walk(tree) if isinstance(entry, pygit2.Blob)}
    configs = configs_of(metadata.card_data(read_text(tree, "README.md")), list(blobs))
    config = call.params.get("config") or next(iter(configs), "")
    split = call.params.get("split") or next(iter(configs.get(config, {})), "")
    if configs and split not in configs.get(config, {}):
        raise HubError(404, f"{repo.full_name} has no split {split!r} of {config!r}")
    files = configs[config][split] if configs else []
    problems: list[str] = []
    records = _first(call, {path: blobs[path] for path in files[:MAX_FILES]}, problems)
    values: dict[str, object] = {"configs": configs, "config": config, "split": split}
    values |= render.table(islice(records, SHOWN_ROWS))
    values |= {"problem": " ".join(problems), "most": SHOWN_ROWS}
    return repo_page(call.user, "viewer.html", repo, "main", "data", **values)


def configs_of(card: dict | None, paths: list[str]) -> dict[str, Splits]:
    """Return the files by config and split: what the card says, or the files' names."""
    data = [p for p in paths if p.rsplit(".", 1)[-1].lower() in ENDINGS][:MAX_PATHS]
    configs: dict[str, Splits] = {}
    given = (card or {}).get("configs")
    left = [MAX_PATTERNS]
    for entry in given[:MAX_PATTERNS] if isinstance(given, list) else []:
        if isinstance(entry, dict) and (splits := _splits(entry.get("data_files"), data, left)):
            configs[str(entry.get("config_name") or "default")] = splits
    if configs or not data:
        return configs
    by_name: Splits = {}
    for path in data:
        by_name.setdefault(_split_of(path), []).append(path)
    return {"default": by_name}


def _splits(given: object, paths: list[str], left: list[int]) -> Splits:
    """Return the files that patterns of a card name; `left`: how many may still be read."""
    splits: Splits = {}
    for entry in given if isinstance(given, list) else [given]:
        named = entry if isinstance(entry, dict) else {"path": entry}
        for pattern in metadata.as_list(named.get("path"))[: left[0]]:
            left[0] -= 1
            name = posixpath.normpath(pattern[:MAX_PATTERN])
            matches = [p for p in paths if fnmatchcase(p, name)]
            splits.setdefault(str(named.get("split") or "train"), []).extend(matches)
    return {split: files for split, files in splits.items() if files}


def _split_of(path: str) -> str:
    """Return the split that a file's name says, as the Hub's own viewer does."""
    for split, words in {"test": "test|eval", "validation": "valid|validation|dev"}.items():
        if re.search(rf"(?i)(?<![a-z])({words})(?![a-z])", path):
            return split
    return "train"


def _first(call: Call, files: dict[str, pygit2.Blob], problems: list[str]) -> Iterator[dict]:
    """Yield the rows of the files in their order; add to `problems` what ended that."""
    for path, blob in sorted(files.items()):
        link = pointer(blob)
        if (link.size if link else blob.size) > MAX_BYTES:
            problems.append(f"{path} is too large to show here.")
            return
        try:
            yield from _records(path, content(call, blob))
        except FileNotFoundError:  # whose message names the Hub's folder
            problems.append(f"{path} cannot be read: its content is gone.")
            return
        except Exception as error:  # whatever a file that somebody uploaded makes its reader raise
            problems.append(f"{path} cannot be read: {str(error)[:200]}")
            return


def _records(path: str, data: bytes) -> Iterator[dict]:
    ending = path.rsplit(".", 1)[-1].lower()
    if ending == "parquet":
        yield from _parquet(data)
        return
    if len(data) > MAX_READ:  # whole lines
        data = data[: data.rfind(b"\n", 0, MAX_READ) + 1]
        if not data:
            raise ValueError("its first row is too large to show here")
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8", "replace", newline="\n")
    if ending in ("csv", "tsv"):
        delimiter = "\t" if ending == "tsv" else ","
        yield from csv.DictReader(lines, restkey="more", delimiter=delimiter)
        return
    for line in lines:
        if line.strip():
            value = json.loads(line)
            yield value if isinstance(value, dict) else {"value": value}


def _parquet(data: bytes) -> Iterator[dict]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(data))
    if file.num_row_groups and file.metadata.row_group(0).total_byte_size > MAX_UNPACKED:
        raise ValueError("its rows are too large to show here")
    # row by row: a few bytes of a dictionary can be a large value in each of them
    for batch in file.iter_batches(batch_size=1):
        yield from batch.to_pylist()
