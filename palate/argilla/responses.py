"""What Argilla asks about a pair, and a person's response: its answers and events. Pure: no I/O.

A response answers Argilla's own questions (choice, strength, comment, rewrite), and Argilla's pages
show and change these answers. A further question, `events`, holds the events behind them. In a
project with aspects, its first line names the aspect that the answers are in.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypedDict

from palate.core.ledger import standing_judgements
from palate.core.schema import Candidate, Event, Pair, Prompt, digest, to_json
from palate.core.typed import read, read_line

if TYPE_CHECKING:
    import argilla

Status = Literal["draft", "submitted", "discarded"]
CHOICES = {"a": "A", "b": "B", "tie": "Tie", "both_bad": "Both bad", "rewrite": "Neither"}
IN_ASPECT = re.compile(r"# ([a-z0-9-]*)")


class Value(TypedDict):
    """The answer to a question."""

    value: object


class SavedResponse(TypedDict):
    """A response as Argilla's API returns it."""

    id: str
    user_id: str
    status: Status
    values: dict[str, Value] | None
    updated_at: str


@dataclass(frozen=True)
class Answers:
    """The answers to Argilla's own questions; None to those that are open."""

    choice: str | None = None  # a key of CHOICES
    strength: int | None = None
    comment: str | None = None
    rewrite: str | None = None


@dataclass(frozen=True)
class Response:
    """One person's response to one pair."""

    id: str
    pair_id: str
    annotator: str  # a pseudonym, or the id of an Argilla user who is not one of ours
    status: Status
    values: Mapping[str, object]  # question → answer
    updated: str  # a time

    @classmethod
    def of(cls, pair_id: str, saved: SavedResponse, pseudonyms: Mapping[str, str]) -> "Response":
        """Return the response that Argilla saved; `pseudonyms` are by the id of Argilla's user."""
        return cls(
            id=saved["id"],
            pair_id=pair_id,
            annotator=pseudonyms.get(saved["user_id"], saved["user_id"]),
            status=saved["status"],
            values={name: v["value"] for name, v in (saved["values"] or {}).items()},
            updated=saved["updated_at"],
        )

    def answers(self) -> Answers:
        """Return the answers to Argilla's own questions, or raise BadInput."""
        return read(Answers, self.values, self._source())

    def events(self) -> list[Event]:
        """Return the events that the response holds, or raise BadInput."""
        lines = enumerate(self._lines(), 1)
        return [
            read_line(Event, line, self._source(), n)
            for n, line in lines
            if line.strip() and not (n == 1 and IN_ASPECT.fullmatch(line))
        ]

    def aspect(self, asked: str | None) -> str | None:
        """Return the aspect of its answers: `asked` now if palate saved none, or BadInput.

        The settings may have had other aspects when the response was saved.
        """
        if named := IN_ASPECT.fullmatch(self._lines()[0]):
            return named[1] or None
        aspects = {e.aspect for e in self.events() if e.kind != "flag"}
        return None if None in aspects else asked

    def _lines(self) -> list[str]:
        # at \n alone: a remark may hold other characters that end a line, such as U+2028
        return str(self.values.get("events") or "").split("\n")

    def _source(self) -> str:
        return f"Argilla's response {self.id}"


def answers_of(events: Sequence[Event], aspect: str | None = None) -> tuple[Status, Answers]:
    """Return the status and the answers, in one aspect, of a response with these events."""
    events = [e for e in events if e.aspect == aspect or e.kind == "flag"]
    standing = standing_judgements(events)
    comment = next((e.comment for e in reversed(events) if e.comment), None)
    if not standing:
        return "draft", Answers(comment=comment)
    last = standing[-1]
    choice = None
    if last.kind in ("tie", "both_bad", "rewrite"):
        choice = last.kind
    elif last.kind == "label":
        choice = "a" if last.chosen == min(last.left, last.right) else "b"
    answers = Answers(choice, last.strength, comment, plain(last.text) if last.text else None)
    return "discarded" if last.kind == "skip" else "submitted", answers


