"""A running program asks a project's people which of two answers is better, and does not wait.

A thread sends questions to the project and reads the answers; the label Space asks them.
"""

import atexit
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from palate.collect.importing import commit_to
from palate.core import hub, ledger, splits
from palate.core.errors import PalateError, Supervised, UsageError
from palate.core.project import Project
from palate.core.schema import Candidate, Message, Pair, Prompt
from palate.label.ranking import Order

SECONDS = 30.0  # between two looks at the Hub; a tenth of that with one on this machine
_opened: list["Questions"] = []


@dataclass(frozen=True)
class _Asked:
    """A question whose answer is awaited."""

    prompt: Prompt
    candidates: tuple[Candidate, Candidate]
    answer: "Future[str | None]"


class Questions:
    """Asks the people of one project. Use it as a context, or `close` it, to send what waits."""

    def __init__(self, project_id: str):
        project = Project.load(project_id)
        self.project_id, self._round = project.id, project.settings.round
        self._pause = SECONDS / 10 if hub.is_local() else SECONDS
        self._waiting: list[_Asked] = []  # to be sent
        self._sent: list[_Asked] = []
        self._lock = threading.Lock()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = Supervised("questions", self._turn)
        self._thread.start()
        atexit.register(self.close)

    @property
    def problem(self) -> str | None:
        """What keeps questions from the Hub, or answers from here; None if all is well."""
        return self._thread.problem

    def compare(self, prompt: str | list[Message], answers: Sequence[str]) -> "Future[str | None]":
        """Ask which of two answers is better; return at once.

        The future holds the answer that people prefer, or None if they call it a tie. Raises
        UsageError for anything but two different answers.
        """
        if len(answers) != 2 or len({text.strip() for text in answers} - {""}) != 2:
            raise UsageError(f"compare takes two different answers, not {list(answers)!r:.80}.")
        if self._closing.is_set():
            raise UsageError(f"The questions to {self.project_id} are closed.")
        row = Prompt.of(prompt)
        one, other = (Candidate.of(row.id, text, round=self._round) for text in answers)
        asked = _Asked(row, (one, other), Future())
        with self._lock:
            self._waiting.append(asked)
        self._wake.set()
        return asked.answer

    def close(self, timeout: float = 30.0) -> None:
        """Send what waits, and stop; answers that nobody gave yet are cancelled."""
        self._closing.set()
        self._wake.set()
        self._thread.stop()
        self._thread.join(timeout)
        for asked in [*self._sent, *self._waiting]:
            asked.answer.cancel()
        atexit.unregister(self.close)

    def __enter__(self) -> "Questions":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _turn(self) -> bool:
        closing = self._closing.is_set()
        self._wake.clear()
        self._send()
        self._read()
        if not closing:
            self._wake.wait(self._pause)
        return not closing

    def _send(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        if not waiting:
            return
        prompts = list({asked.prompt.id: asked.prompt for asked in waiting}.values())

        def files(project: Project) -> dict[str, str]:
            ids = {p.id for p in prompts}
            splitted = splits.assign(prompts, project.prompts, project.settings, ids)
            known = {c.id for c in project.candidates}
            rows = [c for a in waiting for c in a.candidates if c.id not in known]
            new = {c.id: c for c in rows}.values()
            parts = (("prompts", splitted), ("candidates", list(new)))
            return {ledger.event_file(name): ledger.jsonl(part) for name, part in parts if part}

        project = commit_to(self.project_id, "Add questions of a running program", files)
        blind = {p.id for p in project.prompts if p.split == "eval"}
        for asked in waiting:
            if asked.prompt.id in blind:
                asked.answer.set_exception(
                    PalateError(
                        f"{asked.prompt.text[:60]!r} is an eval prompt of {self.project_id}, which"
                        " nobody labels."
                    )
                )
        with self._lock:
            self._waiting = self._waiting[len(waiting) :]
            self._sent += [asked for asked in waiting if not asked.answer.done()]

    def _read(self) -> None:
        if not self._sent:
            return
        events = ledger.standing_judgements(Project.load(self.project_id).labels)
        by_pair: dict[str, list] = {}
        for event in events:
            by_pair.setdefault(event.pair_id, []).append(event)
        for asked in list(self._sent):
            one, other = asked.candidates
            judged = by_pair.get(Pair.of(one, other).id, [])
            sign = Order(judged).compare(one.id, other.id)
            if sign is None and not any(e.kind == "both_bad" for e in judged):
                continue
            self._sent.remove(asked)
            if asked.answer.set_running_or_notify_cancel():
                asked.answer.set_result({1: one.text, -1: other.text}.get(sign or 0))


def open(project_id: str) -> Questions:  # noqa: A001 - palate.open("me/titles")
    """Open a project for questions; `compare` asks the one that was opened last."""
    questions = Questions(project_id)
    _opened.append(questions)
    return questions


def compare(prompt: str | list[Message], answers: Sequence[str]) -> "Future[str | None]":
    """Ask the people of the project that was opened last; see `Questions.compare`."""
    if not _opened:
        raise UsageError('No project is open. Open one first: palate.open("me/titles")')
    return _opened[-1].compare(prompt, answers)
