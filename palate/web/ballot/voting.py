"""The blind comparison: base against tuned, and the verdict for those who have stopped voting."""

import hmac
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from palate.core import paths
from palate.core.project import Project
from palate.core.schema import Event, model_of
from palate.evaluate.counting import count_votes
from palate.evaluate.loading import pairs_to_compare
from palate.evaluate.pictures import verdict_pictures
from palate.evaluate.ratings import Rating, ratings
from palate.evaluate.verdict import Verdict
from palate.label.assignment import Queue
from palate.label.strategies import Informative
from palate.web.ballot.access import Person
from palate.web.ballot.service import Ballot, Receipt, State


class EvaluateBallot(Ballot):
    """Blind votes, base against tuned, on `eval` prompts; published straight to the Hub."""

    def __init__(self, project: Project, key: str, pause: float = 30.0, memory: Path | None = None):
        self._compared = compared = pairs_to_compare(project)
        self.model_repo = project.model_repo
        s = project.settings
        side = {c.id: model_of(c) for c in project.candidates}
        pairs = [*compared.pairs, *compared.others]
        strategy = Informative(pairs, side)
        queue = Queue(pairs, strategy, seed=s.seed, wanted=None, repeats=s.repeats)
        super().__init__(project, "evaluations", queue, key, pause, memory=memory)
        # who has seen the result, for a restart; a lost disk only lets them vote again
        self._stopped_file = memory.with_suffix(".stopped") if memory else None
        self._stopped: set[str] = set()
        if self._stopped_file and self._stopped_file.exists():
            self._stopped = set(json.loads(self._stopped_file.read_text()))
        self._verdict: tuple[int, Verdict | None] = (-1, None)
        self.ratings: list[Rating] = []  # of several models, counted with the verdict

    def over(self, annotator: str) -> bool:
        """Tell whether the person has seen the result, and votes no more."""
        return annotator in self._stopped

    def submit(self, person: Person, events: Sequence[Any]) -> list[Receipt]:
        """Take votes, but of those who have seen the result only what came before."""
        if not self.over(self.pseudonym(person)):
            return super().submit(person, events)
        known = [e for e in events if isinstance(e, dict) and e.get("event_id") in self._known]
        late = [str(e.get("event_id"))[:100] for e in events
                if isinstance(e, dict) and e.get("event_id") not in self._known]  # fmt: skip
        why = "you have seen the result, and voting ended for you"
        return [*super().submit(person, known), *(Receipt(id, "rejected", why) for id in late)]

    def stop(self, person: Person) -> str:
        """End the person's voting, and return the key that shows them the verdict."""
        annotator = self.pseudonym(person)
        with self._lock:
            self._stopped.add(annotator)
            if self._stopped_file:
                paths.replace(self._stopped_file, json.dumps(sorted(self._stopped)))
        return self._mac("verdict", annotator)[:32]

    def opens(self, key: str) -> bool:
        """Tell whether the key shows the verdict: the owner's, or that of one who has stopped."""
        keys = [self.owner_key(), *(self._mac("verdict", who)[:32] for who in self._stopped)]
        given = key.encode("utf-8", "replace")
        return any(hmac.compare_digest(given, k.encode()) for k in keys)

    def warm_up(self) -> None:
        """Count the votes and load what draws them, so that the verdict opens at once."""

        if found := self.verdict():
            verdict_pictures(found)

    def verdict(self) -> Verdict | None:
        """Return the verdict of all votes that are here, on the Hub already or not."""
        events = self.events()
        if self._verdict[0] != len(events):
            self.ratings = ratings(events, self.texts(), self._compared.base)
            self._verdict = (len(events), count_votes(events, self.texts(), self._compared))
        return self._verdict[1]

    def figures(self, person: Person) -> dict[str, Any]:
        return super().figures(person) | {"implied": 0}  # votes are counted, never implied

    def _keep(self, person: Person, events: list[Event]) -> dict[str, State]:
        self._note(events)
        self.publisher.add(events)
        published = self.publisher.published
        return {e.event_id: "published" if e.event_id in published else "waiting" for e in events}