def values_of(
    events: Sequence[Event], aspect: str | None = None
) -> tuple[Status, dict[str, str | int]]:
    """Return the status and the values to save in Argilla for these events."""
    status, answers = answers_of(events, aspect)
    values = {name: value for name, value in vars(answers).items() if value is not None}
    lines = [f"{to_json(e)}\n" for e in events]
    if aspect or any(e.aspect for e in events):
        lines.insert(0, f"# {aspect or ''}\n")
    return status, values | {"events": "".join(lines)}


def plain(text: str) -> str:
    """Return the text without characters that a database or an encoding cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def edit(
    response: Response,
    pair: Pair,
    known: Iterable[Event],
    round_number: int,
    annotator: str,
    aspect: str | None = None,
) -> Event | None:
    """Return the event for what somebody changed in Argilla's pages; None if nobody did.

    `known` are the ledger's events of `annotator` (a pseudonym) on this pair; the response may hold
    others. `aspect` is the project's first; the event has the one that the response was saved in.
    The event's id depends only on the response and the time of its change, so the same edit always
    gives the same event.
    """
    aspect = response.aspect(aspect)
    events = list({e.event_id: e for e in [*known, *response.events()]}.values())
    status, expected = answers_of(events, aspect)
    answers = response.answers()
    if response.status == status and (status != "submitted" or answers == expected):
        return None
    skip = Event(
        event_id="argilla-" + digest(response.id, response.updated),
        kind="skip",
        pair_id=pair.id,
        prompt_id=pair.prompt_id,
        left=pair.a,
        right=pair.b,
        chosen=None,
        strength=None,
        annotator=annotator,
        milliseconds=None,
        time=_utc(response.updated),
        round=round_number,
        via="argilla",
        comment=answers.comment if answers.comment != expected.comment else None,
        aspect=aspect,
    )
    if response.status == "discarded":
        return skip
    if response.status == "draft":
        standing = [e for e in standing_judgements(events) if e.aspect == aspect]
        return replace(skip, kind="undo", target=standing[-1].event_id) if standing else None
    return _judgement(skip, pair, answers)


def _judgement(skip: Event, pair: Pair, answers: Answers) -> Event | None:
    """Return the event as a judgement with these answers; None without a choice."""
    if answers.choice == "rewrite" and answers.rewrite:
        new = Candidate.of(pair.prompt_id, answers.rewrite)
        return replace(skip, kind="rewrite", chosen=new.id, text=new.text)
    if answers.choice in ("tie", "both_bad"):
        return replace(skip, kind=answers.choice)
    if answers.choice in ("a", "b"):
        chosen = pair.a if answers.choice == "a" else pair.b
        return replace(skip, kind="label", chosen=chosen, strength=answers.strength)
    return None


def _utc(time: str) -> str:
    """Return Argilla's time, which is UTC where it names no zone, in the events' format."""
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def settings_of(question: str, guidelines: str) -> "argilla.Settings":
    import argilla as rg

    return rg.Settings(  # ty: ignore[abstract-class-instantiation]
        guidelines=guidelines or question,
        fields=[
            rg.TextField(name="prompt", title="Prompt"),
            rg.TextField(name="a", title="A"),
            rg.TextField(name="b", title="B"),
        ],
        questions=[
            rg.LabelQuestion(name="choice", title=question, labels=CHOICES),
            rg.RatingQuestion(
                name="strength", title="How much better?", values=[1, 2, 3, 4], required=False
            ),
            rg.TextQuestion(name="comment", title="A remark", required=False),
            rg.TextQuestion(name="rewrite", title="A better answer", required=False),
            rg.TextQuestion(name="events", title="The record (leave as it is)", required=False),
        ],
        metadata=[
            rg.TermsMetadataProperty(name="prompt_id", title="Prompt"),
            rg.IntegerMetadataProperty(name="round", title="Round"),
        ],
        distribution=rg.TaskDistribution(min_submitted=1),
    )


def record_of(pair: Pair, prompt: Prompt, x: Candidate, y: Candidate) -> dict[str, object]:
    """Return a pair as Argilla's API takes it."""
    text = {x.id: x.text, y.id: y.text}
    return {
        "external_id": pair.id,
        "fields": {
            "prompt": plain(prompt.text),
            "a": plain(text[pair.a]),
            "b": plain(text[pair.b]),
        },
        "metadata": {"prompt_id": pair.prompt_id, "round": max(x.round, y.round)},
    }
