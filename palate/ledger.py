"""Events to the Hub and back: the ledger is the truth, preferences are rebuilt from it.

`live` and `preferences` are pure. `Publisher` commits events in batches, each batch a new file,
so that two writers never touch each other's rows.
"""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from palate import hub
from palate.errors import PalateError
from palate.project import Project
from palate.ranking import Order
from palate.schema import MARGINS, Candidate, Event, Pair, Preference, Prompt, Purpose, to_json

NO_JUDGEMENT = ("undo", "flag")
NO_PREFERENCE = {"tie": "ties", "skip": "skipped", "both_bad": "both bad"}


def now() -> str:
    """Return the time as events carry it: UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def live(events: Iterable[Event], purpose: Purpose = "ask") -> list[Event]:
    """Return the judgements that stand, in time order; those of repeats or warm-ups if asked for.

    An event counts once however often it arrives; an `undo` takes back its target; of several
    judgements of one annotator on one pair the last stands. Flags are remarks, not judgements.
    """
    once = {e.event_id: e for e in events}
    undone = {
        e.target
        for e in once.values()
        if e.kind == "undo" and e.target in once and once[e.target].annotator == e.annotator
    }
    standing: dict[tuple[str, str], Event] = {}
    for e in sorted(once.values(), key=lambda e: (e.time, e.event_id)):
        if e.purpose == purpose and e.kind not in NO_JUDGEMENT and e.event_id not in undone:
            standing[e.annotator, e.pair_id] = e
    return sorted(standing.values(), key=lambda e: (e.time, e.event_id))


@dataclass(frozen=True)
class Preferences:
    """Rows by split, and what was left out and why (reason → count)."""

    rows: dict[str, list[Preference]]
    left_out: Counter = field(default_factory=Counter)

    def all(self) -> list[Preference]:
        return [row for rows in self.rows.values() for row in rows]


def preferences(
    prompts: Sequence[Prompt], candidates: Sequence[Candidate], events: Iterable[Event]
) -> Preferences:
    """Return the preferences that follow from the events, the same for the same ledger.

    What a person said comes first, in time order; then what the answers on a prompt imply of its
    other pairs (see `ranking`). Whatever states no preference is counted, not dropped in silence;
    `eval` prompts stay blind.
    """
    events = list(events)
    prompt = {p.id: p for p in prompts}
    text = {c.id: c.text for c in candidates}
    text |= {c.id: c.text for e in events if (c := e.written())}
    result = Preferences({"train": [], "test": []})
    usable: dict[str, list[Event]] = {}
    for e in live(events):
        p = prompt.get(e.prompt_id)
        if e.kind in NO_PREFERENCE:
            result.left_out[NO_PREFERENCE[e.kind]] += 1
        elif p is None or e.left not in text or e.right not in text:
            result.left_out["prompt or candidate no longer in the project"] += 1
        elif p.split == "eval":
            result.left_out["on eval prompts, which stay blind"] += 1
        else:
            for better, worse, _ in e.statements():
                result.rows[p.split].append(_preference(p, text, better, worse, e))
        if p is not None and p.split != "eval" and e.left in text and e.right in text:
            usable.setdefault(e.prompt_id, []).append(e)
    for purpose, reason in (("repeat", "repeats of a pair"), ("gold", "warm-up")):
        if n := len(live(events, purpose)):
            result.left_out[reason] += n
    for id, said in usable.items():
        result.rows[prompt[id].split].extend(_implied(prompt[id], text, said))
    return result


def _implied(p: Prompt, text: dict[str, str], said: list[Event]) -> Iterator[Preference]:
    people = {e.annotator for e in said}
    annotator = people.pop() if len(people) == 1 else "several"
    for better, worse in Order(said).implied():
        yield replace(
            _preference(p, text, better, worse, said[-1]),
            strength=None,
            margin=0.0,
            source="implied",
            annotator=annotator,
        )


def _preference(p: Prompt, text: dict[str, str], better: str, worse: str, e: Event) -> Preference:
    return Preference(
        prompt=p.prompt,
        chosen=[{"role": "assistant", "content": text[better]}],
        rejected=[{"role": "assistant", "content": text[worse]}],
        strength=e.strength,
        margin=MARGINS[e.strength] if e.strength else 0.0,
        source="human",
        annotator=e.annotator,
        pair_id=Pair.between(p.id, better, worse).id,
        prompt_id=p.id,
        round=e.round,
    )


def preference_files(result: Preferences) -> dict[str, str]:
    """Return the repo files of the preferences: path → content, byte-identical when rebuilt."""
    return {
        f"preferences/{split}.jsonl": jsonl(rows) for split, rows in result.rows.items() if rows
    }


def export(project_id: str) -> tuple[Project, Preferences]:
    """Rebuild preferences and dataset card from the ledger; commit what differs.

    Returns the project with what was committed. Another writer's commit is no conflict: events
    that arrive meanwhile are in the next export.
    """
    from palate import cards

    for _ in range(5):
        project = Project.load(project_id)
        result = preferences(
            project.rows("prompts"), project.rows("candidates"), project.rows("labels")
        )
        files = preference_files(result)
        stale = [p for p in project.paths("preferences") if p not in files]
        if not stale and _same(project, files):
            break
        try:
            count = sum(map(len, result.rows.values()))
            hub.commit(
                project_id,
                "dataset",
                files,
                f"Rebuild {count} preferences",
                delete=stale,
                parent=project.revision,
            )
            break
        except hub.Conflict:
            continue
    cards.push_dataset_card(project_id)
    return Project.load(project_id), result


def _same(project: Project, files: dict[str, str]) -> bool:
    if not set(files) <= set(project.files):
        return False
    local = hub.fetch(project.id, "dataset", project.revision, list(files)) if files else []
    return all(f.read_text("utf-8") == files[p] for p, f in zip(files, local, strict=True))


def jsonl(rows: Iterable[object]) -> str:
    return "".join(to_json(row) + "\n" for row in rows)


def event_file(config: str, prefix: str = "") -> str:
    """Return a new file's path: by time, so that names sort, and never the same twice."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")
    return f"{config}/{prefix}{stamp}-{secrets.token_hex(4)}.jsonl"


