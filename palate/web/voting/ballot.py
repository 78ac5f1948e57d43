"""The blind comparison of base and tuned model, and the verdict for people who stopped voting."""

import hmac
import secrets
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from palate.core import hub, ledger, paths
from palate.core.errors import PalateError
from palate.core.ledger import Publisher
from palate.core.project import Project
from palate.core.rounds import wild_vote
from palate.core.schema import Event, Message, Model, model_of
from palate.evaluate.contest import Informative, round_on_prompts
from palate.evaluate.counting import count_by_aspect
from palate.evaluate.loading import pairs_to_compare
from palate.evaluate.pictures import moves
from palate.evaluate.planning import planned, shortage
from palate.evaluate.ratings import RatingList, ratings
from palate.evaluate.verdict import Verdict
from palate.label.assignment import Queue
from palate.web.ballot.event_parsing import Receipt, Rejected, State, rejection
from palate.web.ballot.people import OverBudget, Person
from palate.web.ballot.service import Ballot
from palate.web.voting.best import Contestant, best_of, streamed

if TYPE_CHECKING:
    from starlette.requests import Request

TRIES_AT_ONCE = 3  # people for whom both models write, one try each
STOPPING_SECONDS = 60.0  # that a try which was stopped may take to end: it may load a model
STOPPED = "you have seen the result, so you cannot vote any more"


