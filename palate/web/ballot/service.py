"""What a ballot asks and what it does with the answers; knows nothing of HTTP.

`LabelBallot` (labelling.py) puts pairs of candidates to people and keeps the labels in Argilla
until they are on the Hub. `EvaluateBallot` (voting.py) puts base against tuned, blind, and keeps
the votes on the Hub alone; the browser holds them until they are there. Both can be killed at any
moment: nothing that they handed out has to be remembered, because an assignment's id follows from
the person, the pair and a key.
"""

import hashlib
import hmac
import json
import statistics
import threading
import time
from collections import ChainMap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from palate.core import hub, paths
from palate.core.ledger import Publisher, standing_judgements
from palate.core.project import Project, read_jsonl
from palate.core.schema import PURPOSES, Candidate, Config, Event, Gold, Prompt
from palate.label.assignment import Question, Queue
from palate.label.ranking import Order
from palate.web.ballot.access import Access, Person
from palate.web.ballot.reading import Rejected, Shown, event_id_of, read
from palate.web.ballot.render import markdown
from palate.web.serving import owner_key

State = Literal["waiting", "saved", "published", "rejected"]


@dataclass(frozen=True)
class Receipt:
    """Where an event is: `waiting` (only in the browser), `saved`, `published`, or `rejected`."""

    event_id: str
    state: State
    reason: str | None = None


