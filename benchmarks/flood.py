"""One person sends all that they can: what others notice, and how much the ledger grows.

    python benchmarks/flood.py [--seconds 60] [--people 3] [--json]

The people label without a pause, first alone, then while somebody sends 50 events a request, each
with a note of 1,900 letters, as fast as the server answers. Every other request takes each of its
answers back, so that nothing of it can be left out of the ledger. Both halves run in one Space with
a real Argilla and Hub, so their figures can be compared.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
import urllib.error
import uuid
from collections import Counter
from itertools import count
from pathlib import Path

from faults import Device
from support.local import post, wait_until_ready
from support.world import World


class Person(Device):
    """Labels until `stop`, and notes how long the server took for each request."""

    def __init__(self, url: str, name: str, seed: int):
        super().__init__(url, name, seed=seed)
        self.milliseconds: list[float] = []

    def work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            for item in self.post("/api/next", {"n": 4, "have": [], "device": self.id})["items"]:
                self.answer(item)
                self.flush()

    def post(self, path: str, body: dict) -> dict:
        started = time.monotonic()
        answer = super().post(path, body)
        self.milliseconds.append(1000 * (time.monotonic() - started))
        return answer


def flood(url: str, stop: threading.Event, answers: Counter[str]) -> None:
    """Send requests of 50 events on one pair after the other."""
    for number in count():
        if stop.is_set():
            return
        try:
            (item,) = post(f"{url}/api/next", {"n": 1, "device": "x"}, "Mallory")["items"]
            events = [
                {
                    "event_id": str(uuid.uuid4()), "assignment_id": item["id"], "kind": "label",
                    "choice": "left", "strength": 3, "milliseconds": 1, "comment": "x" * 1900,
                }
                for _ in range(50)
            ]  # fmt: skip
            if number % 2:
                for said, undo in zip(events[::2], events[1::2], strict=True):
                    undo |= {"kind": "undo", "target": said["event_id"]}
            results = post(f"{url}/api/events", {"events": events}, "Mallory")["results"]
            answers.update(r["state"] for r in results)
        except urllib.error.HTTPError as error:
            answers[f"refused with {error.code}"] += 50
            time.sleep(0.05)


def half(world: World, people: int, seconds: float, *, flooded: bool) -> dict[str, object]:
    """Let people label for so long, and measure what they notice."""
    stop, answers = threading.Event(), Counter[str]()
    crowd = [Person(world.space.url, f"{flooded} {i}", i) for i in range(people)]
    threads = [threading.Thread(target=p.work, args=(stop,), daemon=True) for p in crowd]
    if flooded:
        args = (world.space.url, stop, answers)
        threads.append(threading.Thread(target=flood, args=args, daemon=True))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join(120)
    times = [t for p in crowd for t in p.milliseconds]
    cuts = statistics.quantiles(times, n=20)
    return {
        "requests": len(times), "p50_ms": round(cuts[9], 1), "p95_ms": round(cuts[18], 1),
        "sent": dict(answers),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="of each half")
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        world = World(Path(folder))
        try:
            world.open("flood", 4000)
            wait_until_ready(world.space.url)
            seconds, people = arguments.seconds, arguments.people
            alone = half(world, people, seconds, flooded=False)
            flooded = half(world, people, seconds, flooded=True)
            world.space.stop()
            from palate.core.ledger import to_json
            from palate.core.project import Project

            events = Project.load(world.id).labels
            names = Counter(e.annotator for e in events if e.comment)
            own = [e for e in events if e.annotator in names]
            ratio = round(flooded["p95_ms"] / alone["p95_ms"], 2)
            result = {
                "alone": alone, "flooded": flooded, "p95_ratio": ratio,
                "ledger_events": len(own), "ledger_bytes": sum(len(to_json(e)) + 1 for e in own),
            }  # fmt: skip
        finally:
            world.stop()
    if arguments.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
