"""The rows of a project: prompts, candidates, events, preferences. Pure: no I/O.

Every config of the dataset repo holds one of these row types; `FEATURES` gives each its
`datasets.Features`, and `from_json` checks a row where it enters.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import combinations
from typing import Any, Literal, get_args

from palate.core.errors import BadInput

Message = dict[str, str]  # {"role": "user", "content": "…"}
Split = Literal["train", "test", "eval"]
Kind = Literal["label", "tie", "both_bad", "rewrite", "skip", "undo", "flag"]
# Why a pair was asked: for its own sake, again to see whether the person agrees with themselves,
# or as a warm-up whose answer is known.
Purpose = Literal["ask", "repeat", "gold"]
Config = Literal["prompts", "candidates", "labels", "preferences", "evaluations"]
SPLITS: tuple[Split, ...] = get_args(Split)
STRATEGIES = ("ranking", "random", "exhaustive")  # see `label.strategies`
KINDS: tuple[Kind, ...] = get_args(Kind)
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
# Reward margin of a 4-point strength ("barely" … "much"), normalised to 0–1.
MARGINS = {1: 0.0, 2: 1 / 3, 3: 2 / 3, 4: 1.0}


def digest(*parts: object) -> str:
    """Return 16 hex digits that depend on every part and on nothing else."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class Prompt:
    """A prompt as chat messages; `id` is the hash of the messages."""

    id: str
    prompt: list[Message]
    split: Split

    @classmethod
    def of(cls, text: str | list[Message], split: Split = "train") -> "Prompt":
        messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
        return cls(digest(messages), messages, split)

    @property
    def text(self) -> str:
        """The prompt as a person reads it: the messages' contents, a blank line between them."""
        return "\n\n".join(m["content"] for m in self.prompt)


@dataclass(frozen=True)
class Candidate:
    """One completion of a prompt. `model` is None where a person or another tool wrote it."""

    id: str
    prompt_id: str
    text: str
    model: str | None
    revision: str | None
    sampling: dict[str, Any] | None  # temperature, top_p, max_new_tokens, seed
    round: int

    @classmethod
    def of(
        cls,
        prompt_id: str,
        text: str,
        *,
        model: str | None = None,
        revision: str | None = None,
        sampling: dict[str, Any] | None = None,
        round: int = 1,
    ) -> "Candidate":
        return cls(
            digest(prompt_id, text, model, revision),
            prompt_id,
            text,
            model,
            revision,
            sampling,
            round,
        )


@dataclass(frozen=True)
class Model:
    """A model at an exact commit."""

    repo: str
    revision: str


def model_of(c: Candidate) -> Model:
    return Model(c.model or "", c.revision or "")


@dataclass(frozen=True)
class Pair:
    """Two candidates of one prompt, `a < b` by id: a question that can be put to a person."""

    prompt_id: str
    a: str
    b: str

    @property
    def id(self) -> str:
        return digest(self.prompt_id, self.a, self.b)

    @classmethod
    def of(cls, x: Candidate, y: Candidate) -> "Pair":
        return cls.between(x.prompt_id, x.id, y.id)

    @classmethod
    def between(cls, prompt_id: str, x: str, y: str) -> "Pair":
        """Return the pair of two candidate ids, whichever comes first."""
        a, b = sorted((x, y))
        return cls(prompt_id, a, b)


@dataclass(frozen=True)
class Event:
    """One thing a person did on a pair. Append-only: an undo is an event, too.

    `left`, `right` and `chosen` are candidate ids, so which side was which is never in doubt.
    """

    event_id: str
    kind: Kind
    pair_id: str
    prompt_id: str
    left: str
    right: str
    chosen: str | None  # for `label`, one of the two; for `rewrite`, the new candidate
    strength: int | None  # 1 barely … 4 much better; None where nobody asked
    annotator: str
    milliseconds: int | None  # from the pair's appearance to the choice
    time: str  # UTC, ISO 8601 with milliseconds, set by the server that first received it
    round: int
    via: str  # "ballot", "argilla" (edited in its own UI), "import"
    target: str | None = None  # for `undo`: the event that it takes back
    comment: str | None = None
    purpose: Purpose = "ask"
    text: str | None = None  # for `rewrite`: the better answer that the person wrote

    def swap(self) -> "Event":
        """Return the same judgement as if the sides had been exchanged."""
        return replace(self, left=self.right, right=self.left)

    def written(self) -> Candidate | None:
        """Return the candidate that a `rewrite` brings, better than both; None otherwise."""
        if self.kind != "rewrite" or self.text is None:
            return None
        return Candidate.of(self.prompt_id, self.text, round=self.round)

    def statements(self) -> list[tuple[str, str, bool]]:
        """Return its comparisons: (better, worse, True), or (one, other, False) for a tie."""
        if self.kind == "label" and self.chosen:
            return [(self.chosen, self.right if self.chosen == self.left else self.left, True)]
        if self.kind == "rewrite" and self.chosen:
            return [(self.chosen, other, True) for other in (self.left, self.right)]
        return [(self.left, self.right, False)] if self.kind == "tie" else []


