"""Compare Argilla on PostgreSQL and Redis, with several workers, to Argilla on SQLite.

    python benchmarks/workers.py [--people 64] [--workers 4] [--seconds 20] [--rounds 3]
    python benchmarks/workers.py --faults [--people 16] [--labels 400] [--json]

People save labels through the client of a label Space, each as soon as the last is acknowledged;
unacknowledged labels are sent again, as the page does. Both servers run all the time and are
measured in turns, so other load affects both. PostgreSQL and Redis are started for this with
default settings. Memory is the sum of the PSS of all processes of a server.

Faults while labels arrive: `jobs` kills the process for background jobs, `worker` kills a server
process three times, `redis` stops Redis for a while, `postgres` crashes and restarts PostgreSQL.
"""

import argparse
import json
import signal
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))

import psutil
from own_services import Postgres, Redis

from palate.argilla.server import EmbeddedArgilla
from palate.argilla.server.settings import Services
from palate.argilla.store import LabelStore
from palate.core import ledger
from palate.core.errors import PalateError
from palate.core.schema import Candidate, Event, Pair, Prompt, pairs_of

PROMPT = Prompt.of("Which of the two says it better?")
TEXTS = [
    Candidate.of(PROMPT.id, f"Answer {i}. " + "It depends on the case. " * 40) for i in range(50)
]
PAIRS = pairs_of(TEXTS)
WARMUP_SECONDS = 5.0


@dataclass
class Side:
    """One of the two servers and its processes."""

    name: str
    argilla: EmbeddedArgilla
    others: Callable[[], list[int]] = list
    times: list[float] = field(default_factory=list)
    seconds: float = 0.0
    megabytes: float = 0.0
    errors: int = 0
    lost: int = 0

    def processes(self) -> list[int]:
        return [self.argilla.process.pid, *self.others()]


