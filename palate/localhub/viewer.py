"""The first rows of a data set, by config and split, as its card or its file names say."""

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
from palate.localhub.repos import Repo
from palate.localhub.templates import repo_page

SHOWN_ROWS = 100
MAX_FILES = 20  # that are opened for a page
MAX_BYTES = 64_000_000  # of a file that is opened
MAX_UNPACKED = 256_000_000  # bytes of Parquet's first rows
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
    records, problem = _first(call, {path: blobs[path] for path in files[:MAX_FILES]})
    return _page(call, repo, configs, (config, split), records, problem)


def _page(
    call: Call,
    repo: Repo,
    configs: dict[str, Splits],
    chosen: tuple[str, str],
    records: list[dict],
    problem: str,
) -> Response:
    columns = list(dict.fromkeys(str(key) for record in records for key in record))
    rows = [[render.cell(record.get(column)) for column in columns] for record in records]
    values: dict[str, object] = {"configs": configs, "config": chosen[0], "split": chosen[1]}
    values |= {"columns": columns, "rows": rows, "problem": problem, "most": SHOWN_ROWS}
    return repo_page(call.user, "viewer.html", repo, "main", "data", **values)


def configs_of(card: dict | None, paths: list[str]) -> dict[str, Splits]:
    """Return the files by config and split: what the card says, or the files' names."""
    data = [p for p in paths if p.rsplit(".", 1)[-1].lower() in ENDINGS]
    configs: dict[str, Splits] = {}
    given = (card or {}).get("configs")
    for entry in given if isinstance(given, list) else []:
        if isinstance(entry, dict) and (splits := _splits(entry.get("data_files"), data)):
            configs[str(entry.get("config_name") or "default")] = splits
    if configs or not data:
        return configs
    by_name: Splits = {}
    for path in data:
        by_name.setdefault(_split_of(path), []).append(path)
    return {"default": by_name}


def _splits(given: object, paths: list[str]) -> Splits:
    splits: Splits = {}
    for entry in given if isinstance(given, list) else [given]:
        named = entry if isinstance(entry, dict) else {"path": entry}
        for pattern in metadata.as_list(named.get("path")):
            split = str(named.get("split") or "train")
            matches = [p for p in paths if fnmatchcase(p, posixpath.normpath(str(pattern)))]
            splits.setdefault(split, []).extend(matches)
    return {split: files for split, files in splits.items() if files}


def _split_of(path: str) -> str:
    """Return the split that a file's name says, as the Hub's own viewer does."""
    for split, words in {"test": "test|eval", "validation": "valid|validation|dev"}.items():
        if re.search(rf"(?i)(?<![a-z])({words})(?![a-z])", path):
            return split
    return "train"


def _first(call: Call, files: dict[str, pygit2.Blob]) -> tuple[list[dict], str]:
    """Return the first rows of the files in their order, and what kept others from being read."""
    rows: list[dict] = []
    for path, blob in sorted(files.items()):
        link = pointer(blob)
        if (link.size if link else blob.size) > MAX_BYTES:
            return rows, f"{path} is too large to show here."
        try:
            rows += islice(_records(path, content(call, blob)), SHOWN_ROWS - len(rows))
        except Exception as error:  # whatever a file that somebody uploaded makes its reader raise
            return rows, f"{path} cannot be read: {str(error)[:200]}"
        if len(rows) >= SHOWN_ROWS:
            break
    return rows, ""


def _records(path: str, data: bytes) -> Iterator[dict]:
    ending = path.rsplit(".", 1)[-1].lower()
    if ending == "parquet":
        import pyarrow.parquet as pq

        file = pq.ParquetFile(io.BytesIO(data))
        if file.num_row_groups and file.metadata.row_group(0).total_byte_size > MAX_UNPACKED:
            raise ValueError("its rows are too large to show here")
        for batch in file.iter_batches(batch_size=SHOWN_ROWS):
            yield from batch.to_pylist()
    elif ending in ("jsonl", "ndjson"):
        for line in data.decode("utf-8", "replace").split("\n"):
            if line.strip():
                value = json.loads(line)
                yield value if isinstance(value, dict) else {"value": value}
    else:
        table = render.rows(path, data.decode("utf-8", "replace"))
        columns, rows = table or ([], [])
        yield from (dict(zip(columns, row, strict=True)) for row in rows)