class Ballot:
    """Hands out pairs and takes events; `_keep` is what the two kinds do differently."""

    def __init__(
        self,
        project: Project,
        config: Config,
        queue: Queue,
        key: str,
        pause: float,
        gold: Sequence[Gold] = (),
        memory: Path | None = None,
    ):
        self.project_id, self.revision = project.id, project.revision
        self.question = project.settings.question
        self.guidelines = project.guidelines
        self.access = Access.of(project)
        self.round = project.settings.round
        self._key = key.encode()
        self._prompts: dict[str, Prompt] = {p.id: p for p in project.prompts}
        self._texts: dict[str, Candidate] = {c.id: c for c in project.candidates}
        self._gold: dict[str, Gold] = {}  # the better candidate → what the owner says of it
        for g in gold:
            prompt, better, worse = g.rows()
            self._prompts.setdefault(prompt.id, prompt)
            self._texts |= {better.id: better, worse.id: worse}
            self._gold[better.id] = g
        self._queue = queue
        self._memory = memory  # where it lies who has which pair in hand, for a restart
        if memory and memory.exists():
            queue.hold(json.loads(memory.read_text()))
        self._known: dict[str, Event] = {}
        self._lock = threading.RLock()
        self._heard = set(project.paths(config))  # files of events that are known here
        published = project.read(config)
        self._note(published)
        ids = {e.event_id for e in published}
        self.publisher = Publisher(project.id, config, published=ids, interval=pause)

    def problem(self) -> str | None:
        """Return what keeps events from their place, in words, or None."""
        return self.publisher.problem

    def next(
        self,
        person: Person,
        n: int,
        have: Iterable[str],
        device: str = "",
        waiting: Iterable[str] = (),
    ) -> dict[str, Any]:
        """Return up to `n` pairs for the person, without names, and how far they are.

        `have` are the assignments in hand on this device, `waiting` the events that lie there, of
        which `unknown` have not come yet. `total` is an estimate while answers decide what else is
        asked; `later` counts pairs that others hold at this moment.
        """
        annotator = self.pseudonym(person)
        over = self.over(annotator)
        n, have = (0, ()) if over else (n, have)
        held = {q.id for id in have if (q := self._question(annotator, id))}
        now = time.time()
        with self._lock:
            questions = self._queue.next(annotator, n, held, now, device)
            done = self._queue.done(annotator)
            left, later = (0, 0) if over else self._queue.left(annotator, device, now)
            if self._memory:
                paths.replace(self._memory, json.dumps(self._queue.held(now)))
        return {
            "items": [self._item(annotator, q) for q in questions],
            "done": done,
            "total": done + left,
            "later": later,
            "unknown": [id for id in waiting if id not in self._known],
        }

    def submit(self, person: Person, events: Sequence[Any]) -> list[Receipt]:
        """Take events as the page sends them; one that came before only tells where it is."""
        annotator = self.pseudonym(person)
        receipts: dict[str, Receipt] = {}
        accepted: dict[str, Event] = {}
        for raw in events:
            try:
                event = self._read(annotator, raw, accepted)
            except Rejected as error:
                given = str(raw.get("event_id") if isinstance(raw, dict) else "")[:100]
                id = given.encode("utf-8", "replace").decode()
                receipts[id] = Receipt(id, "rejected", str(error))
            else:
                accepted[event.event_id] = event
        for event_id, state in self._keep(person, list(accepted.values())).items():
            receipts[event_id] = Receipt(event_id, state)
        return list(receipts.values())

    def figures(self, person: Person) -> dict[str, Any]:
        """Return what the person did so far: for their own eyes at the end, nobody else's."""
        annotator = self.pseudonym(person)
        with self._lock:
            mine = [e for e in self._known.values() if e.annotator == annotator]
        asked, repeats = standing_judgements(mine), standing_judgements(mine, "repeat")
        took = [e.milliseconds / 1000 for e in asked if e.milliseconds is not None]
        first = {e.pair_id: e for e in asked}
        again = [e for e in repeats if e.pair_id in first]
        by_prompt: dict[str, list[Event]] = {}
        for e in asked:
            by_prompt.setdefault(e.prompt_id, []).append(e)
        return {
            "judged": len(asked),
            "prompts": len(by_prompt),
            "seconds": round(statistics.median(took), 1) if took else None,
            "implied": sum(len(list(Order(said).implied())) for said in by_prompt.values()),
            "repeats": len(again),
            "same": sum(e.statements() == _unsided(first[e.pair_id], e) for e in again),
        }

    def events(self) -> list[Event]:
        """Return all events, published or not."""
        with self._lock:
            return list(self._known.values())

    def progress(self) -> tuple[int, int]:
        """Return how many answers there are, and about how many there will be."""
        with self._lock:
            return self._queue.progress()

    def texts(self) -> list[Candidate]:
        """Return all candidates that may be shown."""
        return list(self._texts.values())

    def prompts(self) -> dict[str, Prompt]:
        """Return all prompts by id."""
        return self._prompts

    def standing(self) -> list[Event]:
        """Return the judgements that stand."""
        return standing_judgements(self.events())

    def names(self) -> dict[str, str]:
        """Return the annotators' names by pseudonym, as far as they are known here."""
        return {}

    def over(self, annotator: str) -> bool:
        """Tell whether the person gets no more pairs."""
        return False

    def warm_up(self) -> None:
        """Do once what would make the first visitor wait."""

    def close(self, timeout: float = 30.0) -> bool:
        """Publish what waits; return whether all of it reached the Hub."""
        return self.publisher.close(timeout)

    def pseudonym(self, person: Person) -> str:
        """Return the annotator id that is published; the name cannot be found from it."""
        return self.pseudonym_of(person.subject)

    def owner_key(self) -> str:
        return owner_key(self._key.decode())

    def pseudonym_of(self, subject: str) -> str:
        return "p-" + self._mac("annotator", subject)[:10]

    def _keep(self, person: Person, events: list[Event]) -> dict[str, State]:
        raise NotImplementedError

    def _note(self, events: Iterable[Event]) -> None:
        with self._lock:
            fresh = [e for e in events if e.event_id not in self._known]
            self._known |= {e.event_id: e for e in fresh}
            self._queue.add(fresh)

    def hear(self, files: Iterable[str]) -> list[Event]:
        """Take in the events of those of the project's files that are new; return them."""
        config = self.publisher.config
        new = sorted(p for p in files if p.startswith(f"{config}/") and p not in self._heard)
        if not new:
            return []
        local = hub.fetch(self.project_id, "dataset", "main", new)
        events = [
            event
            for path, file in zip(new, local, strict=True)
            for event in read_jsonl(config, file, f"{self.project_id}/{path}")
        ]
        with self._lock:
            fresh = [e for e in events if e.event_id not in self._known]
            self._note(fresh)
        self.publisher.published.update(e.event_id for e in events)
        self._heard.update(new)
        return fresh

    def _mac(self, *parts: str) -> str:
        return hmac.new(self._key, "\x1f".join(parts).encode(), hashlib.sha256).hexdigest()

    def _assignment(self, annotator: str, q: Question) -> str:
        """Return what stands for the question on the page: nobody else can answer by it."""
        return f"{q.id}:{self._mac(annotator, q.id)[:16]}"

    def _question(self, annotator: str, assignment: object) -> Question | None:
        purpose, _, rest = str(assignment).partition(":")
        id = rest.partition(":")[0]
        pair = self._queue.pair(id, purpose)
        if pair is None or purpose not in PURPOSES:
            return None
        q = Question(pair, purpose)
        ours = self._assignment(annotator, q).encode()
        return q if hmac.compare_digest(ours, str(assignment).encode("utf-8", "replace")) else None

    def _shown(self, annotator: str, q: Question) -> Shown:
        swapped = int(self._mac(annotator, q.pair.id)[24:], 16) & 1
        if q.purpose == "repeat":
            swapped = 1 - swapped
        left, right = (q.pair.b, q.pair.a) if swapped else (q.pair.a, q.pair.b)
        return Shown(q, self._texts[left], self._texts[right], annotator)

    def _item(self, annotator: str, q: Question) -> dict[str, Any]:
        shown = self._shown(annotator, q)
        item: dict[str, Any] = {
            "id": self._assignment(annotator, q),
            "prompt": markdown(self._prompts[q.pair.prompt_id].text),
            "left": markdown(shown.left.text),
            "right": markdown(shown.right.text),
        }
        if q.purpose == "gold":
            answer = "left" if shown.left.id in self._gold else "right"
            gold = self._gold[q.pair.a if q.pair.a in self._gold else q.pair.b]
            item["gold"] = {"answer": answer, "why": markdown(gold.why or "")}
        return item

    def _read(self, annotator: str, raw: Any, beside: dict[str, Event]) -> Event:
        """Return the event that the page means; raises Rejected for one that cannot be right.

        `beside` came in the same request, so an undo may follow what it takes back.
        """
        event_id = event_id_of(raw)
        with self._lock:
            before = self._known.get(event_id)
        if before is not None:
            if before.annotator != annotator:
                raise Rejected("this event id is taken")
            return before
        question = self._question(annotator, raw.get("assignment_id"))
        if question is None:
            raise Rejected("this pair is not yours, or no longer in the project")
        return read(
            raw, self._shown(annotator, question), ChainMap(beside, self._known), self.round
        )


def _unsided(said: Event, like: Event) -> list[tuple[str, str, bool]]:
    """Return what was said, with the sides as `like` shows them: a tie names both in order."""
    return said.statements() if said.left == like.left else said.swap().statements()
