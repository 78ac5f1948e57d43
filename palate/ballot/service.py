"""What a ballot asks and what it does with the answers; knows nothing of HTTP.

`LabelBallot` puts pairs of candidates to people and keeps the labels in Argilla until they are on
the Hub. `EvaluateBallot` puts base against tuned, blind, and keeps the votes on the Hub alone; the
browser holds them until they are there. Both can be killed at any moment: nothing that they handed
out has to be remembered, because an assignment's id follows from the person, the pair and a key.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from palate import ledger
from palate.argilla.store import LabelStore, Row
from palate.assignment import Balanced
from palate.ballot.render import markdown
from palate.errors import PalateError
from palate.ledger import Publisher
from palate.project import Project, unique
from palate.schema import KINDS, Candidate, Event, Pair, Prompt, pairs_of
from palate.verdict import contest

LONGEST_COMMENT = 2000
LONGEST_PAUSE = 24 * 3600 * 1000  # milliseconds; beyond, the clock was wrong
State = Literal["waiting", "saved", "published", "rejected"]


@dataclass(frozen=True)
class Person:
    """Who is at the page; `subject` tells people apart, `name` is for Argilla's eyes only."""

    subject: str
    name: str


@dataclass(frozen=True)
class Receipt:
    """Where an event is: `waiting` (only in the browser), `saved`, `published`, or `rejected`."""

    event_id: str
    state: State
    reason: str | None = None


class Rejected(ValueError):
    """An event that cannot be right, and why."""


class Ballot:
    """Hands out pairs and takes events; `_keep` is what the two kinds do differently."""

    def __init__(
        self, project: Project, config: str, pairs: Sequence[Pair], key: str, pause: float
    ):
        self.question = project.settings.question
        self.round = project.settings.round
        self._key = key.encode()
        self._prompts: dict[str, Prompt] = {p.id: p for p in project.rows("prompts")}
        self._texts: dict[str, Candidate] = {c.id: c for c in project.rows("candidates")}
        self._queue = Balanced(pairs, project.settings.seed)
        self._ids: dict[str, dict[str, Pair]] = {}  # annotator → assignment id → pair
        self._known: dict[str, Event] = {}
        self._lock = threading.RLock()
        published = project.rows(config)
        self._note(published)
        ids = {e.event_id for e in published}
        self.publisher = Publisher(project.id, config, published=ids, interval=pause)

    def problem(self) -> str | None:
        """Return what keeps events from their place, in words, or None."""
        return self.publisher.problem

    def next(self, person: Person, n: int, have: Iterable[str]) -> dict[str, Any]:
        """Return up to `n` pairs for the person, without names, and how far they are."""
        annotator = self.pseudonym(person)
        with self._lock:
            mine = self._assignments(annotator)
            held = {mine[id].id for id in have if id in mine}
            pairs = self._queue.next(annotator, n, held, time.time())
            done = self._queue.done(annotator)
        return {
            "items": [self._item(annotator, pair) for pair in pairs],
            "done": done,
            "total": len(self._queue.pairs),
        }

    def submit(self, person: Person, events: Sequence[Any]) -> list[Receipt]:
        """Take events as the page sends them; one that came before only tells where it is."""
        annotator = self.pseudonym(person)
        receipts: dict[str, Receipt] = {}
        accepted: list[Event] = []
        for raw in events:
            try:
                event = self._read(annotator, raw, accepted)
            except Rejected as error:
                id = str(raw.get("event_id") if isinstance(raw, dict) else "")[:100]
                receipts[id] = Receipt(id, "rejected", str(error))
            else:
                accepted.append(event)
        for event_id, state in self._keep(person, accepted).items():
            receipts[event_id] = Receipt(event_id, state)
        return list(receipts.values())

    def close(self, timeout: float = 30.0) -> bool:
        """Publish what waits; return whether all of it reached the Hub."""
        return self.publisher.close(timeout)

    def pseudonym(self, person: Person) -> str:
        """Return the annotator id that is published; the name cannot be found from it."""
        return "p-" + self._mac("annotator", person.subject)[:10]

    def _keep(self, person: Person, events: list[Event]) -> dict[str, State]:
        raise NotImplementedError

    def _note(self, events: Iterable[Event]) -> None:
        with self._lock:
            fresh = [e for e in events if e.event_id not in self._known]
            self._known |= {e.event_id: e for e in fresh}
            self._queue.add(fresh)

    def _mac(self, *parts: str) -> str:
        return hmac.new(self._key, "\x1f".join(parts).encode(), hashlib.sha256).hexdigest()

    def _assignments(self, annotator: str) -> dict[str, Pair]:
        if annotator not in self._ids:
            pairs = self._queue.pairs.values()
            self._ids[annotator] = {self._mac(annotator, p.id)[:24]: p for p in pairs}
        return self._ids[annotator]

    def _sides(self, annotator: str, pair: Pair) -> tuple[str, str]:
        swapped = int(self._mac(annotator, pair.id)[24:], 16) & 1
        return (pair.b, pair.a) if swapped else (pair.a, pair.b)

    def _item(self, annotator: str, pair: Pair) -> dict[str, str]:
        left, right = self._sides(annotator, pair)
        return {
            "id": self._mac(annotator, pair.id)[:24],
            "prompt": markdown(self._prompts[pair.prompt_id].text),
            "left": markdown(self._texts[left].text),
            "right": markdown(self._texts[right].text),
        }

    def _read(self, annotator: str, raw: Any, beside: Sequence[Event]) -> Event:
        """Return the event that the page means; raises Rejected for one that cannot be right.

        `beside` came in the same request, so an undo may follow what it takes back.
        """
        if not isinstance(raw, dict):
            raise Rejected("expected an object")
        event_id = _text(raw, "event_id", 8, 100)
        with self._lock:
            before = self._known.get(event_id)
            pair = self._assignments(annotator).get(_text(raw, "assignment_id", 1, 100))
        if before is not None:
            if before.annotator != annotator:
                raise Rejected("this event id is taken")
            return before
        if pair is None:
            raise Rejected("this pair is not yours, or no longer in the project")
        left, right = self._sides(annotator, pair)
        kind = raw.get("kind")
        if kind not in KINDS:
            raise Rejected(f"kind: expected one of {', '.join(KINDS)}")
        sides = {"left": left, "right": right}
        if kind == "label" and raw.get("choice") not in sides:
            raise Rejected("choice: expected left or right")
        if kind == "undo":
            named = _text(raw, "target", 8, 100)
            near = {e.event_id: e for e in beside}
            target = self._known.get(named) or near.get(named)
            if target is None or (target.annotator, target.pair_id) != (annotator, pair.id):
                raise Rejected("target: there is nothing of yours to take back")
        comment = raw.get("comment") or None
        if comment is not None and (not isinstance(comment, str) or len(comment) > LONGEST_COMMENT):
            raise Rejected(f"comment: expected text of at most {LONGEST_COMMENT} characters")
        return Event(
            event_id=event_id,
            kind=kind,
            pair_id=pair.id,
            prompt_id=pair.prompt_id,
            left=left,
            right=right,
            chosen=sides[raw["choice"]] if kind == "label" else None,
            strength=_whole(raw, "strength", 1, 4) if kind == "label" else None,
            annotator=annotator,
            milliseconds=_whole(raw, "milliseconds", 0, LONGEST_PAUSE),
            time=ledger.now(),
            round=self.round,
            via="ballot",
            target=raw["target"] if kind == "undo" else None,
            comment=comment,
        )


