"""Files for other tools: TRL's two formats as Parquet, Argilla's records, a CSV of judgements.

`palate import` reads each of them back to the same preferences.
"""

import csv
import io
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from palate.core.errors import UsageError
from palate.core.ledger import standing_judgements
from palate.core.paths import replace
from palate.core.project import Project
from palate.core.rounds import by_aspect
from palate.core.schema import Event, Pair, Prompt
from palate.train.rows.unpaired import of_project

COLUMNS = (
    "prompt", "answer_a", "answer_b", "choice", "strength", "annotator", "split", "time", "comment",
)  # fmt: skip
ARGILLA_USERS = uuid.UUID("6f0f3c1e-6b0e-5f0b-9a37-9d3a3f6f0c11")  # namespace of users' ids


def write(project: Project, folder: Path) -> tuple[dict[str, int], Mapping[str, int]]:
    """Write the files, in place of those of before.

    Return the number of rows by file name, and why single answers were left out (reason → number).
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--to {folder} is a file. Name a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    splits = {p.id: p.split for p in project.prompts}
    parts = by_aspect(project)
    judged = [row for part in parts for row in _judgements(part)]
    sizes = {"judgements.csv": _csv(folder / "judgements.csv", judged, project.aspect)}
    sizes["argilla.json"] = _argilla(folder / "argilla.json", judged)
    unpaired = of_project(project)  # in its first aspect
    for split in ("train", "test"):
        for name, rows in (
            ("preferences", [(part, row) for part in parts for row in part.preferences]),
            ("unpaired", [(project, row) for row in unpaired.rows]),
        ):
            own = [
                {k: v for k, v in asdict(row).items() if k != "aspect"}
                | {"split": split, **_aspect(part)}
                for part, row in rows
                if splits.get(row.prompt_id) == split
            ]
            if own:
                file = f"{name}-{split}.parquet"
                sizes[file] = _parquet(folder / file, own)
    return sizes, unpaired.left_out


def _aspect(project: Project) -> dict[str, object]:
    return {"aspect": project.aspect} if project.aspect else {}


def _judgements(project: Project) -> Iterator[dict[str, object]]:
    """Yield a row for each standing judgement, and two for a better answer that somebody wrote."""
    prompts = {p.id: p for p in project.prompts}
    texts = {c.id: c.text for c in project.candidates}
    texts |= {c.id: c.text for e in project.labels if (c := e.written())}
    for e in standing_judgements(project.labels):
        prompt = prompts.get(e.prompt_id)
        if prompt is None or e.kind == "skip" or not {e.left, e.right} <= set(texts):
            continue
        for one, other, choice in _sides(e):
            yield {
                "pair": Pair.between(prompt.id, one, other).id, "prompt": _text(prompt),
                "answer_a": texts[one], "answer_b": texts[other], "choice": choice,
                "strength": e.strength, "annotator": e.annotator, "split": prompt.split,
                "time": e.time, "comment": e.comment,
            } | _aspect(project)  # fmt: skip


def _sides(e: Event) -> list[tuple[str, str, str]]:
    """Return the pairs that the event judges, each with which one is better."""
    if e.kind == "rewrite" and e.chosen:
        return [(e.chosen, other, "answer_a") for other in (e.left, e.right)]
    if e.kind == "label":
        return [(e.left, e.right, "answer_a" if e.chosen == e.left else "answer_b")]
    return [(e.left, e.right, e.kind)]


def _text(prompt: Prompt) -> str:
    """Return the prompt as one text: its own, or the messages as JSON if it has several."""
    if len(prompt.prompt) == 1 and prompt.prompt[0]["role"] == "user":
        return prompt.prompt[0]["content"]
    return json.dumps(prompt.prompt, ensure_ascii=False)


def _csv(path: Path, rows: Iterable[dict[str, object]], aspect: str | None) -> int:
    text = io.StringIO(newline="")
    columns = [*COLUMNS, "aspect"] if aspect else COLUMNS
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    rows = list(rows)
    writer.writerows(rows)
    replace(path, text.getvalue())
    return len(rows)


def _argilla(path: Path, rows: Iterable[dict[str, object]]) -> int:
    """Write a record for each pair, with the responses of all people."""
    records: dict[object, dict] = {}
    for row in rows:
        names = ("prompt", "answer_a", "answer_b")
        record = records.setdefault(
            row["pair"],
            {
                "id": row["pair"], "fields": {name: row[name] for name in names},
                "metadata": {"split": row["split"]}, "status": "completed",
                "responses": {},
            },
        )  # fmt: skip
        choice = row["choice"]
        if record["fields"]["answer_a"] != row["answer_a"]:  # somebody else had the sides exchanged
            choice = {"answer_a": "answer_b", "answer_b": "answer_a"}.get(str(choice), choice)
        user = str(uuid.uuid5(ARGILLA_USERS, str(row["annotator"])))
        answer = {"value": choice, "user_id": user, "status": "submitted"}
        record["responses"].setdefault(row.get("aspect") or "choice", []).append(answer)
    replace(path, json.dumps(list(records.values()), ensure_ascii=False, indent=1) + "\n")
    return len(records)


def _parquet(path: Path, rows: list[dict]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)
    return len(rows)
