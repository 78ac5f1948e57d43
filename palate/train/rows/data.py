"""The data of a run: the rows of both splits, and what is checked before training on them.

Every row left out is counted. Only `audit` and `read_preferences` do I/O.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from rich.console import Console

from palate.audit import baselines, findings, measure
from palate.audit import rows as audit_rows
from palate.core.errors import PalateError, UsageError
from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rates import Rate
from palate.core.rounds import by_aspect
from palate.core.schema import Message, Preference, Prompt, Unpaired, digest, to_json
from palate.core.splits import check_no_overlap, check_training
from palate.generate.chats import encode
from palate.label.preferences import NOT_ASKED, in_view, of_aspects, of_project
from palate.train.rows.people import preference_rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

IMPLIED = "comparisons that nobody was asked about, which other answers imply"
NOT_WON = "won no more comparisons than they lost"
NO_PREFERENCE = "The labels show no clear preference for a length or a format."
SURE = 0.05  # of all tests together: that one preference is called so and is none


@dataclass(frozen=True)
class Answer:
    """One answer to a prompt, and how many comparisons it won and lost."""

    prompt: list[Message]
    completion: list[Message]
    prompt_id: str
    won: int
    lost: int


R = TypeVar("R", Preference, Answer, Unpaired, Prompt, covariant=True)
T = TypeVar("T", Preference, Answer, Unpaired)


@dataclass(frozen=True)
class Rows(Generic[R]):
    """The rows of both splits, and what was left out (reason → count)."""

    train: Sequence[R]
    test: Sequence[R]
    dropped: Counter[str] = field(default_factory=Counter)
    too_long: Sequence[str] = ()  # the prompts of rows over the maximum length
    places: Sequence[int] = ()  # of the test rows, among those that were read
    weights: Mapping[str, float] = field(default_factory=dict)  # of a panel's rows, by pair

    def key(self) -> str:
        """Return a hash of the rows: the same for the same content, whatever its commit."""
        rows = *map(to_json, self.train), "test", *map(to_json, self.test)
        return digest(*rows, self.weights) if self.weights else digest(*rows)


def read_preferences(
    project: Project, *, implied: bool = True, together: bool = False
) -> Rows[Preference]:
    """Return the preferences in the project's aspect, or in all aspects `together`.

    Raises UsageError where there are none. Without `implied`, inferred ones are left out of train.
    The test split never has them: it measures agreement with what people said.
    """
    parts = preference_rows(project, "train"), preference_rows(project, "test")
    (train, lost), (test, more) = (in_view(project, p, together=together) for p in parts)
    if not train and (old := lost[NOT_ASKED]):
        raise UsageError(
            f"{project.id} holds no preferences to train on, but {count(old, 'row')} {NOT_ASKED}."
            f" Aspects changed after the last export. Export again with: palate export {project.id}"
        )
    if not train:
        why = _unused(project, lost, together=together)
        raise UsageError(
            f"{project.id} holds no preferences to train on.{why} Collect some"
            f" with: palate label {project.id}, then: palate export {project.id}"
        )
    human = [[r for r in rows if r.source == "human"] for rows in (train, test)]
    dropped = lost + more + Counter({"only implied, in the test split": len(test) - len(human[1])})
    if not implied:
        dropped["only implied (--no-implied)"] = len(train) - len(human[0])
    return Rows(train if implied else human[0], human[1], +dropped)


def _unused(project: Project, lost: Counter[str], *, together: bool) -> str:
    """Return why a project's labels make no preferences, in a sentence; nothing without labels."""
    left_out = (of_aspects if together else of_project)(project).left_out + lost
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in left_out.items())
    return f" Its labels say nothing to train on: {reasons}." if reasons else ""


def count_wins(preferences: Sequence[Preference]) -> list[Answer]:
    """Return every distinct answer, in order of appearance, with its wins and losses."""
    answers: dict[str, Answer] = {}
    won, lost = Counter[str](), Counter[str]()
    for row in preferences:
        for side, tally in ((row.chosen, won), (row.rejected, lost)):
            key = digest(row.prompt, side)
            answers.setdefault(key, Answer(row.prompt, side, row.prompt_id, 0, 0))
            tally[key] += 1
    return [
        Answer(a.prompt, a.completion, a.prompt_id, won[key], lost[key])
        for key, a in answers.items()
    ]


