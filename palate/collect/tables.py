"""Rows of a local file or of a Hub dataset."""

import re
from dataclasses import replace
from pathlib import Path

from palate.collect import files
from palate.collect.rows import Table, table_of
from palate.core import hub
from palate.core.errors import BadInput, UsageError

_HUB_ID = re.compile(r"([\w.\-]+/[\w.\-]+)(?::([\w.\-]+))?(?:/([\w.\-]+))?")


def read(source: str, encoding: str | None = None) -> Table:
    """Read a local file, or the Hub dataset `owner/name[:config[/split]]`.

    Raises BadInput for an empty or malformed file, UsageError if there is no such source.
    """
    path = Path(source)
    if path.is_dir():
        raise UsageError(f"{source} is a folder. Name one file in it.")
    match = _HUB_ID.fullmatch(source)
    if path.is_file():
        table = files.read(path, encoding)
    elif match and (match[2] or not match[3]) and _may_be_a_repo(source, match[1]):
        table = _read_hub(source, match[1], match[2], match[3])
    else:
        raise UsageError(
            f"There is no file {source}. Give a .txt, .csv, .tsv, .jsonl, .json, .parquet or .xlsx"
            " file, with .gz or without, or a Hub dataset such as owner/name, owner/name:config or"
            " owner/name:config/split."
        )
    if not table.rows and not table.bad:
        raise BadInput(source, "has no rows; expected at least one")
    return table


def _may_be_a_repo(source: str, repo: str) -> bool:
    """Tell whether the words name a repo rather than a file that is missing."""
    known = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx", ".gz")
    return not source.lower().endswith(known) or hub.exists(repo, "dataset")


def _read_hub(source: str, repo: str, config: str | None, split: str | None) -> Table:
    from datasets import (
        get_dataset_config_names,
        get_dataset_default_config_name,
        load_dataset,
    )
    from datasets.exceptions import DatasetNotFoundError

    with hub.readable_errors(repo):
        try:
            names = get_dataset_config_names(repo)
            config = config or get_dataset_default_config_name(repo)
            if config is None:
                raise UsageError(
                    f"{repo} has several configs: {', '.join(names)}. Name one, such as:"
                    f" {repo}:{names[0]}"
                )
            if config not in names:
                known = ", ".join(names)
                raise UsageError(f"{repo} has no config {config!r}; found: {known}")
            splits = load_dataset(repo, config)
        except DatasetNotFoundError:
            raise UsageError(
                f"There is no dataset {repo} on {hub.endpoint()}, nor a file of that name,"
                " or your token may not see it."
            ) from None
    if split is not None:
        if split not in splits:
            known = ", ".join(map(str, splits))
            raise UsageError(f"{source} has no split {split!r}; found: {known}")
        splits = {split: splits[split]}
    table = table_of(source, [dict(row) for rows in splits.values() for row in rows])
    names = [str(name) for name, rows in splits.items() for _ in range(len(rows))]
    return replace(table, splits=names)