class People:
    """Threads that save labels, each as fast as they are acknowledged, until stopped."""

    def __init__(self, argilla: EmbeddedArgilla, number: int):
        self.store = LabelStore(argilla.url, argilla.api_key)
        self.store.open("me/workers", question="?")
        by_id = {c.id: c for c in TEXTS}
        self.store.add_pairs([(p, PROMPT, by_id[p.a], by_id[p.b]) for p in PAIRS])
        self.who = [self.store.annotator(f"p-{i}") for i in range(number)]
        self.positions = [17 * i for i in range(number)]
        self.acknowledged: list[tuple[str, float, float]] = []  # event, time, seconds it took
        self.errors = 0
        self.done = threading.Event()
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        self.done.clear()
        numbers = range(len(self.who))
        self.threads = [
            threading.Thread(target=self._label, args=(n,), daemon=True) for n in numbers
        ]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Let everybody finish; labels under way are sent until they are acknowledged."""
        self.done.set()
        for thread in self.threads:
            thread.join(60)

    def wait_for(self, number: int, patience: float = 120.0) -> None:
        """Wait until `number` labels are acknowledged in total."""
        deadline = time.monotonic() + patience
        while len(self.acknowledged) < number:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.acknowledged)} of {number} labels were acknowledged")
            time.sleep(0.02)

    def lost(self, argilla: EmbeddedArgilla) -> int:
        """Return how many acknowledged labels another client does not find."""
        reader = LabelStore(argilla.url, argilla.api_key)
        reader.open("me/workers", question="?")
        stored = {e.event_id for e in reader.events()}
        reader.close()
        return sum(event not in stored for event, _, _ in self.acknowledged)

    def _label(self, n: int) -> None:
        while not self.done.is_set():
            event = label(PAIRS[self.positions[n] % len(PAIRS)], f"p-{n}")
            self.positions[n] += 1
            start = time.monotonic()
            while True:
                try:
                    self.store.save(self.who[n], [event])
                    break
                except PalateError:
                    self.errors += 1
                    time.sleep(0.2)
            now = time.monotonic()
            self.acknowledged.append((event.event_id, now, now - start))


def label(pair: Pair, who: str) -> Event:
    return Event(
        event_id=uuid.uuid4().hex, kind="label", pair_id=pair.id, prompt_id=pair.prompt_id,
        left=pair.a, right=pair.b, chosen=pair.a, strength=3, annotator=who, milliseconds=900,
        time=ledger.now(), round=1, via="ballot",
    )  # fmt: skip


def children(pid: int) -> list[psutil.Process]:
    """Return the running children of a process, the oldest first."""
    processes = []
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:  # a zombie was killed and not waited for yet
                processes.append(child)
    return sorted(processes, key=psutil.Process.create_time)


def pss(pids: list[int]) -> float:
    """Return the memory of processes and their descendants in MB, counting shared pages once."""
    total = 0
    for root in map(psutil.Process, pids):
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
    return total / 2**20


def measure(side: Side, people: People, seconds: float) -> None:
    """Measure one turn of `seconds`, after a warm-up."""
    people.start()
    time.sleep(WARMUP_SECONDS)
    begin = time.monotonic()
    time.sleep(seconds / 2)
    side.megabytes = max(side.megabytes, pss(side.processes()))
    time.sleep(seconds / 2)
    end = time.monotonic()
    people.stop()
    side.times += [took for _, when, took in people.acknowledged if begin <= when < end]
    side.seconds += end - begin


def kill_one(side: Side) -> None:
    """Kill a server process; on SQLite it is the only one and is started again."""
    server = side.argilla.process
    if serving := children(server.pid):
        serving[0].kill()
    else:
        server.kill()
        server.wait()
        side.argilla.start()


def with_kills(side: Side, people: People, times: int = 3) -> None:
    people.start()
    for _ in range(times):
        people.wait_for(len(people.acknowledged) + len(people.who))
        kill_one(side)
    people.wait_for(len(people.acknowledged) + len(people.who))
    people.stop()
    side.errors, side.lost = people.errors, people.lost(side.argilla)


def compare(arguments: argparse.Namespace) -> list[dict]:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        postgres, redis = stack.enter_context(Postgres()), stack.enter_context(Redis())
        sqlite = stack.enter_context(EmbeddedArgilla(root / "sqlite"))
        services = Services(postgres.url, redis.url)
        several = EmbeddedArgilla(root / "workers", services=services, workers=arguments.workers)
        stack.enter_context(several)
        sides = [
            Side("embedded, SQLite", sqlite),
            Side(
                f"PostgreSQL and Redis, {arguments.workers} workers",
                several,
                lambda: [postgres.pid, redis.process.pid],
            ),
        ]
        people = [People(side.argilla, arguments.people) for side in sides]
        for _ in range(arguments.rounds):
            for side, some in zip(sides, people, strict=True):
                measure(side, some, arguments.seconds)
        for side, some in zip(sides, people, strict=True):
            with_kills(side, some)
            some.store.close()
        return [figures(side) for side in sides]


def figures(side: Side) -> dict:
    cuts = statistics.quantiles(side.times, n=100)
    return {
        "server": side.name,
        "labels per second": round(len(side.times) / side.seconds, 1),
        "p50 ms": round(1000 * cuts[49]),
        "p99 ms": round(1000 * cuts[98]),
        "memory MB": round(side.megabytes),
        "not at once": side.errors,
        "lost": side.lost,
    }


def faults(arguments: argparse.Namespace) -> list[dict]:
    """Inject one fault after the other while labels arrive; the servers must recover alone."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        postgres, redis = stack.enter_context(Postgres()), stack.enter_context(Redis())
        services = Services(postgres.url, redis.url)
        several = EmbeddedArgilla(root / "workers", services=services, workers=arguments.workers)
        side = Side("", stack.enter_context(several))
        people = People(several, arguments.people)
        stack.callback(people.store.close)
        part = arguments.labels // 4
        # the process for jobs is started last, and a replacement after all others
        hits: dict[str, list[Callable[[], object]]] = {
            "jobs": [lambda: children(several.process.pid)[-1].kill()],
            "worker": [lambda: kill_one(side)] * 3,
            "redis": [redis.stop, redis.start],
            "postgres": [
                lambda: postgres.stop("immediate"),
                lambda: (time.sleep(2), postgres.start()),
            ],
        }
        results = []
        for name, actions in hits.items():
            before, errors = len(people.acknowledged), people.errors
            people.start()
            try:
                for action in actions:
                    # without PostgreSQL nothing is acknowledged, so there is nothing to wait for
                    if name != "postgres" or action is actions[0]:
                        people.wait_for(len(people.acknowledged) + part // len(actions))
                    action()
                people.wait_for(len(people.acknowledged) + part)
            finally:
                people.stop()
            labels = len(people.acknowledged) - before
            counts = {"fault": name, "labels": labels, "not at once": people.errors - errors}
            results.append(counts | {"lost": people.lost(several)})
        return results


def table(rows: list[dict]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[str(v) for v in row.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=64)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0, help="per turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns per server")
    parser.add_argument("--faults", action="store_true", help="inject faults, measure no speed")
    parser.add_argument("--labels", type=int, default=400, help="during all faults")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers end with this
    rows = faults(arguments) if arguments.faults else compare(arguments)
    print(json.dumps(rows) if arguments.json else table(rows))
    sys.exit(any(row["lost"] for row in rows))


if __name__ == "__main__":
    main()
