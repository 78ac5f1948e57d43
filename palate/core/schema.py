"""The rows of a project: prompts, candidates, events, preferences. Pure: no I/O.

Each config of the dataset repo holds one of these row types. `core.typed` checks rows against
these annotations and refuses a row whose `contradiction` is not None.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from typing_extensions import TypedDict  # pydantic needs it on Python 3.11

from palate.core.typed import Aspect, Check, Time, Within

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Message(TypedDict, closed=True):
    """One turn of a chat."""

    role: str
    content: str


Whole = Annotated[int, Within(-(2**63), 2**63 - 1)]  # what a column of the dataset can hold
Sampling = dict[str, Whole | float]  # temperature, top_p, max_new_tokens, seed
Messages = Annotated[list[Message], Check(bool, "at least one message")]
Split = Literal["train", "test", "eval"]
Kind = Literal["label", "tie", "both_bad", "rewrite", "skip", "undo", "flag"]
# Why a pair was asked: for itself, again by chance for self-consistency, as a warm-up with a known
# answer, again because the reward or judges doubt the label; or "wild": while trying models (see
# `core.rounds`)
Purpose = Literal["ask", "repeat", "gold", "second", "wild"]
# An owner's decision about a person's events; "erased": they are gone from the history, too.
Decision = Literal["exclude", "include", "forget", "erased"]
EventConfig = Literal["labels", "evaluations", "wild"]
Config = EventConfig | Literal["prompts", "candidates", "preferences", "unpaired"]
SPLITS: tuple[Split, ...] = get_args(Split)
STRATEGIES = ("ranking", "uncertain", "disputed", "random", "exhaustive")  # see `label.strategies`
KINDS: tuple[Kind, ...] = get_args(Kind)
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
MARGINS = {1: 0.0, 2: 1 / 3, 3: 2 / 3, 4: 1.0}  # of a reward, by strength: "barely" … "much"
Strength = Annotated[int, Check(lambda s: s in MARGINS, "1, 2, 3 or 4")]
Sequence = Annotated[int, Check(lambda n: 0 < n < 2**53, "a whole number from 1")]  # as in JS
Margin = Annotated[float, Check(lambda m: 0 <= m <= 1, "a number from 0 to 1")]
Contradiction = tuple[str, str] | None  # the field that the others contradict, and how
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_encode_row = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=asdict).encode


def digest(*parts: object) -> str:
    """Return 16 hex digits that depend on every part and on nothing else."""
    return hashlib.sha256(_encode(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as chat messages; `id` is the hash of the messages."""

    id: str
    prompt: Messages
    split: Split
    model: str | None = None  # that wrote it, at `revision`; None for a person, or where unknown
    revision: str | None = None

    @classmethod
    def of(
        cls,
        text: str | list[Message],
        split: Split = "train",
        *,
        model: str | None = None,
        revision: str | None = None,
    ) -> "Prompt":
        messages = [Message(role="user", content=text)] if isinstance(text, str) else text
        return cls(digest(messages), messages, split, model, revision)

    def contradiction(self) -> Contradiction:
        return _wrong_id("id", self.id, digest(self.prompt), "these messages")

    @property
    def text(self) -> str:
        """The prompt as a person reads it: the messages' contents, a blank line between them."""
        return "\n\n".join(m["content"] for m in self.prompt)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One completion of a prompt. `model` is None where a person or another tool wrote it."""

    id: str
    prompt_id: str
    text: str
    model: str | None
    revision: str | None
    sampling: Sampling | None
    round: Whole

    @classmethod
    def of(
        cls,
        prompt_id: str,
        text: str,
        *,
        model: str | None = None,
        revision: str | None = None,
        sampling: Sampling | None = None,
        round: int = 1,
    ) -> "Candidate":
        own = digest(prompt_id, text, model, revision)
        return cls(own, prompt_id, text, model, revision, sampling, round)

    def contradiction(self) -> Contradiction:
        own = digest(self.prompt_id, self.text, self.model, self.revision)
        return _wrong_id("id", self.id, own, "this prompt, text, model and revision")


IMPORTED = "imported"  # revision of models that are known from imported votes alone
CONTESTANT = "contestant"  # in the sampling of a model that is neither base nor tuned
BEST_OF = "best-of-"  # begins the revision where a reward chose among several answers


@dataclass(frozen=True)
class Model:
    """A model at an exact commit."""

    repo: str
    revision: str


def model_of(c: Candidate) -> Model:
    return Model(c.model or "", c.revision or "")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two candidates of one prompt, `a < b` by id: a question that can be put to a person."""

    prompt_id: str
    a: str
    b: str

    @property
    def id(self) -> str:
        return _pair_id(self.prompt_id, self.a, self.b)

    @classmethod
    def of(cls, x: Candidate, y: Candidate) -> "Pair":
        return cls.between(x.prompt_id, x.id, y.id)

    @classmethod
    def between(cls, prompt_id: str, x: str, y: str) -> "Pair":
        """Return the pair of two candidate ids, whichever comes first."""
        a, b = sorted((x, y))
        return cls(prompt_id, a, b)


