"""The labelling ballot: labels are saved in Argilla first, then published."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from palate.argilla.edits import edit
from palate.argilla.store import LabelStore, Row
from palate.core.errors import PalateError
from palate.core.project import Project, unique
from palate.core.schema import Event, Pair, pairs_of
from palate.label.assignment import Queue
from palate.label.strategies import STRATEGIES
from palate.web.ballot.access import Person
from palate.web.ballot.service import Ballot, State
from palate.web.serving import secret_of

LOOK = 900.0  # seconds between looks at what was changed in Argilla's own UI


class LabelBallot(Ballot):
    """Labels of `train` and `test` pairs.

    `connect` may take its time: it is called in a thread, and events wait in the browser.
    """

    def __init__(
        self,
        project: Project,
        connect: Callable[[], LabelStore],
        key: str,
        pause: float = 30.0,
        memory: Path | None = None,
    ):
        super().__init__(project, "labels", _queue(project), key, pause, project.gold(), memory)
        self._connect = connect
        self._store: LabelStore
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._why: str | None = "Argilla is starting"
        threading.Thread(target=self._prepare, name="argilla", daemon=True).start()

    def problem(self) -> str | None:
        return self._why or super().problem()

    def prepared(self, timeout: float = 120.0) -> None:
        """Wait until Argilla is up to date; raises PalateError saying why it is not."""
        if not self._ready.wait(timeout):
            raise PalateError(self._why or "Argilla does not answer")

    def names(self) -> dict[str, str]:
        """Return the annotators' names by pseudonym, as far as Argilla can be asked now."""
        try:
            return self._store.names() if self._ready.is_set() else {}
        except PalateError:
            return {}

    def store(self) -> LabelStore | None:
        """Return Argilla's client, or None before Argilla is up to date."""
        return self._store if self._ready.is_set() else None

    def look(self) -> int:
        """Take over what was changed in Argilla's own UI; return how many edits those were."""
        with self._lock:
            known: dict[tuple[str, str], list[Event]] = {}
            for e in self._known.values():
                known.setdefault((e.annotator, e.pair_id), []).append(e)
        found = []
        for response in self._store.responses():
            pair = self._queue.pairs.get(response.pair_id)
            if pair is None:
                continue
            who = response.annotator
            ours = who.startswith("p-")
            pseudonym = who if ours else self.pseudonym_of(f"argilla:{who}")
            said = known.get((pseudonym, pair.id), [])
            change = edit(response, pair, said, self.round, pseudonym)
            if change and change.event_id not in self._known:
                if ours:
                    self._store.save(self._store.annotator(pseudonym), [change])
                found.append(change)
        self._note(found)
        self.publisher.add(found)
        return len(found)

    def close(self, timeout: float = 30.0) -> bool:
        self._closing.set()
        if self._ready.is_set():
            try:
                self.look()
            except PalateError as error:
                self._why = str(error)
        return super().close(timeout)

    def _prepare(self) -> None:
        """Bring Argilla up to date, however long it takes to answer; then look at it regularly."""
        while not (self._ready.is_set() or self._closing.is_set()):
            try:
                self._store = self._connect()
                self._store.open(
                    self.project_id, question=self.question, guidelines=self.guidelines
                )
                self._store.add_pairs([self._row(p) for p in self._queue.all()])
                self._reconcile()
                self._ready.set()
                self.look()
            except (PalateError, OSError) as error:
                self._why = str(error)
                time.sleep(1)
                continue
            self._why = None
        while not self._closing.wait(LOOK):
            try:
                self.look()
            except PalateError as error:
                self._why = str(error)

    def hear(self, files: Iterable[str]) -> list[Event]:
        """Take in what is new on the Hub, so that what this Space saves in Argilla keeps it."""
        fresh = super().hear(files)
        if self._ready.is_set():
            self._store.learn(fresh)
        return fresh

    def _reconcile(self) -> None:
        """Bring Argilla and the ledger to the same: either may have lost what the other holds."""
        saved = self._store.events()
        there = {e.event_id for e in saved}
        lost: dict[str, list[Event]] = {}
        for e in self.events():
            ours = e.via == "ballot" or e.annotator.startswith("p-")
            if ours and e.event_id not in there and self._queue.holds(e.pair_id):
                lost.setdefault(e.annotator, []).append(e)
        for annotator, events in lost.items():
            self._store.save(self._store.annotator(annotator), events)
        self._note(saved)
        self.publisher.add(saved)

    def _row(self, pair: Pair) -> Row:
        texts = self._texts[pair.a], self._texts[pair.b]
        return pair, self._prompts[pair.prompt_id], *texts

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
            annotator = self._store.annotator(self.pseudonym(person), person.name)
            self._store.save(annotator, new)
        except PalateError as error:
            self._why = str(error)
            return states | {e.event_id: "waiting" for e in new}
        self._why = None
        self._note(new)
        self.publisher.add(new)
        return states | {e.event_id: "saved" for e in new}


def take_edits(project_id: str, url: str, key: str) -> int:
    """Bring what was changed in that Argilla's own UI to the ledger; return how many edits."""

    def edits() -> int:
        return sum(e.via == "argilla" for e in ballot.events())

    project = Project.load(project_id)
    with closing(LabelStore(url, key)) as store:
        ballot = LabelBallot(project, lambda: store, secret_of(project_id), pause=0.0)
        before = edits()
        ballot.prepared()
        if not ballot.close():
            raise PalateError(f"The edits are not on the Hub: {ballot.problem()}")
    return edits() - before


def _queue(project: Project) -> Queue:
    """Return the queue of the pairs that are labelled: none of a prompt that stays blind."""
    split = {p.id: p.split for p in project.prompts}
    written = {e.chosen for e in project.labels if e.kind == "rewrite"}
    candidates = [
        c
        for c in unique(project.candidates)
        # who wrote a better one has said where it stands; it is not asked again
        if split.get(c.prompt_id) in ("train", "test") and c.id not in written
    ]
    s = project.settings
    gold = [Pair.of(better, worse) for _, better, worse in (g.rows() for g in project.gold())]
    return Queue(
        pairs_of(candidates),
        STRATEGIES[s.strategy](),
        seed=s.seed,
        wanted=s.annotators_per_pair,
        repeats=s.repeats,
        gold=gold,
    )
