"""The labelling ballot: labels are saved in Argilla first, then published to the Hub."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from palate.argilla.responses import edit
from palate.argilla.store import FullPair, LabelStore
from palate.core.errors import BadInput, PalateError, Supervised
from palate.core.ledger import compacted, standing_judgements
from palate.core.project import REWARD_FILE, Project
from palate.core.rounds import unique
from palate.core.schema import Event, Pair, pairs_of
from palate.label import preferences
from palate.label.assignment import Queue
from palate.label.ranking import contenders
from palate.label.strategies import RewardNotes, strategy_of
from palate.web.ballot.event_parsing import State
from palate.web.ballot.people import Person
from palate.web.ballot.service import Ballot

READY_SECONDS = 120.0  # in which Argilla has to be up to date
EDITS_SECONDS = 900.0  # between checks for edits made in Argilla's own pages


class LabelBallot(Ballot):
    """Labels of `train` and `test` pairs.

    `connect` may be slow: it runs in a thread, and until it returns events wait in the browser.
    """

    def __init__(
        self,
        project: Project,
        connect: Callable[[], LabelStore],
        key: str,
        pause: float = 30.0,
        memory: Path | None = None,
    ):
        super().__init__(project, "labels", queue_of(project), key, pause, project.gold(), memory)
        self.paused = project.settings.paused
        self._connect = connect
        self._store: LabelStore
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._refusal: str | None = None  # why Argilla did not take the last label
        self._argilla = Supervised("argilla", self._turn)
        self.threads.append(self._argilla)
        self._argilla.start()

    def problem(self) -> str | None:
        starting = None if self._ready.is_set() else "Argilla is starting"
        return self._refusal or super().problem() or starting

    @property
    def kept(self) -> str:
        return "They are in Argilla, and go to the Hub when the Space starts again."

    def prepared(self) -> None:
        """Wait until Argilla is up to date; raise PalateError saying why it is not."""
        if not self._ready.wait(READY_SECONDS):
            raise PalateError(self.problem() or "Argilla does not answer")

    def names(self) -> dict[str, str]:
        """Return the annotators' names by pseudonym; none while Argilla cannot be reached."""
        try:
            return self._store.names() if self._ready.is_set() else {}
        except PalateError:
            return {}

    def unreadable(self) -> list[str]:
        """Return what is wrong with the responses in Argilla that cannot be read."""
        return list(self._store.unreadable.values()) if self._ready.is_set() else []

    def store(self) -> LabelStore | None:
        """Return Argilla's client, or None before Argilla is up to date."""
        return self._store if self._ready.is_set() else None

    def correct(self, change: Event) -> None:
        """Add an owner's correction of an answer; Argilla holds it too if it holds the answer."""
        if change.annotator.startswith("p-") and self._queue.holds(change.pair_id):
            if not self._ready.is_set():
                raise PalateError(f"{self.problem()}. Try again in a moment.")
            self._store.save(self._store.annotator(change.annotator), [change])
        self._note([change])
        self.publisher.add([change])

    def over(self, annotator: str) -> bool:
        return self.paused

    def next(
        self,
        person: Person,
        n: int,
        have: Iterable[str],
        device: str = "",
        waiting: Iterable[str] = (),
    ) -> dict[str, object]:
        return super().next(person, n, have, device, waiting) | {"paused": self.paused}

    def take_edits(self) -> int:
        """Turn changes made in Argilla's own pages into events; return how many there were."""
        known: dict[tuple[str, str], list[Event]] = {}
        for e in self.events():
            known.setdefault((e.annotator, e.pair_id), []).append(e)
        ids = {e.event_id for events in known.values() for e in events}
        edits = []
        for response in self._store.responses():
            pair = self._queue.pairs.get(response.pair_id)
            if pair is None:
                continue
            who = response.annotator
            ours = who.startswith("p-")
            pseudonym = who if ours else self.pseudonym_of(f"argilla:{who}")
            if pseudonym in self.people.uncounted:
                continue
            earlier = known.get((pseudonym, pair.id), [])
            try:
                change = edit(response, pair, earlier, self.round, pseudonym, self.aspect)
            except BadInput as error:
                self._store.unreadable[response.id] = str(error)
                continue
            self._store.unreadable.pop(response.id, None)
            if change and change.event_id not in ids:
                change = replace(change, sequence=self.numbers.following(pseudonym))
                if ours:
                    self._store.save(self._store.annotator(pseudonym), [change])
                edits.append(change)
        self._note(edits)
        self.publisher.add(edits)
        return len(edits)

    def close(self, timeout: float = 30.0) -> bool:
        self._argilla.stop()
        self._closing.set()
        self._argilla.join(timeout)  # it takes in the last edits
        return super().close(timeout)

    def hear(self, files: Iterable[str]) -> list[Event]:
        """Read new events from the Hub, and keep them in Argilla's responses from then on."""
        fresh = super().hear(files)
        if self._ready.is_set():
            self._store.learn(fresh)
        return fresh

    def _turn(self) -> bool:
        """Bring Argilla up to date, however long that takes; then check it for edits."""
        closing = self._closing.is_set()
        if closing and not self._ready.is_set():
            return False
        if not self._ready.is_set():
            self._prepare()
        self.take_edits()
        if not closing:
            self._closing.wait(EDITS_SECONDS)
        return not closing

    def _prepare(self) -> None:
        self._store = self._connect()
        # Argilla's own pages ask about the first aspect alone
        question = f"{self.question} ({self.aspect})" if self.aspect else self.question
        self._store.aspect = self.aspect
        self._store.open(self.project_id, question=question, guidelines=self.guidelines)
        self._store.add_pairs([self._full(p) for p in self._queue.all()])
        self._reconcile()
        self._ready.set()

    def _reconcile(self) -> None:
        """Copy events between Argilla and the ledger: each may lack some that the other has."""
        if forgotten := self.people.forgotten:
            self._store.forget(
                lambda who: who in forgotten or self.pseudonym_of(f"argilla:{who}") in forgotten
            )
        saved = self._store.events()
        in_argilla = {e.event_id for e in saved}
        lost: dict[str, list[Event]] = {}
        for e in self.events():
            ours = e.via == "ballot" or e.annotator.startswith("p-")
            if ours and e.event_id not in in_argilla and self._queue.holds(e.pair_id):
                lost.setdefault(e.annotator, []).append(e)
        for annotator, events in lost.items():
            self._store.save(self._store.annotator(annotator), events)
        self._note(saved)
        matter = {e.event_id for e in compacted([*self.events(), *saved])}
        self.publisher.mark_published(e.event_id for e in saved if e.event_id not in matter)
        self.publisher.add(saved)

    def _full(self, pair: Pair) -> FullPair:
        return pair, self._prompts[pair.prompt_id], self._texts[pair.a], self._texts[pair.b]

    def _keep(self, person: Person, events: list[Event]) -> dict[str, State]:
        with self._lock:
            known = [e for e in events if e.event_id in self._known]
        published = self.publisher.is_published
        states: dict[str, State] = {
            e.event_id: "published" if published(e.event_id) else "saved" for e in known
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
            self._refusal = str(error)
            return states | {e.event_id: "waiting" for e in new}
        self._refusal = None
        self._note(new)
        self.publisher.add(new)
        return states | {e.event_id: "saved" for e in new}


def queue_of(project: Project) -> Queue:
    """Return the queue of pairs to label: none on an `eval` prompt, which stays blind."""
    split = {p.id: p.split for p in project.prompts}
    s, labels = project.settings, project.read("labels")
    written = {e.chosen for e in labels if e.kind == "rewrite" and e.round == s.round}
    candidates = [
        c
        for c in unique(project.candidates)
        # a person's better answer was compared when they wrote it
        if split.get(c.prompt_id) in ("train", "test") and c.id not in written
    ]
    candidates = contenders(candidates, standing_judgements(project.labels), s.round)
    gold = [Pair.of(better, worse) for _, better, worse in (g.rows() for g in project.gold())]
    notes = RewardNotes.parse(project.text(REWARD_FILE), f"{project.id}/{REWARD_FILE}")
    pairs = pairs_of(candidates)
    doubted = [(doubt.annotator, doubt.pair_id) for doubt in notes.doubts]
    judged = preferences.judged(project) if s.strategy == "disputed" else []
    again = preferences.contradicted(judged, standing_judgements(project.labels))
    return Queue(
        pairs,
        strategy_of(s.strategy, pairs, notes, preferences.disputes(judged)),
        seed=s.seed,
        wanted=s.annotators_per_pair,
        repeats=s.repeats,
        gold=gold,
        doubted=[*doubted, *((e.annotator, e.pair_id) for e in again)],
    )
