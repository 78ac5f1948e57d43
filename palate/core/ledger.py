"""The event ledger: whose events count, which judgements stand, and events published to the Hub.

`People` and `standing_judgements` are pure. `Publisher` commits events in batches, each batch as a
new file, so that two writers never change each other's rows.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from palate.core import hub
from palate.core.errors import Supervised
from palate.core.schema import Config, Contradiction, Decision, Event, Purpose, Time, to_json
from palate.core.typed import read_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PEOPLE_FILE = "people.jsonl"
NO_JUDGEMENT = ("undo", "flag")
LATE_SECONDS = 120.0  # beyond the pause between commits, after which a wait is a problem
AI_FOLDER = "ai"  # of the dataset: files with the answers of language models
JUDGE = "judge"  # how a language model's answers came; they are nobody's


def now() -> str:
    """Return the time in the events' format: UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Statement:
    """What an owner has decided about one person. A project's statements are in people.jsonl."""

    annotator: str
    decision: Decision
    time: Time

    def contradiction(self) -> Contradiction:
        return None


@dataclass(frozen=True)
class People:
    """Whose events count, from the owner's statements in their order.

    An excluded person's events count nowhere until the owner includes the person again. A forgotten
    person's events are void for ever: who is included again after that gets a new pseudonym.
    """

    excluded: frozenset[str] = frozenset()
    forgotten: frozenset[str] = frozenset()
    erased: frozenset[str] = frozenset()  # those of the forgotten who are gone from history too
    back: frozenset[str] = frozenset()  # those of the forgotten who may label again

    @classmethod
    def of(cls, statements: Iterable[Statement]) -> "People":
        closed: set[str] = set()
        forgotten: set[str] = set()
        erased: set[str] = set()
        for s in statements:
            if s.decision == "erased":
                erased.add(s.annotator)
            elif s.decision == "include":
                closed.discard(s.annotator)
            else:
                closed.add(s.annotator)
            if s.decision == "forget":
                forgotten.add(s.annotator)
                erased.discard(s.annotator)
        return cls(
            excluded=frozenset(closed - forgotten),
            forgotten=frozenset(forgotten),
            erased=frozenset(erased),
            back=frozenset(forgotten - closed),
        )

    @classmethod
    def at(cls, repo: str, revision: str, paths: Sequence[str]) -> "People":
        """Read the statements at a commit of the dataset that holds `paths`."""
        return cls.of(statements(repo, revision, paths))

    @property
    def uncounted(self) -> frozenset[str]:
        return self.excluded | self.forgotten

    def counted(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """Return the events of people who count; a judge is none of them, wherever it answered."""
        uncounted = self.uncounted
        return tuple(e for e in events if e.annotator not in uncounted and e.via != JUDGE)


def statements(repo: str, revision: str, paths: Sequence[str]) -> list[Statement]:
    """Return the statements at a commit of the dataset that holds `paths`."""
    if PEOPLE_FILE not in paths:
        return []
    (file,) = hub.fetch(repo, "dataset", revision, [PEOPLE_FILE])
    return list(read_file(Statement, file, f"{repo}/{PEOPLE_FILE}"))


def read_events(repo: str, paths: Sequence[str]) -> list[Event]:
    """Return the events in these files of the dataset as it is now."""
    files = zip(paths, hub.fetch(repo, "dataset", "main", paths), strict=True)
    return [e for path, file in files for e in read_file(Event, file, f"{repo}/{path}")]


def place(e: Event) -> tuple[int, str, str]:
    """Return the event's place among those of its annotator, by which they are sorted.

    Two devices that know nothing of each other may give the same number. Then the id decides: it
    is the same everywhere, unlike the time at which a server received the event.
    """
    return (e.sequence, "", e.event_id) if e.sequence else (0, e.time, e.event_id)


def standing_judgements(events: Iterable[Event], purpose: Purpose = "ask") -> list[Event]:
    """Return the judgements for a purpose that were not undone or replaced, in time order.

    An event counts once, however often it arrives. An `undo` takes back its target. An annotator's
    last judgement of a pair, in an aspect, replaces the earlier ones. Flags are remarks.
    """
    once = _once(events)
    undone = _undone(once)
    standing: dict[tuple[str, str, str | None], Event] = {}
    for e in once.values():
        if e.purpose == purpose and e.kind not in NO_JUDGEMENT and e.event_id not in undone:
            key = e.annotator, e.pair_id, e.aspect
            last = standing.setdefault(key, e)
            if last is not e and place(e) > place(last):
                standing[key] = e
    return sorted(standing.values(), key=lambda e: (e.time, e.event_id))


def compacted(events: Iterable[Event]) -> list[Event]:
    """Return the events without judgements that were replaced twice and never taken back.

    The page takes an answer back before it takes another one, so it makes no such events. What one
    undo could bring back stays.
    """
    once = _once(events)
    undone = _undone(once)
    standing: dict[tuple[str, str, str, str | None], list[Event]] = {}
    for e in once.values():
        if e.kind not in NO_JUDGEMENT and e.event_id not in undone:
            standing.setdefault((e.annotator, e.pair_id, e.purpose, e.aspect), []).append(e)
    replaced = {e.event_id for same in standing.values() for e in sorted(same, key=place)[:-2]}
    return [e for e in once.values() if e.event_id not in replaced]


def _once(events: Iterable[Event]) -> dict[str, Event]:
    """Return the events by id: of copies that differ, the first in the annotator's order.

    Of copies without a sequence it is the last, as it was before there were sequences.
    """
    once: dict[str, Event] = {}
    for e in events:
        other = once.setdefault(e.event_id, e)
        if other is not e and (
            e.sequence is None
            or (other.sequence and (place(e), e.time) < (place(other), other.time))
        ):
            once[e.event_id] = e
    return once


def _undone(once: Mapping[str, Event]) -> set[str]:
    """Return the ids of the events that their annotator took back."""
    return {
        e.target
        for e in once.values()
        if e.kind == "undo"
        and e.target is not None
        and e.target in once
        and once[e.target].annotator == e.annotator
    }


def jsonl(rows: "Iterable[DataclassInstance]") -> str:
    """Return a line of JSON for each row, the same bytes for the same rows."""
    return "".join(to_json(row) + "\n" for row in rows)


def event_file(config: Config, prefix: str = "") -> str:
    """Return the path of a new file: it sorts by time and is never the same twice."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")
    return f"{config}/{prefix}{stamp}-{secrets.token_hex(4)}.jsonl"


class Publisher:
    """Commits events to the project's repo in a background thread, at most once per `interval` s.

    `published` are the ids of events that are on the Hub already. Events that cannot be committed
    are tried again. Safe to call from any thread.
    """

    def __init__(
        self,
        repo: str,
        config: Config,
        *,
        published: Iterable[str] = (),
        interval: float = 30.0,
        on_publish: Callable[[list[Event]], None] = lambda events: None,
    ) -> None:
        self.repo, self.config, self.interval = repo, config, interval
        self._published = set(published)
        self._waiting: dict[str, Event] = {}
        self._since = time.monotonic()  # when an event last reached the Hub, or none waited
        self._change = threading.Condition()
        self._closing = False
        self._on_publish = on_publish
        self.thread = Supervised("publisher", self._turn)
        self.thread.start()

    def problem(self) -> str | None:
        """Return, in words for the page, what keeps events from the Hub; None if nothing does."""
        if self.thread.problem:
            return self.thread.problem
        with self._change:
            waiting, seconds = len(self._waiting), time.monotonic() - self._since
        if waiting and (self.thread.died() or seconds > self.interval + LATE_SECONDS):
            events = "1 event has" if waiting == 1 else f"{waiting:,} events have"
            return f"{events} waited {seconds:.0f} s for the Hub. Restart the Space."
        return None

    def add(self, events: Iterable[Event]) -> None:
        """Queue events; those already published or queued are passed over."""
        with self._change:
            if not self._waiting:
                self._since = time.monotonic()
            for e in events:
                if e.event_id not in self._published:
                    self._waiting.setdefault(e.event_id, e)
            self._change.notify_all()

    def is_published(self, event_id: str) -> bool:
        """Tell whether the event is on the Hub."""
        with self._change:
            return event_id in self._published

    def mark_published(self, event_ids: Iterable[str]) -> None:
        """Note events that reached the Hub another way, such as from another Space."""
        with self._change:
            for event_id in event_ids:
                self._published.add(event_id)
                self._waiting.pop(event_id, None)

    def waiting(self) -> list[Event]:
        """Return the events that are not on the Hub yet."""
        with self._change:
            return list(self._waiting.values())

    def close(self, timeout: float = 60.0) -> bool:
        """Publish what waits and stop; return whether everything reached the Hub in time."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self.thread.stop()
        self.thread.join(timeout)
        return not self._waiting

    def _turn(self) -> bool:
        """Publish a batch; return whether there may be more."""
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closing)
            # a moment more lets a batch gather: Hub commits are rate-limited
            self._change.wait_for(lambda: self._closing, self.interval)
            batch = list(self._waiting.values())
        if batch:
            self._publish(batch)
        with self._change:
            return bool(self._waiting) or not self._closing

    def _publish(self, batch: list[Event]) -> None:
        events, candidates = event_file(self.config), event_file("candidates", "written-")

        def build(head: str, paths: list[str]) -> hub.Change[None]:
            # on a head whose statements are known: nothing of a forgotten person is added again
            forgotten = People.at(self.repo, head, paths).forgotten
            rows = [e for e in compacted(batch) if e.annotator not in forgotten]
            if not rows or events in paths:  # the answer to an earlier try was lost
                return hub.Change(None)
            message = f"Add {len(rows)} event{'s' * (len(rows) != 1)}"
            files = {events: jsonl(rows)}
            if written := [c for e in rows if (c := e.written())]:
                files[candidates] = jsonl(written)
            return hub.Change(None, message, files)

        hub.update(self.repo, "dataset", build)
        with self._change:
            for e in batch:
                self._waiting.pop(e.event_id, None)
            self._published.update(e.event_id for e in batch)
            self._since = time.monotonic()
        self._on_publish(batch)
