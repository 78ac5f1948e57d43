"""A trained model on its way to the Hub: weights, record and card in one commit, and a tag."""

import json
from pathlib import Path
from typing import Any

from palate import cards, hub


def save_run(folder: Path, run: dict[str, Any]) -> None:
    """Write `run.json`; done last, so that its existence means that training is over."""
    (folder / "run.json").write_text(_text(run), "utf-8")


def read_run(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text("utf-8"))


def push(folder: Path, repo: str, *, public: bool) -> tuple[str, dict[str, Any]]:
    """Push a finished model and tag it `round-N`; return the commit and the record.

    What an earlier round left in the repo goes, its verdict too: it is not about these weights.
    """
    run: dict[str, Any] = {**read_run(folder), "model": repo}
    files: dict[str, Any] = {f.name: f for f in folder.iterdir() if f.is_file()}
    files |= {"run.json": _text(run), **cards.model_files(run, None)}
    hub.create(repo, "model", private=not public)
    there = hub.describe(repo, "model")[1]
    stale = [f for f in there if f not in files and f != ".gitattributes"]
    message = f"Round {run['round']}: {run['job']} on {run['data']['train']} rows"
    sha = hub.commit(repo, "model", files, message, delete=stale)
    hub.tag(repo, "model", f"round-{run['round']}", sha)
    return sha, run


def _text(run: dict[str, Any]) -> str:
    return json.dumps(run, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
