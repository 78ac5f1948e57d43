"""The questions that a ballot asks and what it does with the answers; independent of HTTP.

`LabelBallot` (web/labelling) asks about pairs of candidates and keeps the labels in Argilla until
the Hub has them. `EvaluateBallot` (web/voting) compares base and tuned model blind; its votes stay
in the browser until the Hub has them. Both survive a kill at any moment, because an assignment's id
follows from the person, the pair and a key: nothing that was handed out has to be remembered.
"""

import hashlib
import hmac
import threading
import time
from abc import ABC, abstractmethod
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from palate.core import paths
from palate.core.errors import Supervised
from palate.core.ledger import Publisher, read_events, standing_judgements
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Event, EventConfig, Gold, Prompt
from palate.label.agreement import own_figures
from palate.label.assignment import Question, Queue
from palate.web.ballot.event_parsing import (
    Numbers,
    Receipt,
    Rejected,
    Shown,
    State,
    Whole,
    event_id_of,
    parse_event,
    rejection,
    warm_up,
)
from palate.web.ballot.people import Access, Budgets, Person, owner_key, pseudonyms, seal, unseal
from palate.web.ballot.render import markdown, shown_pair
from palate.web.ballot.walls import IMAGE_FILE


class Ballot(ABC):
    """Hands out pairs and takes events; subclasses decide in `_keep` where events are stored.

    `project` is read once. `key` makes pseudonyms and assignment ids. `pause` is the time between
    commits, in seconds. `memory` is a file that lets a restart know who holds which pair.
    """

    def __init__(
        self,
        project: Project,
        config: EventConfig,
        queue: Queue,
        key: str,
        pause: float,
        gold: Sequence[Gold] = (),
        memory: Path | None = None,
    ):
        self.project_id, self.revision = project.id, project.revision
        self.images = frozenset(filter(IMAGE_FILE.fullmatch, project.files))
        self.question = project.settings.question or Settings().question
        self.guidelines, self.steps = project.guidelines, project.settings.steps
        self.access = Access.of(project)
        self.people = project.people
        self.round = project.settings.round
        self.aspects, self.aspect = project.settings.aspects, project.aspect
        self._whole = Whole(self.aspects)
        self._key = key.encode()
        self._prompts: dict[str, Prompt] = {p.id: p for p in project.prompts}
        self._texts: dict[str, Candidate] = {c.id: c for c in project.candidates}
        self._gold: dict[str, Gold] = {}  # id of the better candidate → its warm-up
        for g in gold:
            prompt, better, worse = g.rows()
            self._prompts.setdefault(prompt.id, prompt)
            self._texts |= {better.id: better, worse.id: worse}
            self._gold[better.id] = g
        self._queue, self._memory = queue, memory
        queue.hold(paths.kept(memory), time.monotonic(), time.time())
        self._known: dict[str, Event] = {}
        self.budgets, self.numbers = Budgets(), Numbers()
        self._lock = threading.RLock()  # guards _known and _queue
        self._files_read = set(project.paths(config))
        published = project.read(config)
        self._note(published)
        ids = {e.event_id for e in published}
        self.publisher = Publisher(project.id, config, published=ids, interval=pause)
        self.threads: list[Supervised] = []  # others that must not end

    def problem(self) -> str | None:
        """Return, in words, what keeps events from reaching the Hub; None if nothing does."""
        for thread in self.threads:
            if thread.problem or thread.died():
                return thread.problem or f"The thread {thread.name!r} ended. Restart the Space."
        return self.publisher.problem()

    @property
    @abstractmethod
    def kept(self) -> str:
        """Where events are that are not on the Hub yet, in a sentence."""

    def next(
        self,
        person: Person,
        n: int,
        have: Iterable[str],
        device: str = "",
        waiting: Iterable[str] = (),
    ) -> dict[str, object]:
        """Return up to `n` pairs for the person, without model names, and their progress.

        `have`: ids of the assignments that this device holds. `waiting`: ids of the events that the
        Hub has not confirmed to it. In the result, `unknown` lists those of `waiting` that this
        server lacks, `total` is an estimate while answers decide what is asked next, and `later`
        counts the pairs that other people hold.
        """
        annotator = self.pseudonym(person)
        over = self.over(annotator)
        n, have = (0, ()) if over else (n, have)
        held = {q.id for assignment in have if (q := self._question(annotator, assignment))}
        now = time.monotonic()
        with self._lock:
            questions = self._queue.next(annotator, n, held, now, device)
            # the queue's order would tell which pairs are checks
            questions.sort(key=lambda q: self._assignment(annotator, q))
            done = self._queue.done(annotator)
            left, later = (0, 0) if over else self._queue.left(annotator, device, now)
            unknown = [event_id for event_id in waiting if event_id not in self._known]
            paths.keep(self._memory, self._queue.held(now, time.time()))
        return {
            "items": [self._item(annotator, q) for q in questions],
            "done": done,
            "total": done + left,
            "later": later,
            "unknown": unknown,
            "sequence": self.numbers.highest(annotator),
        }

    def submit(self, person: Person, events: Sequence[object]) -> list[Receipt]:
        """Store events; return where each is. Raises OverBudget, storing none, for too much."""
        annotator = self.pseudonym(person)
        receipts: dict[str, Receipt] = {}
        accepted: dict[str, Event] = {}
        for raw in events:
            try:
                event = self._parse(annotator, raw, accepted)
                accepted[event.event_id] = event
            except Rejected as error:
                receipt = rejection(raw, str(error))
                receipts[receipt.event_id] = receipt
        with self._lock:
            new = [e for e in accepted.values() if e.event_id not in self._known]
            early = self._whole.early(new)
            self.budgets.spend(annotator, new, time.monotonic())
        states = self._keep(person, [e for e in accepted.values() if e.event_id not in early])
        states |= dict.fromkeys(early, "waiting")
        for event_id, state in states.items():
            e = accepted[event_id]
            told = None if state == "waiting" else warm_up(e, self._gold, self.aspect)
            receipts[event_id] = Receipt(event_id, state, warm_up=told)
        with self._lock:  # the page sends again what could not be kept
            self.budgets.give_back(annotator, [e for e in new if e.event_id not in self._known])
        return list(receipts.values())

    def figures(self, person: Person) -> dict[str, object]:
        """Return what the person has done so far; only they see it."""
        own = self.pseudonym(person), self.aspect
        return own_figures([e for e in self.events() if (e.annotator, e.aspect) == own])

    def events(self) -> list[Event]:
        """Return all events, published or not."""
        with self._lock:
            return list(self._known.values())

    def progress(self) -> tuple[int, int]:
        """Return the number of answers, and an estimate of how many there will be."""
        with self._lock:
            return self._queue.progress()

    def texts(self) -> list[Candidate]:
        """Return all candidates that may be shown."""
        return list(self._texts.values())

    def prompts(self) -> dict[str, Prompt]:
        """Return all prompts by id."""
        return self._prompts

    def standing(self) -> list[Event]:
        """Return the standing judgements."""
        return standing_judgements(self.events())

    def may_answer(self, person: Person) -> bool:
        """Tell whether the person may answer: the owner can close a project to anybody."""
        closed = self.people.uncounted
        return self.access.may_label(person) and self.pseudonym(person) not in closed

    def over(self, annotator: str) -> bool:
        """Tell whether the person gets no more pairs."""
        return False

    def arrive(self, person: Person, cookies: Mapping[str, str]) -> bool:
        """Take note of what the person's browser has shown; tell whether that ends their part."""
        return False

    def warm_up(self) -> None:
        """Import what renders the pages, so that the first visitor need not wait for it."""
        markdown("")

    def close(self, timeout: float = 30.0) -> bool:
        """Publish what is waiting; return whether all of it reached the Hub."""
        return self.publisher.close(timeout)

    def pseudonym(self, person: Person) -> str:
        """Return the annotator id that is published; it does not reveal the name."""
        return self.pseudonym_of(person.subject)

    def pseudonym_of(self, subject: str) -> str:
        return pseudonyms(self._key, subject, self.people)[-1]

    def browser_key(self) -> str:
        """Return under which name a browser keeps answers: another for each project and Space."""
        return self._mac("browser", self.project_id, self.publisher.config)[:12]

    def owner_key(self) -> str:
        return owner_key(self._key.decode())

    @abstractmethod
    def _keep(self, person: Person, events: list[Event]) -> dict[str, State]:
        """Store the events; return each one's state by id."""

    def hear(self, files: Iterable[str]) -> list[Event]:
        """Read the events in those of the project's `files` that are new; return the new events."""
        prefix, read = f"{self.publisher.config}/", self._files_read
        new = sorted(path for path in files if path.startswith(prefix) and path not in read)
        if not new:
            return []
        events = read_events(self.project_id, new)
        fresh = self._note(events)
        self.publisher.mark_published(e.event_id for e in events)
        self._files_read.update(new)
        return fresh

    def _note(self, events: Iterable[Event]) -> list[Event]:
        """Add the events of people who count to what is known; return those that are new."""
        with self._lock:
            fresh = [e for e in self.people.counted(events) if e.event_id not in self._known]
            self.budgets.note(fresh)
            self.numbers.note(fresh)
            self._known |= {e.event_id: e for e in fresh}
            self._whole.note(fresh)
            # the first aspect decides what is asked next: the page sends its answer last
            self._queue.add(e for e in fresh if e.aspect == self.aspect or e.kind == "flag")
        return fresh

    def _mac(self, *parts: str) -> str:
        return hmac.new(self._key, "\x1f".join(parts).encode(), hashlib.sha256).hexdigest()

    def _assignment(self, annotator: str, q: Question) -> str:
        """Return the question's id on the page, with which nobody else can answer it."""
        return seal(self._key, annotator, q.purpose, q.pair.id)

    def _question(self, annotator: str, assignment: object) -> Question | None:
        """Return the question of an assignment id, or None if it is not this person's."""
        opened = unseal(self._key, annotator, str(assignment))
        if opened is None:
            return None
        purpose, pair_id = opened
        pair = self._queue.pair(pair_id, purpose)
        return Question(pair, purpose) if pair else None

    def _shown(self, annotator: str, q: Question) -> Shown:
        swapped = int(self._mac(annotator, q.pair.id)[24:], 16) & 1
        swapped ^= q.purpose in ("repeat", "second")
        left, right = (q.pair.b, q.pair.a) if swapped else (q.pair.a, q.pair.b)
        return Shown(q, self._texts[left], self._texts[right], annotator, self.aspects)

    def _item(self, annotator: str, q: Question) -> dict[str, object]:
        """Return a question as the page shows it."""
        shown, messages = self._shown(annotator, q), self._prompts[q.pair.prompt_id].prompt
        texts = shown_pair(messages, shown.left.text, shown.right.text)
        return {"id": self._assignment(annotator, q)} | texts

    def _parse(self, annotator: str, raw: object, batch: Mapping[str, Event]) -> Event:
        """Return the event that the page describes; raise Rejected if it cannot be valid.

        `batch` holds the events of the same request: an undo may follow its target there.
        """
        event_id = event_id_of(raw)
        assert isinstance(raw, dict)
        if known := self._known.get(event_id):
            if known.annotator != annotator:
                raise Rejected("this event id is taken")
            return known
        question = self._question(annotator, raw.get("assignment_id"))
        if question is None:
            raise Rejected("this pair is not yours, or no longer in the project")
        targets, number = ChainMap(dict(batch), self._known), self.numbers.following(annotator)
        event = parse_event(raw, self._shown(annotator, question), targets, self.round, number)
        if self.budgets.is_full(event, batch.values()):
            raise Rejected("you have changed this answer too often")
        return event