class LabelBallot(Ballot):
    """Labels of `train` and `test` pairs: saved in Argilla first, then published.

    `connect` may take its time: it is called in a thread, and events wait in the browser.
    """

    def __init__(
        self, project: Project, connect: Callable[[], LabelStore], key: str, pause: float = 30.0
    ):
        split = {p.id: p.split for p in project.rows("prompts")}
        candidates = unique(project.rows("candidates"))
        ours = [c for c in candidates if split.get(c.prompt_id) in ("train", "test")]
        super().__init__(project, "labels", pairs_of(ours), key, pause)
        self._project_id = project.id
        self._connect = connect
        self._store: LabelStore
        self._ready = threading.Event()
        self._why: str | None = "Argilla is starting"
        threading.Thread(target=self._prepare, name="argilla", daemon=True).start()

    def problem(self) -> str | None:
        return self._why or super().problem()

    def _prepare(self) -> None:
        """Bring Argilla up to date, however long it takes to answer."""
        while not self._ready.is_set():
            try:
                self._store = self._connect()
                self._store.open(self._project_id, question=self.question)
                self._store.add_pairs([self._row(p) for p in self._queue.pairs.values()])
                saved = list(self._store.events())
            except (PalateError, OSError) as error:
                self._why = str(error)
                time.sleep(1)
                continue
            # what was saved when an earlier process died goes to the Hub now
            self._note(saved)
            self.publisher.add(saved)
            self._why = None
            self._ready.set()

    def _row(self, pair: Pair) -> Row:
        return (
            pair,
            self._prompts[pair.prompt_id],
            self._texts[pair.a],
            self._texts[pair.b],
        )

    def _keep(self, person: Person, events: list[Event]) -> dict[str, State]:
        published = self.publisher.published
        states: dict[str, State] = {
            e.event_id: "published" if e.event_id in published else "saved"
            for e in events
            if e.event_id in self._known
        }
        new = [e for e in events if e.event_id not in states]
        if not new:
            return states
        if not self._ready.is_set():
            return states | {e.event_id: "waiting" for e in new}
        try:
            self._store.save(self._store.annotator(person.subject, person.name), new)
        except PalateError as error:
            self._why = str(error)
            return states | {e.event_id: "waiting" for e in new}
        self._why = None
        self._note(new)
        self.publisher.add(new)
        return states | {e.event_id: "saved" for e in new}


class EvaluateBallot(Ballot):
    """Blind votes, base against tuned, on `eval` prompts; published straight to the Hub."""

    def __init__(self, project: Project, key: str, pause: float = 30.0):
        contested = contest(project)
        self.identical = contested.identical
        super().__init__(project, "evaluations", contested.pairs, key, pause)

    def _keep(self, person: Person, events: list[Event]) -> dict[str, State]:
        self._note(events)
        self.publisher.add(events)
        published = self.publisher.published
        return {e.event_id: "published" if e.event_id in published else "waiting" for e in events}


def _text(raw: dict, field: str, shortest: int, longest: int) -> str:
    value = raw.get(field)
    if not isinstance(value, str) or not shortest <= len(value) <= longest:
        raise Rejected(f"{field}: expected text of {shortest} to {longest} characters")
    return value


def _whole(raw: dict, field: str, least: int, most: int) -> int | None:
    value = raw.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Rejected(f"{field}: expected a whole number from {least} to {most}")
    return value
