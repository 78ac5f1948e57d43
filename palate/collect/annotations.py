"""Exports of annotation tools, Label Studio and Argilla: what several people said of a pair."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from palate.collect.cells import BadCell
from palate.collect.columns import SIDES, Columns
from palate.collect.rows import Record, Table
from palate.collect.shapes import NEITHER, Shaped, Unit, build, dict_of, has, list_of

PROMPTS = ("prompt", "instruction", "question", "query", "input", "context", "text")
QUESTIONS = ("choice", "preference", "preferred", "label", "ranking", "comparison", "winner")
MORE_SIDES = (("response-1", "response-2"), ("chosen", "rejected"))


def label_studio(table: Table, columns: Columns) -> Shaped | None:
    """Read an export of Label Studio: tasks with pairwise annotations of several people."""
    if not has(table, "data", dict) or "annotations" not in table.columns:
        return None
    names = {"prompt": columns.prompt, "a": columns.a, "b": columns.b}
    new, aside = build(table, _tasks(table, names))
    used = {"data": "prompt and texts", "annotations": "choice and who chose"}
    own = Columns("prompt", "first", "second", "choice", "annotator", given=columns.given)
    if not new.rows and new.bad:
        new = replace(new, columns=("prompt", "first", "second", "choice", "annotator"))
    inner = {f"data.{key}" for row in table.rows for key in dict_of(row.get("data"))}
    kept = {f"data.{v}" for row in new.rows for v in str(row.get("names")).split("\0")}
    unused = (*table.columns, *sorted(inner - kept))
    return Shaped(new, own, "Label Studio", used, unused, aside)


def _tasks(table: Table, names: Mapping[str, str | None]) -> Iterator[tuple[int, Unit]]:
    for row, number in zip(table.rows, table.numbers, strict=True):
        annotations = list_of(row.get("annotations"))
        if not annotations:
            yield number, NEITHER
        for annotation in map(dict_of, annotations):
            if annotation.get("was_cancelled"):
                yield number, "which a person skipped"
                continue
            try:
                yield number, _annotation(dict_of(row.get("data")), annotation, names)
            except BadCell as error:
                yield number, error


def _annotation(
    data: Mapping[str, object], annotation: Mapping[str, object], names: Mapping[str, str | None]
) -> Record:
    results = [dict_of(r) for r in list_of(annotation.get("result"))]
    pairwise = [r for r in results if r.get("type") == "pairwise"]
    if len(pairwise) != 1:
        problem = f"expected one pairwise result, found {len(pairwise)}"
        raise BadCell("annotations.result", problem, "choice")
    result = pairwise[0]
    sides = [s.strip() for s in str(result.get("to_name")).split(",")]
    if names["a"] and names["b"]:
        sides = [names["a"], names["b"]]
    if len(sides) != 2 or not set(sides) <= set(data):
        problem = f"expected two fields of data, found {sides}. Name them with --a and --b"
        raise BadCell("to_name", problem, "text")
    rest = [key for key in data if key not in sides]
    usual = [key for key in PROMPTS if key in rest]
    prompt = names["prompt"] or next(iter(usual or (rest if len(rest) == 1 else [])), None)
    if prompt is None:
        problem = f"expected one field with the prompt, found {', '.join(rest) or 'none'}"
        raise BadCell("data", f"{problem}. Name it with --prompt", "prompt")
    who = annotation.get("completed_by")
    value = dict_of(result.get("value")).get("selected")
    return {
        "prompt": data.get(prompt), "first": data[sides[0]], "second": data[sides[1]],
        "choice": value, "annotator": dict_of(who).get("email") or dict_of(who).get("id") or who,
        "names": "\0".join([prompt, *sides]),
    }  # fmt: skip


def argilla(table: Table, columns: Columns) -> Shaped | None:
    """Read records of Argilla 2, each with the responses of several people."""
    if not has(table, "fields", dict) or "responses" not in table.columns:
        return None
    records = [(dict_of(row.get("fields")), dict_of(row.get("responses"))) for row in table.rows]
    used = {"fields": "prompt and texts", "responses": "choice and who chose"}
    return _responses(table, columns, records, used)


def argilla_flat(table: Table, columns: Columns) -> Shaped | None:
    """Read the same as `to_datasets` writes it: a column for each field and kind of response."""
    stems = [c.removesuffix(".responses") for c in table.columns if c.endswith(".responses")]
    if not stems:
        return None
    fields = [c for c in table.columns if "." not in c and c not in ("id", "status", "_server_id")]
    records = []
    for row in table.rows:
        responses = {}
        for stem in stems:
            keys = ("responses", "responses.users", "responses.status")
            values, users, states = (list_of(row.get(f"{stem}.{key}")) for key in keys)
            responses[stem] = [
                {"value": v, "user_id": u, "status": s}
                for v, u, s in zip(
                    values, users or [None] * len(values), states or ["submitted"] * len(values),
                    strict=False,
                )
            ]  # fmt: skip
        records.append(({f: row.get(f) for f in fields}, responses))
    used = {
        c: "choice and who chose" for s in stems for c in table.columns if c.startswith(f"{s}.resp")
    }
    return _responses(table, columns, records, used | dict.fromkeys(fields, "prompt and texts"))


def _responses(
    table: Table,
    columns: Columns,
    records: Sequence[tuple[Mapping[str, object], Mapping[str, object]]],
    used: dict[str, str],
) -> Shaped:
    """Return a row for each submitted response to the question that asks for the better text."""
    fields = list(dict.fromkeys(key for given, _ in records for key in given))
    usual = (pair for pair in (*SIDES, *MORE_SIDES) if set(pair) <= set(fields))
    sides = (columns.a, columns.b) if columns.a and columns.b else next(usual, (None, None))
    questions = list(dict.fromkeys(key for _, given in records for key in given))
    question = columns.choice or next((q for q in QUESTIONS if q in questions), None)
    question = question or (questions[0] if len(questions) == 1 else None)
    prompt = columns.prompt or next((p for p in PROMPTS if p in fields), None)

    def units() -> Iterator[tuple[int, Unit]]:
        read = zip(records, table.rows, table.numbers, strict=True)
        for (given, responses), row, number in read:
            answers = [dict_of(r) for r in list_of(responses.get(question or ""))]
            split = dict_of(row.get("metadata")).get("split")
            if not answers:
                yield number, NEITHER
            for answer in answers:
                if answer.get("status") not in (None, "submitted"):
                    yield number, f"which a person left as {answer.get('status')}"
                    continue
                texts = {key: given.get(key) for key in (prompt, *sides) if key}
                value = _ranked(answer.get("value"), sides)
                more = {"choice of": value, "who": answer.get("user_id"), "split": split}
                yield number, texts | more

    new, aside = build(table, units())
    new = replace(new, columns=tuple(dict.fromkeys([*fields, *new.columns])))
    own = Columns(
        prompt, sides[0], sides[1], "choice of" if sides[0] else None,
        "who" if "who" in new.columns else None, given=columns.given,
    )  # fmt: skip
    if sides[0] is None or question is None:
        new = replace(new, columns=(*fields, *questions))
        own = replace(columns, prompt=prompt)
    return Shaped(new, own, "Argilla", used, table.columns, aside)


def _ranked(value: object, sides: tuple[str | None, str | None]) -> object:
    """Return the choice that a ranking makes; another value as it is."""
    ranks: dict[str, object] = {}
    for place, item in enumerate(list_of(value)):
        entry = dict_of(item)
        ranks[str(entry.get("value", item))] = entry.get("rank", place)
    first, second = (ranks.get(str(side)) for side in sides)
    if not isinstance(first, (int, float)) or not isinstance(second, (int, float)):
        return value
    return "tie" if first == second else sides[0] if first < second else sides[1]