class EvaluateBallot(Ballot):
    """Blind votes on base and tuned for `eval` prompts, published straight to the Hub."""

    def __init__(self, project: Project, key: str, pause: float = 30.0, memory: Path | None = None):
        self._compared = pairs_to_compare(project)
        self.card = f"{hub.endpoint()}/{project.model_repo}" if project.is_trained() else None
        self.settings = s = project.settings
        model = {c.id: model_of(c) for c in project.candidates}
        pairs = [*self._compared.pairs, *self._compared.others]
        queue = Queue(pairs, Informative(pairs, model), seed=s.seed, wanted=None, repeats=s.repeats)
        super().__init__(project, "evaluations", queue, key, pause, memory=memory)
        # A restart must know who has seen the result; a lost disk only lets them vote again. The
        # next tuned model has votes and a result that nobody has seen.
        revision = self._compared.tuned.revision[:12]
        self._stopped_file = memory.with_suffix(f".{revision}.stopped") if memory else None
        self._stopped = set(paths.kept(self._stopped_file)) - self.people.forgotten  # pseudonyms
        self._verdict: tuple[int, Verdict | None] = (-1, None)  # and how many events it counts
        self.ratings: list[RatingList] = []  # of several models, computed with the verdict
        self._wild = Publisher(project.id, "wild", interval=pause)
        self._trying, self._waiting = set[str](), set[str]()  # pseudonyms
        self._turns = threading.Condition()  # guards both
        base, tuned = self._compared.base, self._compared.tuned
        best = best_of(project, base)
        self.contestants = [*map(Contestant.of, (base, tuned)), *([best] if best else [])]

    def plan(self) -> str:
        """Return what a verdict takes, what the prompts compared can show, and what adds more."""
        number = round_on_prompts(self.events(), self.texts(), self._compared)
        there = planned(len({p.prompt_id for p in self._compared.pairs}), number)
        more = shortage(self.project_id, self.settings, tuple(self.prompts().values()))
        return f"{there} {more}".rstrip()

    @property
    def kept(self) -> str:
        return "They are in the voters' browsers, which send them again at the next visit."

    def unvoted(self) -> int:
        """Return how many pairs nobody has voted on in the current aspect, the first one."""
        voted = {e.pair_id for e in self.standing() if e.aspect == self.aspect}
        return sum(p.id not in voted for p in self._compared.pairs)

    def over(self, annotator: str) -> bool:
        """Tell whether the person has seen the result, so that they vote no more."""
        return annotator in self._stopped

    def submit(self, person: Person, events: Sequence[object]) -> list[Receipt]:
        """Take votes; from people who have seen the result, only those they cast before."""
        if not self.over(self.pseudonym(person)):
            return super().submit(person, events)
        known = {e.event_id for e in self.events()}
        votes = [e for e in events if isinstance(e, dict)]
        early = [e for e in votes if e.get("event_id") in known]
        late = [e for e in votes if e.get("event_id") not in known]
        return [*super().submit(person, early), *(rejection(e, STOPPED) for e in late)]

    def stop(self, person: Person) -> str:
        """End the person's voting and return the key that shows them the verdict."""
        annotator = self.pseudonym(person)
        with self._lock:
            if annotator not in self._stopped:
                self._stopped.add(annotator)
                paths.keep(self._stopped_file, sorted(self._stopped))
        return self.result_key(annotator)

    @property
    def looked(self) -> str:
        """The cookie of a browser that opened this verdict with the owner's key."""
        return f"palate-looked-{self._mac('looked', self._compared.tuned.revision)[:12]}"

    def arrive(self, person: Person, cookies: Mapping[str, str]) -> bool:
        """End the voting of people whose browser has shown the verdict to the owner."""
        if self.looked in cookies:
            self.stop(person)
        return self.over(self.pseudonym(person))

    def is_owners(self, key: str) -> bool:
        return hmac.compare_digest(key.encode("utf-8", "replace"), self.owner_key().encode())

    def result_key(self, annotator: str) -> str:
        """Return the key that shows the verdict to this person once they have stopped."""
        return self._mac("verdict", annotator)[:32]

    def opens(self, key: str) -> bool:
        """Tell whether the key shows the verdict: the owner's, or that of a person who stopped."""
        with self._lock:
            keys = [*map(self.result_key, self._stopped)]
        given = key.encode("utf-8", "replace")
        return self.is_owners(key) or any(hmac.compare_digest(given, k.encode()) for k in keys)

    def warm_up(self) -> None:
        """Also count the votes and draw them once, so that the verdict opens at once."""
        super().warm_up()
        if (result := self.verdict()) and len(result.moves) > 1:
            moves(result)

    def verdict(self) -> Verdict | None:
        """Return the verdict on all votes here, published or not; None before the first."""
        events = self.events()
        if self._verdict[0] != len(events):
            own = [e for e in events if e.aspect == self.aspect]
            self.ratings = ratings(own, self.texts(), self._compared.base)
            counted = count_by_aspect(events, self.texts(), self._compared, self.aspects)
            self._verdict = len(events), counted
        return self._verdict[1]

    def example(self) -> str:
        """Return a prompt of the comparison."""
        return self.prompts()[self._compared.pairs[0].prompt_id].text

    def problem(self) -> str | None:
        return super().problem() or self._wild.problem()

    def close(self, timeout: float = 30.0) -> bool:
        """Also publish the votes in the wild that are waiting."""
        wild = self._wild.close(timeout)
        return super().close(timeout) and wild

    def answers(
        self,
        request: "Request",
        prompt: str,
        *,
        who: str,
        blind: bool,
        pair: Sequence[int] = (0, 1),
    ) -> "Iterator[tuple[int, str | int] | Try]":
        """Yield what two contestants answer, in pieces with their side; then the whole try.

        `pair` says which of `contestants`; a number in place of a piece is what `streamed` says.
        `who` tries is what `trying_person` says. With `blind`, chance decides who is on which side.
        Raises PalateError if they cannot.
        """
        sides = [self.contestants[i] for i in pair]
        if blind:
            secrets.SystemRandom().shuffle(sides)
        texts = ["", ""]
        with self._turn(who):
            messages = [Message(role="user", content=prompt)]
            for side, text in streamed(request, sides, messages, secrets.randbelow(2**31)):
                if isinstance(text, str):
                    texts[side] += text
                yield side, text
        models = [side.model for side in sides]
        yield Try(models, texts, self._ticket(models, prompt, secrets.token_hex(16), blind=blind))

    @contextmanager
    def _turn(self, who: str) -> Generator[None]:
        """Let the person try the models; raise PalateError if they do so already, or others do.

        A try that was stopped still ends its token, or its download: the next one waits for that.
        """
        with self._turns:
            if who not in self._waiting:
                self._waiting.add(who)
                self._turns.wait_for(lambda: who not in self._trying, STOPPING_SECONDS)
                self._waiting.remove(who)
            if who in self._trying:
                raise OverBudget("Your last try is not over yet. Try again in a moment.")
            if len(self._trying) >= TRIES_AT_ONCE:
                raise PalateError("Others try the models now. Try again in a minute.")
            self._trying.add(who)
        try:
            yield
        finally:
            with self._turns:
                self._trying.remove(who)
                self._turns.notify_all()

    def _ticket(self, sides: Sequence[Model], prompt: str, nonce: str, *, blind: bool) -> str:
        """Return what shows later that this try took place: a choice needs one, and only one."""
        models = [one.model for one in self.contestants]
        flags = f"{models.index(sides[0])}{models.index(sides[1])}{blind:d}"
        revisions = [model.revision for model in sides]
        return f"{nonce}{flags}{self._mac('try', nonce, flags, prompt, *revisions)[:32]}"

    def choose(
        self, key: str, person: Person | None, ticket: str, prompt: str, better: int, *, keep: bool
    ) -> None:
        """Take a vote in the wild: which answer of a try was better; `keep` the prompt if asked to.

        Raises Rejected for a try that did not take place, or of somebody who may not vote.
        """
        nonce, flags = ticket[:32], ticket[32:35]
        models = {str(i): one.model for i, one in enumerate(self.contestants)}
        sides = [models[flag] for flag in flags[:2] if flag in models]
        blind = flags[2:] == "1"
        given = ticket.encode("utf-8", "replace")
        known = ticket.isascii() and len(sides) == 2
        expected = self._ticket(sides, prompt, nonce, blind=blind) if known else "none"
        if not hmac.compare_digest(expected.encode(), given):
            raise Rejected("these models did not write this: let both answer again")
        annotator = self.trying_person(key, person)
        if annotator in self.people.uncounted:
            raise Rejected("the owner has not opened this project to you")
        vote = wild_vote(
            f"try-{nonce}", sides, better, prompt if keep else None, annotator=annotator,
            time=ledger.now(), number=self.round, blind=blind,
        )  # fmt: skip
        with self._lock:
            self.budgets.spend(annotator, [vote], time.monotonic())
        self._wild.add([vote])

    def trying_person(self, key: str, person: Person | None) -> str:
        """Return the pseudonym of who tries: signed in, known by their key, or the owner here."""
        if person:
            return self.pseudonym(person)
        with self._lock:
            stopped = sorted(self._stopped)
        given = key.encode("utf-8", "replace")
        known = [a for a in stopped if hmac.compare_digest(given, self.result_key(a).encode())]
        return known[0] if known else self.pseudonym_of("owner")

    def figures(self, person: Person) -> dict[str, object]:
        return super().figures(person) | {"implied": 0}  # votes are counted, never implied

    def _keep(self, person: Person, events: list[Event]) -> dict[str, State]:
        self._note(events)
        self.publisher.add(events)
        published = self.publisher.is_published
        return {e.event_id: "published" if published(e.event_id) else "waiting" for e in events}


@dataclass(frozen=True)
class Try:
    """Both models' answers to a visitor's prompt, side by side."""

    sides: Sequence[Model]
    texts: Sequence[str]
    ticket: str  # for `choose`