@dataclass(frozen=True, slots=True)
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
    strength: Strength | None  # 1 barely … 4 much better; None where nobody asked
    annotator: str
    milliseconds: Whole | None  # from the pair's appearance to the choice
    time: Time  # UTC, ISO 8601 with milliseconds, set by the server that first received it
    round: Whole
    via: str  # "ballot", "argilla" (edited in its own UI), "import"
    target: str | None = None  # for `undo`: the event that it takes back
    comment: str | None = None
    purpose: Purpose = "ask"
    text: str | None = None  # for `rewrite`: the better answer that the person wrote
    # Which of a person's events came first; None in older ledgers and in imports: times decide
    sequence: Sequence | None = None
    aspect: Aspect | None = None  # which of the project's aspects was asked about, if it has any

    def swap(self) -> "Event":
        """Return the same judgement as if the sides had been exchanged."""
        return replace(self, left=self.right, right=self.left)

    def contradiction(self) -> Contradiction:
        if self.kind == "label" and self.chosen not in (self.left, self.right):
            return "chosen", "must be the left or the right one"
        if self.kind == "rewrite" and ((new := self.written()) is None or new.id != self.chosen):
            return "chosen", "must be the candidate of the text"
        pair_id = _pair_id(self.prompt_id, *sorted((self.left, self.right)))
        return _wrong_id("pair_id", self.pair_id, pair_id, "this prompt, left and right")

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


@dataclass(frozen=True, slots=True)
class Preference:
    """What TRL reads: one judged pair as conversational prompt, chosen and rejected."""

    prompt: Messages
    chosen: Messages
    rejected: Messages
    strength: Strength | None
    margin: Margin  # `MARGINS[strength]`, 0.0 without a strength
    source: str  # "human"; "implied": nobody was asked, other answers say it
    annotator: str
    pair_id: str
    prompt_id: str
    round: Whole
    aspect: Aspect | None = None  # in which `chosen` is better, where a project has aspects

    def contradiction(self) -> Contradiction:
        return _wrong_id("prompt_id", self.prompt_id, digest(self.prompt), "this prompt")


@dataclass(frozen=True, slots=True)
class Unpaired:
    """What TRL's KTO reads: one answer that somebody called good or bad, compared with none."""

    prompt: Messages
    completion: Messages
    label: bool
    annotator: str
    prompt_id: str

    def contradiction(self) -> Contradiction:
        return _wrong_id("prompt_id", self.prompt_id, digest(self.prompt), "this prompt")


@dataclass(frozen=True)
class Gold:
    """A pair whose answer is known: a warm-up, shown with its answer after the choice."""

    prompt: str
    chosen: str
    rejected: str
    why: str | None = None

    def contradiction(self) -> Contradiction:
        is_same = self.chosen == self.rejected
        return ("rejected", "is the same text as `chosen`") if is_same else None

    def rows(self) -> tuple[Prompt, Candidate, Candidate]:
        """Return the prompt, the better candidate and the other one."""
        prompt = Prompt.of(self.prompt)
        better, worse = (Candidate.of(prompt.id, t, round=0) for t in (self.chosen, self.rejected))
        return prompt, better, worse


_pair_id = lru_cache(2**16)(digest)  # several people judge a pair
Row = Prompt | Candidate | Event | Preference | Unpaired
ROWS: dict[Config, type[Row]] = {
    "prompts": Prompt, "candidates": Candidate, "labels": Event, "preferences": Preference,
    "evaluations": Event, "unpaired": Unpaired, "wild": Event,
}  # fmt: skip


def to_json(row: "DataclassInstance") -> str:
    """Return `row` as one line of JSON, the same bytes for the same row, always."""
    values = {f.name: getattr(row, f.name) for f in fields(row)}
    if isinstance(row, Prompt) and row.model is row.revision is None:
        del values["model"], values["revision"]  # as rows were before models wrote prompts
    for name in ("sequence", "aspect"):  # as rows were before
        if name in values and values[name] is None:
            del values[name]
    return _encode_row(values)


def _wrong_id(field: str, value: str, expected: str, content: str) -> Contradiction:
    return None if value == expected else (field, f"is not {expected}, the id of {content}")


def pairs_of(candidates: Iterable[Candidate]) -> list[Pair]:
    """Return every pair of different texts within a prompt, in a stable order."""
    by_prompt: dict[str, dict[str, Candidate]] = {}
    for c in candidates:
        by_prompt.setdefault(c.prompt_id, {}).setdefault(c.text, c)
    return [Pair.of(x, y) for g in by_prompt.values() for x, y in combinations(g.values(), 2)]