def preferred_answers(project: str, preferences: Rows[Preference]) -> Rows[Answer]:
    """Return the answers that won more comparisons than they lost.

    Raises UsageError where the training split has none.
    """
    splits = [count_wins(rows) for rows in (preferences.train, preferences.test)]
    train, test = ([a for a in answers if a.won > a.lost] for answers in splits)
    if not train:
        raise UsageError(
            f"Of the {len(splits[0]):,} answers that people compared in {project}, none won more"
            f" comparisons than it lost. Collect more labels with: palate label {project}, then:"
            f" palate export {project}"
        )
    not_won = sum(map(len, splits)) - len(train) - len(test)
    dropped = Counter({IMPLIED: preferences.dropped.total(), NOT_WON: not_won})
    return Rows(train, test, +dropped)


def usable(
    rows: Rows[T], tokenizer: "PreTrainedTokenizerBase", max_length: int, window: int | None = None
) -> Rows[T]:
    """Return the rows that fit into `max_length` tokens and have something to teach.

    TRL would truncate or drop the others silently. `window` is the model's own limit, if known.
    Raises UsageError where no row is left.
    """
    limit = max_length if window is None else min(max_length, window)
    too_much, advice = f"longer than {limit} tokens", "Raise --max-length."
    if limit < max_length:
        too_much += " (the model's window)"
        advice = "Choose a --base-model with a longer one."
    dropped, too_long = Counter(rows.dropped), list(rows.too_long)
    kept: tuple[list[T], list[T]] = ([], [])
    places: list[int] = []
    for split, split_rows in zip(kept, (rows.train, rows.test), strict=True):
        places = []
        for place, row in enumerate(split_rows):
            if flaw := _flaw(row):
                dropped[flaw] += 1
            elif (n := tokens(row, tokenizer)) > limit:
                dropped[too_much] += 1
                too_long.append(f"{row.prompt[-1]['content'][:60]!r} ({n} tokens)")
            else:
                split.append(row)
                places.append(place)
    if not kept[0]:
        reasons = ", ".join(f"{n} {reason}" for reason, n in dropped.items())
        advice = f" {advice}" if too_long else ""
        raise UsageError(f"No row is left to train on: {reasons}.{advice}")
    return Rows(*kept, dropped, too_long, places, rows.weights)


def _flaw(row: Preference | Answer | Unpaired) -> str | None:
    """Return why a row has nothing to teach, whatever its length; None if it has."""
    if isinstance(row, Preference):
        return "chosen and rejected are the same text" if row.chosen == row.rejected else None
    return None if any(m["content"].strip() for m in row.completion) else "the answer is empty"


