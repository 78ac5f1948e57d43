"""Every label for the owners of a project: found by filter, shown as the person saw it, corrected.

A correction is a new event of the person whose answer it replaces. The answer stays in the ledger.
"""

import threading
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from palate.core import hub, ledger
from palate.core.ledger import standing_judgements
from palate.core.schema import KINDS, MARGINS, Contradiction, Event, Message
from palate.core.typed import Time, read_file
from palate.label.agreement import is_too_fast, value_of
from palate.web.ballot.render import shown_pair, written
from palate.web.labelling.ballot import LabelBallot

REVIEWED_FILE = "reviewed.jsonl"  # flags and notes that an owner has dealt with
PER_PAGE = 50
PROMPT_CHARACTERS = 160  # of a prompt in the list
SHOWN_EVENTS = 100  # of one pair
GONE = "This text is no longer in the project."
CORRECTIONS = ("label", "tie", "both_bad", "skip")
Call = Mapping[str, object]


class Refused(ValueError):
    """What an owner asked for and cannot have, and the status of the answer."""

    def __init__(self, reason: str, status: int = 400):
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Reviewed:
    """A flag or a note that an owner has dealt with, or `done` again false."""

    event_id: str
    done: bool
    time: Time

    def contradiction(self) -> Contradiction:
        return None


@dataclass(frozen=True)
class Label:
    """A judgement that stands, and what it can be found by."""

    event: Event
    fast: bool
    differs: bool  # from another person's judgement of the pair
    flagged: bool

    def row(self, prompt: str) -> dict[str, object]:
        e = self.event
        return {
            "id": e.event_id,
            "who": e.annotator,
            "prompt": written(prompt[:PROMPT_CHARACTERS]),
            "time": e.time,
            "fast": self.fast,
            "differs": self.differs,
            "flagged": self.flagged,
            "purpose": e.purpose,
            **said(e),
        }


def said(e: Event) -> dict[str, object]:
    """Return what an event says, by the side on which the person saw each answer."""
    side = {e.left: "left", e.right: "right"}.get(e.chosen or "")
    return {
        "kind": e.kind,
        "side": side,
        "strength": e.strength,
        "seconds": None if e.milliseconds is None else round(e.milliseconds / 1000, 1),
        "comment": written(e.comment or ""),
        "via": e.via,
        "text": written(e.text or ""),
        "aspect": e.aspect,
    }


