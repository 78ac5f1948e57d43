"""Labelled pairs as events of a project, with who judged and in which split. Pure: no I/O."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from palate.collect.choices import Choice
from palate.collect.importing import Imported
from palate.collect.pairs import Row, Rows
from palate.collect.rows import BadRow, bad_rows
from palate.core import splits
from palate.core.schema import Candidate, Event, Kind, Model, Pair, Prompt, Split, digest

UNNAMED = "imported"  # annotator of rows that do not say who judged
# the splits that other data sets have, by the first word of their names, such as test_prefs
PUBLISHED: dict[str, Split] = {
    "test": "test", "validation": "test", "valid": "test", "val": "test", "dev": "test",
    "eval": "eval", "evaluation": "eval",
}  # fmt: skip
KINDS: dict[Choice, Kind] = {
    "left": "label", "right": "label", "tie": "tie", "neither": "both_bad",
}  # fmt: skip


class _Prompts:
    """The prompts of rows, each with the splits that the source names for it."""

    def __init__(self) -> None:
        self._by_text: dict[str, Prompt] = {}  # of rows whose prompt is one text
        self._prompts: dict[str, Prompt] = {}
        self._splits: dict[str, set[Split]] = {}

    def of(self, row: Row) -> Prompt:
        text = row.messages if isinstance(row.messages, str) else None
        prompt = self._by_text.get(text) if text is not None else None
        if prompt is None:
            prompt = Prompt.of(row.messages)
            prompt = self._prompts.setdefault(prompt.id, prompt)
            if text is not None:
                self._by_text[text] = prompt
        word = re.split(r"[_\-. ]", (row.split or "").casefold())[0]
        self._splits.setdefault(prompt.id, set()).add(PUBLISHED.get(word, "train"))
        return prompt

    def published(self, notes: Counter[str]) -> list[Prompt]:
        """Return each prompt once, in the split that the source gives it.

        A prompt that is in several, whatever its case and spaces, is held out.
        """
        splits_of: dict[str, set[Split]] = {}
        keys = {p.id: splits.normal(p.text) for p in self._prompts.values()}
        for id_, named in self._splits.items():
            splits_of.setdefault(keys[id_], set()).update(named)
        if several := sum(len(named) > 1 for named in splits_of.values()):
            notes["prompts are in several splits: held out from training"] = several

        def split(p: Prompt) -> Split:
            named = splits_of[keys[p.id]]
            return "eval" if "eval" in named else "test" if "test" in named else "train"

        return [replace(p, split=split(p)) for p in self._prompts.values()]


def labels_of(
    data: Rows,
    models: Sequence[Model | None] = (None, None),
    *,
    skip: bool = False,
) -> Imported:
    """Return prompts, candidates and label events of labelled pairs.

    Raises BadInput naming row and field for each row that cannot be used or has the same text on
    both sides; with `skip`, those are left out and counted. Of several judgements of a pair by one
    person, the last one counts. Ids depend on the content alone. `models` wrote the first and the
    second text, if known; where a column says who wrote it, that replaces their names. Prompts that
    the source keeps for testing stay in that split.
    """
    good, bad = _usable(data)
    if bad and not skip:
        raise bad_rows(data.source, bad)
    refused = Counter(row.kind for row in bad)
    imported = Imported(
        [], [], [], left_out=Counter(data.set_aside), refused=refused, notes=Counter(data.remarks)
    )
    standing: dict[tuple[str, str], Event] = {}
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    prompts, candidates = _Prompts(), {}
    for row in good:
        prompt = prompts.of(row)
        a, b, event = _judgement(row, prompt, data, models, now)
        candidates.setdefault(a.id, a)
        candidates.setdefault(b.id, b)
        if other := standing.pop((event.annotator, event.pair_id), None):
            same = (other.kind, other.chosen) == (event.kind, event.chosen)
            reason = "the same" if same else "another one"
            imported.left_out[
                f"of a pair on which a later row has {reason} by the same person"
            ] += 1
        standing[event.annotator, event.pair_id] = event
    imported.events = list(standing.values())
    imported.prompts = prompts.published(imported.notes)
    imported.candidates = list(candidates.values())
    return imported


def _usable(data: Rows) -> tuple[list[Row], list[BadRow]]:
    """Return the rows of which somebody can prefer a side, and the others."""
    good, bad = [], list(data.bad)
    for row in data.rows:
        if row.left == row.right:
            problem = f"both sides have the same text ({row.left[:60]!r}), so nobody can prefer one"
            bad.append(BadRow(row.number, data.texts, problem, "with the same text on both sides"))
        else:
            good.append(row)
    return good, bad


def _judgement(
    row: Row, prompt: Prompt, data: Rows, models: Sequence[Model | None], now: str
) -> tuple[Candidate, Candidate, Event]:
    left, right, choice = (row.left, row.right, row.choice) if data.sided else _placed(row)
    writers = [(m.repo, m.revision) if m else (None, None) for m in _writers(row, models)]
    a = Candidate.of(prompt.id, left, model=writers[0][0], revision=writers[0][1])
    b = Candidate.of(prompt.id, right, model=writers[1][0], revision=writers[1][1])
    person = UNNAMED
    if data.annotator and row.annotator:
        person = pseudonym(row.annotator)
    pair, chosen = Pair.of(a, b).id, {"left": a.id, "right": b.id}.get(choice)
    kind = KINDS[choice]
    event = Event(
        event_id=digest("import", pair, kind, chosen, person, 0), kind=kind,
        pair_id=pair, prompt_id=prompt.id, left=a.id, right=b.id,
        chosen=chosen, strength=None, annotator=person, milliseconds=None, time=now, round=1,
        via="import",
    )  # fmt: skip
    return a, b, event


def pseudonym(name: str) -> str:
    """Return the pseudonym of a person; one of palate's own stays, as in a file of an export."""
    if name == UNNAMED or re.fullmatch(r"p-[0-9a-f]{10,}", name):
        return name
    return f"p-{digest('import', name)[:10]}"


def _writers(row: Row, models: Sequence[Model | None]) -> Sequence[Model | None]:
    """Return the models that wrote the row's texts; models named in the row have no commit."""
    if row.models is None:
        return models
    return [
        replace(m, repo=repo) if m else None for m, repo in zip(models, row.models, strict=True)
    ]


def _placed(row: Row) -> tuple[str, str, Choice]:
    """Return chosen and rejected with the side that a hash gives the chosen one.

    Files of `chosen` and `rejected` do not say which side it was shown on.
    """
    if int(digest(row.messages, *sorted((row.left, row.right))), 16) & 1:
        return row.left, row.right, "left"
    return row.right, row.left, "right"