@dataclass(frozen=True)
class Preference:
    """What TRL reads: one judged pair as conversational prompt, chosen and rejected."""

    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    strength: int | None
    margin: float  # `MARGINS[strength]`, 0.0 without a strength
    source: str  # "human"; "implied": nobody was asked, other answers say it
    annotator: str
    pair_id: str
    prompt_id: str
    round: int


@dataclass(frozen=True)
class Gold:
    """A pair whose answer is known: a warm-up, shown with its answer after the choice."""

    prompt: str
    chosen: str
    rejected: str
    why: str | None = None

    def rows(self) -> tuple[Prompt, Candidate, Candidate]:
        """Return the prompt, the better candidate and the other one."""
        prompt = Prompt.of(self.prompt)
        better, worse = (Candidate.of(prompt.id, t, round=0) for t in (self.chosen, self.rejected))
        return prompt, better, worse


ROWS: dict[Config, Any] = {
    "prompts": Prompt,
    "candidates": Candidate,
    "labels": Event,
    "preferences": Preference,
    "evaluations": Event,
}
_NULLABLE = {"model", "revision", "sampling", "chosen", "strength", "milliseconds", "target"}
_NULLABLE |= {"comment", "text", "why"}
_DEFAULTS = {"purpose": "ask"}  # in rows that were written before there was a choice
_TYPES: dict[str, type | tuple[type, ...]] = {
    "prompt": list,
    "chosen": (str, list),
    "rejected": list,
    "sampling": dict,
    "strength": int,
    "milliseconds": int,
    "round": int,
    "margin": (int, float),
}


def from_json(config: Config | Literal["gold"], row: Any, source: object, number: int) -> Any:
    """Return the checked dataclass of `row`, or raise BadInput naming source, row and field."""
    cls = Gold if config == "gold" else ROWS[config]
    if not isinstance(row, dict):
        raise BadInput(source, f"expected an object, found {type(row).__name__}", row=number)
    for f in fields(cls):
        value = row.get(f.name)
        if value is None and (f.name in _NULLABLE or f.name in _DEFAULTS):
            continue
        if value is None:
            raise BadInput(source, "is missing", row=number, field=f.name)
        want = str if cls is Gold else _TYPES.get(f.name, str)
        if not isinstance(value, want) or isinstance(value, bool):
            raise BadInput(
                source,
                f"expected {_name(want)}, found {json.dumps(value, ensure_ascii=False)[:60]}",
                row=number,
                field=f.name,
            )
    _check_choice(row, "split", SPLITS, source, number)
    _check_choice(row, "kind", KINDS, source, number)
    _check_choice(row, "purpose", PURPOSES, source, number)
    _check_choice(row, "strength", (1, 2, 3, 4), source, number)
    if row.get("kind") == "label" and row.get("chosen") not in (row["left"], row["right"]):
        raise BadInput(source, "must be the left or the right one", row=number, field="chosen")
    given = {f.name: row.get(f.name) for f in fields(cls)}
    made: Any = cls(
        **given | {k: v for k, v in _DEFAULTS.items() if k in given and given[k] is None}
    )
    if cls is Gold and made.chosen == made.rejected:
        raise BadInput(source, "is the same text as `chosen`", row=number, field="rejected")
    if row.get("kind") == "rewrite" and ((new := made.written()) is None or new.id != made.chosen):
        raise BadInput(source, "must be the candidate of the text", row=number, field="chosen")
    return made


def _name(want: type | tuple[type, ...]) -> str:
    return " or ".join(t.__name__ for t in (want if isinstance(want, tuple) else (want,)))


def _check_choice(
    row: dict, field: str, allowed: Sequence[object], source: object, number: int
) -> None:
    if row.get(field) is not None and row[field] not in allowed:
        expected = ", ".join(map(str, allowed))
        raise BadInput(
            source, f"expected one of {expected}, found {row[field]!r}", row=number, field=field
        )


def to_json(row: Any) -> str:
    """Return `row` as one line of JSON, the same bytes for the same row, always."""
    return json.dumps(asdict(row), ensure_ascii=False, separators=(",", ":"))


def features(config: Config):
    """Return the `datasets.Features` of a config (imported late: `datasets` is heavy)."""
    from datasets import Features, List, Value

    messages = List({"role": Value("string"), "content": Value("string")})
    sampling = {
        "temperature": Value("float64"),
        "top_p": Value("float64"),
        "max_new_tokens": Value("int64"),
        "seed": Value("int64"),
    }
    special: dict[str, Any] = {
        "sampling": sampling,
        "strength": Value("int64"),
        "milliseconds": Value("int64"),
        "round": Value("int64"),
        "margin": Value("float64"),
    }
    if config in ("prompts", "preferences"):
        special |= {"prompt": messages, "chosen": messages, "rejected": messages}
    return Features({f.name: special.get(f.name, Value("string")) for f in fields(ROWS[config])})


def pairs_of(candidates: Iterable[Candidate]) -> list[Pair]:
    """Return every pair of different texts within a prompt, in a stable order."""
    by_prompt: dict[str, dict[str, Candidate]] = {}
    for c in candidates:
        by_prompt.setdefault(c.prompt_id, {}).setdefault(c.text, c)
    return [
        Pair.of(x, y) for group in by_prompt.values() for x, y in combinations(group.values(), 2)
    ]