class Labels:
    """What the owner's page asks about labels. Safe to use from any thread."""

    def __init__(self, ballot: LabelBallot):
        self._ballot = ballot
        self._texts = {c.id: c.text for c in ballot.texts()}
        self._prompts = {p.id: p.text for p in ballot.prompts().values()}
        self._folded = {prompt_id: text.casefold() for prompt_id, text in self._prompts.items()}
        self._fast: dict[str, bool] = {}  # by event id: an event never changes
        self._lock = threading.Lock()  # guards what follows
        self._read = 0  # events: others are added behind them, and none is ever removed
        self._events: dict[str, list[Event]] = defaultdict(list)  # by prompt
        self._labels: dict[str, list[Label]] = {}  # by prompt
        self._sorted: list[Label] = []

    def all(self) -> list[Label]:
        """Return the judgements that stand, newest first."""
        events = self._ballot.events()
        with self._lock:
            new = events[self._read :]
            if not new:
                return self._sorted
            for e in new:
                self._events[e.prompt_id].append(e)
            for prompt_id in {e.prompt_id for e in new}:
                self._labels[prompt_id] = self._labels_of(self._events[prompt_id])
            labels = [label for own in self._labels.values() for label in own]
            labels.sort(key=lambda label: (label.event.time, label.event.event_id), reverse=True)
            self._read, self._sorted = len(events), labels
            return labels

    def _labels_of(self, events: list[Event]) -> list[Label]:
        """Return the standing judgements of one prompt."""
        standing = standing_judgements(events)
        values: dict[tuple[str, str | None], set[str]] = defaultdict(set)
        for e in standing:
            if e.kind != "skip":
                values[e.pair_id, e.aspect].add(value_of(e))
        flagged = {e.pair_id for e in events if e.kind == "flag"}
        standing += [*standing_judgements(events, "repeat"), *standing_judgements(events, "gold")]
        return [
            Label(
                e,
                self._is_fast(e),
                e.purpose == "ask" and e.kind != "skip" and len(values[e.pair_id, e.aspect]) > 1,
                e.pair_id in flagged,
            )
            for e in standing
        ]

    def _is_fast(self, e: Event) -> bool:
        if e.event_id not in self._fast:
            readable = e.milliseconds is not None and e.kind != "skip"
            known = e.left in self._texts and e.right in self._texts
            self._fast[e.event_id] = readable and known and is_too_fast(e, self._texts)
        return self._fast[e.event_id]

    def find(self, query: Call) -> dict[str, object]:
        """Return a page of the labels that the query asks for, and how many there are."""
        wanted, text = query.get("kind"), str(query.get("prompt", "")).casefold().strip()
        prompts = {p for p, folded in self._folded.items() if text in folded} if text else None
        marks = [name for name in ("fast", "differs", "flagged") if query.get(name)]
        labels = self.all()
        matches = [
            label
            for label in labels
            if (not query.get("who") or label.event.annotator == query["who"])
            and (not wanted or wanted in (label.event.kind, label.event.via))
            and (prompts is None or label.event.prompt_id in prompts)
            and all(getattr(label, mark) for mark in marks)
        ]
        number = query.get("page", 0)
        start = PER_PAGE * (number if isinstance(number, int) and 0 <= number < 10**6 else 0)
        rows = matches[start : start + PER_PAGE]
        return {
            "total": len(matches),
            "all": len(labels),
            "per_page": PER_PAGE,
            "people": sorted({label.event.annotator for label in labels}),
            "rows": [label.row(self._prompts.get(label.event.prompt_id, GONE)) for label in rows],
        }

    def show(self, query: Call) -> dict[str, object]:
        """Return a label's pair as its person saw it, and all that was said about the pair."""
        e = self._event(query.get("id"))
        events = [x for x in self._ballot.events() if x.pair_id == e.pair_id]
        stands = {label.event.event_id for label in self.all() if label.event.pair_id == e.pair_id}
        asked = self._ballot.prompts().get(e.prompt_id)
        messages = asked.prompt if asked else [Message(role="user", content=GONE)]
        left, right = (self._texts.get(side, GONE) for side in (e.left, e.right))
        history = [
            said(x if x.left == e.left else x.swap())
            | {"id": x.event_id, "who": x.annotator, "time": x.time, "purpose": x.purpose,
               "stands": x.event_id in stands}
            for x in sorted(events, key=lambda x: (x.time, x.event_id))[-SHOWN_EVENTS:]
        ]  # fmt: skip
        shown = shown_pair(messages, left, right)
        return shown | {"id": e.event_id, "who": e.annotator, "events": history, **said(e)}

    def _event(self, event_id: object) -> Event:
        for e in self._ballot.events():
            if e.event_id == event_id:
                return e
        raise Refused("There is no such label any more.", 404)

    def correct(self, query: Call) -> dict[str, object]:
        """Replace a judgement that stands by what the owner says; return the new label's id."""
        e = self._event(query.get("id"))
        if all(label.event.event_id != e.event_id for label in self.all()):
            raise Refused("This answer was changed in the meantime. Look at it again.", 409)
        kind, side, strength = query.get("kind"), query.get("side"), query.get("strength")
        sides = {"left": e.left, "right": e.right}
        if kind not in CORRECTIONS or (kind == "label") is not (str(side) in sides):
            raise Refused(f"expected a kind of {', '.join(CORRECTIONS)}, a label with a side")
        is_whole = isinstance(strength, int) and not isinstance(strength, bool)
        if strength is not None and not (kind == "label" and is_whole and strength in MARGINS):
            raise Refused("expected a strength of 1 to 4, of a label")
        assert isinstance(strength, int | None)
        change = replace(
            e,
            event_id=str(uuid.uuid4()),
            kind=next(k for k in KINDS if k == kind),
            chosen=sides[str(side)] if kind == "label" else None,
            strength=strength,
            milliseconds=None,
            time=ledger.now(),
            via="owner",
            target=None,
            comment=None,
            text=None,
            sequence=self._ballot.numbers.following(e.annotator),
        )
        self._ballot.correct(change)
        return {"id": change.event_id}

    def remarks(self, query: Call) -> dict[str, object]:
        """Return the flags and notes, those that wait for an owner first."""
        done = {r.event_id for r in reviewed(self._ballot.project_id) if r.done}
        events = [e for e in self._ballot.events() if e.kind == "flag" or e.comment]
        events.sort(key=lambda e: (e.event_id not in done, e.time), reverse=True)
        rows = [
            {"id": e.event_id, "who": e.annotator, "time": e.time, "done": e.event_id in done,
             "prompt": written(self._prompts.get(e.prompt_id, GONE)[:PROMPT_CHARACTERS]), **said(e)}
            for e in events[: 10 * PER_PAGE]
        ]  # fmt: skip
        return {"rows": rows, "open": sum(e.event_id not in done for e in events)}

    def review(self, query: Call) -> dict[str, object]:
        """Note on the Hub that a flag or a note is dealt with, or that it is not."""
        e, done = self._event(query.get("id")), query.get("done")
        if not isinstance(done, bool):
            raise Refused("expected done")
        project_id = self._ballot.project_id

        def build(sha: str, paths: list[str]) -> hub.Change[None]:
            latest = reviewed(project_id, sha, paths)
            if any((r.event_id, r.done) == (e.event_id, done) for r in latest):
                return hub.Change(None)
            rows = [r for r in latest if r.event_id != e.event_id]
            rows.append(Reviewed(e.event_id, done, ledger.now()))
            return hub.Change(None, "Review a flag or a note", {REVIEWED_FILE: ledger.jsonl(rows)})

        hub.update(project_id, "dataset", build)
        return {}


def reviewed(project_id: str, sha: str = "", paths: list[str] | None = None) -> list[Reviewed]:
    """Return what owners have dealt with, at a commit that holds `paths`, or now."""
    if paths is None:
        sha, paths = hub.describe(project_id, "dataset")
    if REVIEWED_FILE not in paths:
        return []
    (file,) = hub.fetch(project_id, "dataset", sha, [REVIEWED_FILE])
    return list(read_file(Reviewed, file, f"{project_id}/{REVIEWED_FILE}"))