class Publisher:
    """Commits events to the project's repo from a thread of its own, at most once per `interval`.

    `published` holds the ids of all events that are on the Hub. Events that cannot be committed
    wait and are tried again; `problem` then says why, in words for the page.
    """

    def __init__(
        self,
        repo: str,
        config: str,
        *,
        published: Iterable[str] = (),
        interval: float = 30.0,
        on_publish: Callable[[list[Event]], None] = lambda events: None,
    ):
        self.repo, self.config, self.interval = repo, config, interval
        self.published = set(published)
        self.problem: str | None = None
        self._waiting: dict[str, Event] = {}
        self._change = threading.Condition()
        self._closing = False
        self._on_publish = on_publish
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def add(self, events: Iterable[Event]) -> None:
        """Queue events; those already published or queued are passed over."""
        with self._change:
            for e in events:
                if e.event_id not in self.published:
                    self._waiting.setdefault(e.event_id, e)
            self._change.notify_all()

    def waiting(self) -> list[Event]:
        """Return the events that are not on the Hub yet."""
        with self._change:
            return list(self._waiting.values())

    def close(self, timeout: float = 60.0) -> bool:
        """Publish what waits and stop; return whether everything reached the Hub in time."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join(timeout)
        return not self._waiting

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                # a moment more lets a batch gather: Hub commits are rate-limited
                self._change.wait_for(lambda: self._closing, self.interval)
                batch = list(self._waiting.values())
            if not self._publish(batch):
                with self._change:
                    if self._closing:
                        return

    def _publish(self, batch: list[Event]) -> bool:
        try:
            message = f"Add {len(batch)} event{'s' * (len(batch) != 1)}"
            files = {event_file(self.config): jsonl(batch)}
            if written := [c for e in batch if (c := e.written())]:
                files[event_file("candidates", "written-")] = jsonl(written)
            hub.commit(self.repo, "dataset", files, message)
        except (PalateError, OSError) as error:
            self.problem = str(error)
            time.sleep(min(self.interval, 5))
            return False
        self.problem = None
        with self._change:
            for e in batch:
                self._waiting.pop(e.event_id, None)
            self.published.update(e.event_id for e in batch)
        self._on_publish(batch)
        return True