def tokens(row: Preference | Answer | Unpaired, tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the tokens of the prompt and the longest of the row's answers to it."""
    sides = (row.chosen, row.rejected) if isinstance(row, Preference) else (row.completion,)
    return max(len(encode(tokenizer, row.prompt + side)) for side in sides)


def preference_dataset(rows: Sequence[Preference]) -> "Dataset":
    """Return a `datasets.Dataset` with `prompt`, `chosen` and `rejected` as chat messages."""
    from datasets import Dataset

    return Dataset.from_list(
        [{"prompt": r.prompt, "chosen": r.chosen, "rejected": r.rejected} for r in rows]
    )


def answer_dataset(rows: Sequence[Answer]) -> "Dataset":
    """Return a `datasets.Dataset` with `prompt` and `completion` as chat messages."""
    from datasets import Dataset

    return Dataset.from_list([{"prompt": r.prompt, "completion": r.completion} for r in rows])


def audit(
    console: Console,
    project: Project,
    rows: Rows[Preference],
    *,
    ignore: bool,
    together: bool = False,
) -> tuple[findings.Finding, ...]:
    """Audit the labels, print warnings and return all findings; raise PalateError if one is fatal.

    The labels are those in the project's aspect, or in all aspects with a choice `together`. With
    `ignore`, fatal findings do not raise.
    """
    parts = by_aspect(project) if together else []
    used = [p for p in parts if any(e.chosen for e in standing_judgements(p.labels))]
    issues = [f for one in used or [project] for f in _findings(one)]
    try:
        check_no_overlap(project.prompts)
        check_training(rows.train, project.prompts)
    except PalateError as error:
        issues.insert(0, findings.Finding("fatal", str(error), "Correct it before training."))
    for f in issues:
        if f.level != "note":
            console.print(f"  {f.level}: {f.text} {f.advice}", style="yellow", markup=False)
    fatal = [f for f in issues if f.level == "fatal"]
    if fatal and not ignore:
        raise PalateError(
            f"{fatal[0].text} {fatal[0].advice} For all findings: palate audit {project.id}"
            f"{' --aspect NAME' if project.aspect else ''}. To train anyway: --ignore-audit"
        )
    return tuple(issues)


def _findings(project: Project) -> list[findings.Finding]:
    """Return what the audit finds in the labels, with their aspect if there is one."""
    figures = measure.measure(audit_rows.of_project(project), learn=False)
    where = f"In the aspect {project.aspect}: " if project.aspect else ""
    return [replace(f, text=f"{where}{f.text}") for f in findings.findings(figures)]


def test_rules(rows: Rows[Preference]) -> dict[str, tuple[baselines.Accuracy, np.ndarray]]:
    """Return the test accuracy of simple rules learned from people's train rows, and their hits.

    Hits are 1 on a test row that a rule is right on, ½ on a tie. Implied rows are used where there
    are no others. Empty without test rows.
    """
    if not rows.test:
        return {}
    people = [r for r in rows.train if r.source == "human"] or rows.train
    known, held = as_audit_rows(people, "train"), as_audit_rows(rows.test, "test")
    rules = {"bag of words": baselines.bag_of_words, "length": baselines.longer}
    hits = {name: (1 + np.sign(rule(known)(held))) / 2 for name, rule in rules.items()}
    return {name: (baselines.accuracy(held, right), right) for name, right in hits.items()}


def as_audit_rows(preferences: Iterable[Preference], split: str) -> list[audit_rows.Row]:
    """Return preferences as the audit and its baselines take them."""
    preferences = list(preferences)
    prompts = {p.prompt_id: p.prompt for p in preferences}  # there are fewer than rows
    texts = {key: "\n\n".join(m["content"] for m in prompt) for key, prompt in prompts.items()}
    return [
        audit_rows.Row(
            number, texts[p.prompt_id], p.chosen[-1]["content"], p.rejected[-1]["content"], "left",
            split, p.annotator or "", p.prompt,
        )
        for number, p in enumerate(preferences, 1)
    ]  # fmt: skip


def preference_sentence(rows: Sequence[Preference]) -> str:
    """Return which length and which formats the labels prefer, in sentences.

    Rows that were inferred from other answers are no labels.
    """
    asked = [r for r in rows if r.source == "human"]
    figures = measure.biases_of(as_audit_rows(asked, "train"), sided=False)
    sentences = []
    if figures.longer.differs(figures.tests, SURE):
        name = "longer" if (figures.longer.rate or 0) > 0.5 else "shorter"
        share = _share(figures.longer)
        sentences.append(f"When lengths differ, the {name} answer wins {share} of the time.")
    marked = [
        (abs((r.rate or 0) - 0.5), name, r)
        for name, r in figures.common_formats.items()
        if r.differs(figures.tests, SURE)
    ]
    for _, name, rate in sorted(marked, key=lambda m: -m[0])[:2]:
        liked, share = (rate.rate or 0) > 0.5, _share(rate)
        has, other = ("with", "without it") if liked else ("without", f"with {name}")
        sentences.append(f"An answer {has} {name} beats one {other} {share} of the time.")
    return " ".join(sentences) or NO_PREFERENCE


def _share(rate: Rate) -> str:
    """Return "64% (55–72%)", the rate or its counterpart, whichever is above one half."""
    (low, high), share = rate.interval or (0.0, 1.0), rate.rate or 0.0
    low, share, high = (1 - high, 1 - share, 1 - low) if share < 0.5 else (low, share, high)
    return f"{100 * share:.0f}% ({100 * low:.0f}–{100 * high:.0f}%)"
