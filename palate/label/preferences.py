"""Preferences from events: the same ledger always gives the same rows.

Pure, except that `of_project`, `of_aspects` and `judged` read a project.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from palate.core import hub
from palate.core.ledger import AI_FOLDER, JUDGE, jsonl, standing_judgements
from palate.core.project import Project
from palate.core.rounds import by_aspect, unasked, weights_of
from palate.core.schema import (
    MARGINS,
    Candidate,
    Event,
    Message,
    Pair,
    Preference,
    Prompt,
    Purpose,
    digest,
)
from palate.core.typed import read_file
from palate.label.ranking import Order

Answers = dict[str, list[Message]]  # by candidate
NO_PREFERENCE = {"tie": "ties", "skip": "skipped", "both_bad": "both bad"}
NOT_ASKED = "in no aspect that the project asks"
CONTRADICTED = 0.05  # of the labels: the share that people are asked about again
LEFT_OUT: dict[Purpose, str] = {
    "repeat": "repeats of a pair", "second": "second opinions on a pair", "gold": "warm-up",
}  # fmt: skip


@dataclass(frozen=True)
class Preferences:
    """Rows by split, and how many judgements were left out (reason → count)."""

    rows: dict[str, list[Preference]]
    left_out: Counter[str] = field(default_factory=Counter)

    def all(self) -> list[Preference]:
        return [row for rows in self.rows.values() for row in rows]

    def in_files(self) -> list[Preference]:
        """Return the rows in the order in which a project's files have them."""
        return [row for split in sorted(self.rows) for row in self.rows[split]]


@dataclass(frozen=True)
class _Judged:
    """A project, equal to the same one at another revision with the same rows and people."""

    project: Project = field(compare=False)
    files: tuple[tuple[Path, ...], ...]
    uncounted: frozenset[str]
    aspect: str | None


def of_project(project: Project) -> Preferences:
    """Return the preferences that follow from the labels in the project's aspect.

    They are computed once for the same labels.
    """
    files = tuple(project.contents(config) for config in ("prompts", "candidates", "labels"))
    return _of_project(_Judged(project, files, project.people.uncounted, project.aspect))


def of_aspects(project: Project) -> Preferences:
    """Return the preferences in every aspect, with the aspect in each reason to leave one out."""
    result = Preferences({"train": [], "test": []})
    for one in by_aspect(project):
        own = of_project(one)
        for split, rows in own.rows.items():
            result.rows[split].extend(rows)
        where = f" ({one.aspect})" if one.aspect else ""
        result.left_out.update({f"{reason}{where}": n for reason, n in own.left_out.items()})
    for what, n in unasked(project).items():
        result.left_out[f"on {what}, which the project does not ask"] += n
    return result


@lru_cache(
    4
)  # one an aspect; an export, the card and the status ask at three revisions that differ in neither
def _of_project(judged: _Judged) -> Preferences:
    project = judged.project
    return rebuild(project.prompts, project.candidates, project.labels)


def rebuild(
    prompts: Sequence[Prompt], candidates: Sequence[Candidate], events: Iterable[Event]
) -> Preferences:
    """Return the preferences that follow from the events.

    Judgements come first, in time order, then what the judgements on a prompt imply for its other
    pairs (see `ranking`). Judgements without a preference are counted as left out, as are those on
    `eval` prompts, which must not be trained on.
    """
    events = list(events)
    prompt = {p.id: p for p in prompts}
    text = {c.id: c.text for c in candidates}
    text |= {c.id: c.text for e in events if (c := e.written())}
    answers = {cid: [Message(role="assistant", content=t)] for cid, t in text.items()}
    result = Preferences({"train": [], "test": []})
    usable: dict[str, list[Event]] = {}
    for e in standing_judgements(events):
        p = prompt.get(e.prompt_id)
        if e.kind in NO_PREFERENCE:
            result.left_out[NO_PREFERENCE[e.kind]] += 1
        elif p is None or e.left not in text or e.right not in text:
            result.left_out["prompt or candidate no longer in the project"] += 1
        elif p.split == "eval":
            result.left_out["on eval prompts, which stay blind"] += 1
        else:
            for better, worse, _ in e.statements():
                result.rows[p.split].append(_preference(p, answers, better, worse, e))
        if p is not None and p.split != "eval" and e.left in text and e.right in text:
            usable.setdefault(e.prompt_id, []).append(e)
    for purpose, reason in LEFT_OUT.items():
        if n := len(standing_judgements(events, purpose)):
            result.left_out[reason] += n
    for prompt_id, judgements in usable.items():
        if len(judgements) > 1:
            p = prompt[prompt_id]
            result.rows[p.split].extend(_implied(p, answers, judgements))
    return result


def _implied(p: Prompt, answers: Answers, judgements: list[Event]) -> Iterator[Preference]:
    people = {e.annotator for e in judgements}
    annotator = people.pop() if len(people) == 1 else "several"
    for better, worse in Order(judgements).implied():
        yield replace(
            _preference(p, answers, better, worse, judgements[-1]),
            strength=None,
            margin=0.0,
            source="implied",
            annotator=annotator,
        )


def _preference(p: Prompt, answers: Answers, better: str, worse: str, e: Event) -> Preference:
    asked = {better, worse} == {e.left, e.right}
    pair_id = e.pair_id if asked else Pair.between(p.id, better, worse).id
    return Preference(
        prompt=p.prompt,
        chosen=answers[better],  # shared by all rows that show the answer
        rejected=answers[worse],
        strength=e.strength,
        margin=MARGINS[e.strength] if e.strength else 0.0,
        source="human",
        annotator=e.annotator,
        pair_id=pair_id,
        prompt_id=p.id,
        round=e.round,
        aspect=e.aspect,
    )


def in_view(
    project: Project, rows: Iterable[Preference], *, together: bool
) -> tuple[list[Preference], Counter[str]]:
    """Return the rows in the project's aspect, or those of all aspects `together`.

    Rows that were exported before the aspects changed are left out and counted.
    """
    rows, aspects = list(rows), project.settings.aspects or (None,)
    asked = [row for row in rows if row.aspect in aspects]
    old = +Counter({NOT_ASKED: len(rows) - len(asked)})
    if together and project.aspect:
        kept, left_out = combined(asked, weights_of(project.settings))
        return kept, left_out + old
    return [row for row in asked if row.aspect == project.aspect], old


def combined(
    rows: Iterable[Preference], weights: Mapping[str, float]
) -> tuple[list[Preference], Counter[str]]:
    """Return a row for each pair and person, for the side of the heavier aspects; what is left out.

    A tie in an aspect weighs nothing. An implied row needs every aspect to imply something on its
    pair, because nobody was asked about it.
    """
    by_pair: dict[tuple[str, str], dict[str, Preference]] = {}
    for row in rows:
        who = row.annotator if row.source == "human" else f"({row.source})"
        by_pair.setdefault((row.pair_id, who), {})[row.aspect or ""] = row
    kept, left_out = list[Preference](), Counter[str]()
    for same in by_pair.values():
        first = next(iter(same.values()))
        signs = {name: 1 if row.chosen == first.chosen else -1 for name, row in same.items()}
        sign = round(sum(weights[name] * sign for name, sign in signs.items()), 9)
        if first.source != "human" and len(same) < len(weights):
            left_out["implied in some aspects only"] += 1
        elif sign == 0:
            left_out["aspects that cancel out"] += 1
        else:
            agreeing = (name for name, own in signs.items() if own * sign > 0)
            kept.append(replace(same[max(agreeing, key=weights.__getitem__)], aspect=None))
    return kept, left_out


def judged(project: Project) -> list[Event]:
    """Return the standing answers of judges on train prompts, in the project's aspect and in order.

    They are in ai/, which nothing that counts people, labels or votes reads.
    """
    folder, files = f"{AI_FOLDER}/", sorted(project.files)
    paths = [p for p in files if p.startswith(folder) and p.endswith(".jsonl")]
    local = hub.fetch(project.id, "dataset", project.revision, paths) if paths else []
    events = [
        e
        for path, file in zip(paths, local, strict=True)
        for e in read_file(Event, file, f"{project.id}/{path}")
    ]
    train = {p.id for p in project.prompts if p.split == "train"}
    own = [e for e in events if e.via == JUDGE and e.aspect == project.aspect]
    return [e for e in standing_judgements(own) if e.prompt_id in train]


def disputes(answers: Iterable[Event]) -> dict[str, int]:
    """Return the pairs on which judges differ: 2 where each text has one, 1 where some see a tie.

    Pure.
    """
    said: dict[str, set[str | None]] = {}
    for e in answers:
        said.setdefault(e.pair_id, set()).add(e.chosen)
    return {pair: len(own - {None}) for pair, own in said.items() if len(own) > 1}


def contradicted(answers: Iterable[Event], labels: Sequence[Event]) -> list[Event]:
    """Return the labels against which every judge of the pair decided, most judges first.

    They are at most one in twenty. Pure.
    """
    said: dict[str, list[str | None]] = {}
    for e in answers:
        said.setdefault(e.pair_id, []).append(e.chosen)
    labels = [e for e in labels if e.kind == "label"]
    against = [
        e for e in labels if (own := said.get(e.pair_id)) and not {None, e.chosen} & set(own)
    ]
    against.sort(key=lambda e: (-len(said[e.pair_id]), digest("against", e.pair_id, e.annotator)))
    return against[: math.ceil(CONTRADICTED * len(labels))]


def preference_files(result: Preferences) -> dict[str, str]:
    """Return the files of the preferences by repo path, byte-identical when rebuilt."""
    return {
        f"preferences/{split}.jsonl": jsonl(rows) for split, rows in result.rows.items() if rows
    }
