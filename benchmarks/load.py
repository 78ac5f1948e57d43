"""Many people in one label Space with embedded Argilla: time to saved, to published, and memory.

    python benchmarks/load.py [--people 32] [--think 5] [--pairs 5000] [--seconds 120] [--json]

Each person thinks, answers a pair of texts of 300 words, and fetches more, as the page does.
*saved* is the time of the request that sends an event. *published* is the time from then until the
Space reports the event as on the Hub, with 30 s between commits as for huggingface.co.
"""

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
from support.local import chromium, post, start_project, use_hub, wait_until_ready

SIZES = """() => ['resource', 'navigation'].flatMap((kind) => performance.getEntriesByType(kind))
  .map((e) => [new URL(e.name).pathname, e.encodedBodySize])"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=32)
    parser.add_argument("--think", type=float, default=5.0, help="seconds")
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        figures = measure(Path(folder), arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<22}{value}" for name, value in figures.items()))


def measure(root: Path, arguments: argparse.Namespace) -> dict:
    from palate.argilla.server import EmbeddedArgilla
    from palate.localhub import LocalHub

    with LocalHub(root / "hub") as hub, EmbeddedArgilla(root / "argilla") as argilla:
        use_hub(hub, root, PALATE_PUBLISH_SECONDS="30")
        from palate.core.project import Project
        from palate.web.serving import Space

        fill("me/load", arguments.pairs)
        env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}
        with Space("label", "me/load", env=env, log=root / "space.log") as space:
            wait_until_ready(space.url)
            people = [Person(space.url, f"person{i}") for i in range(arguments.people)]
            peak = label(people, arguments, [space.process.pid, argilla.process.pid])
            page = page_size(space.url)
        ledger = [e.event_id for e in Project.load("me/load").labels]
        sizes = {"people": arguments.people, "pairs": arguments.pairs}
        return sizes | figures(people, ledger) | {"memory_mb": round(peak)} | page


def fill(project_id: str, pairs: int) -> None:
    """Create a project with about so many pairs to label; a tenth of its prompts is for `eval`."""
    from palate.core.project import Settings
    from palate.core.schema import Candidate, Prompt

    chance = random.Random(0)
    words = [w.strip(".,") for w in (__doc__ or "").split()]
    prompts = [Prompt.of(f"Question {i}") for i in range(round(pairs / 10 / 0.9))]
    candidates = [
        Candidate.of(p.id, " ".join(chance.choices(words, k=300)))
        for p in prompts
        for _ in range(5)
    ]
    start_project(project_id, prompts, candidates, Settings(eval=0.1))


def label(people: list["Person"], arguments: argparse.Namespace, pids: list[int]) -> float:
    """Let the people label; return the peak memory of the processes, in MB."""
    end = time.monotonic() + arguments.seconds
    threads = [threading.Thread(target=p.answer, args=(arguments.think, end)) for p in people]
    for thread in threads:
        thread.start()
        time.sleep(arguments.think / len(threads))
    peak = 0.0
    while any(t.is_alive() for t in threads):
        peak = max(peak, sum(map(memory, pids)))
        time.sleep(1)
    return peak


def figures(people: list["Person"], ledger: list[str]) -> dict:
    """Return counts and times; `ledger` has the ids of the events on the Hub."""
    saved = [seconds for p in people for seconds in p.saved.values()]
    published = [seconds for p in people for seconds in p.published.values()]
    events = {event_id for p in people for event_id in p.saved}
    cuts = statistics.quantiles(saved, n=100)
    return {
        "labels": len(events),
        "errors": sum(p.errors for p in people),
        "saved_p50_ms": round(1000 * cuts[49]),
        "saved_p99_ms": round(1000 * cuts[98]),
        "published_max_s": round(max(published), 1),
        "lost": len(events - set(ledger)),
        "twice": len(ledger) - len(set(ledger)),
    }


class Person:
    """Answers as the page does; measures the time until an event is saved and published."""

    def __init__(self, url: str, name: str):
        self.url, self.name = url, name
        self.outbox: dict[str, dict] = {}
        self.saved: dict[str, float] = {}
        self.published: dict[str, float] = {}
        self.since: dict[str, float] = {}
        self.errors = 0

    def answer(self, think: float, end: float) -> None:
        queue: list[dict] = []
        while time.monotonic() < end:
            time.sleep(think)
            if len(queue) < 4:
                have = [i["id"] for i in queue]
                have += [e["assignment_id"] for e in self.outbox.values()]
                queue += self.post("/api/next", {"n": 8 - len(queue), "have": have}).get(
                    "items", []
                )
            if queue:
                item = queue.pop(0)
                event = {"event_id": str(uuid.uuid4()), "assignment_id": item["id"]}
                event |= {"kind": "label", "choice": "left", "strength": 3, "milliseconds": 4000}
                self.outbox[event["event_id"]] = event
                start = time.monotonic()
                self.settle([event])
                self.saved[event["event_id"]] = time.monotonic() - start
            self.settle(list(self.outbox.values())[:20])
        deadline = time.monotonic() + 120
        while self.outbox and time.monotonic() < deadline:
            time.sleep(1)
            self.settle(list(self.outbox.values())[:20])

    def settle(self, events: list[dict]) -> None:
        for r in self.post("/api/events", {"events": events}).get("results", []):
            event_id = r["event_id"]
            self.since.setdefault(event_id, time.monotonic())
            if r["state"] == "published" and event_id in self.outbox:
                self.published[event_id] = time.monotonic() - self.since[event_id]
                del self.outbox[event_id]
            self.errors += r["state"] in ("rejected", "waiting")

    def post(self, path: str, body: dict) -> dict:
        try:
            return post(self.url + path, body, self.name)
        except OSError:
            self.errors += 1
            return {}


def memory(pid: int) -> float:
    """Return the resident memory of a process and its descendants, in MB."""
    total = 0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 2**20


def page_size(url: str) -> dict:
    """Return the kB that a first visit transfers, and those of them that are palate's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = chromium(p)
        page = browser.new_page()
        page.goto(f"{url}/?as=visitor")
        page.wait_for_selector('.ballot[data-aid]:not([data-aid=""])')
        sizes = page.evaluate(SIZES)
        browser.close()
    ours = sum(size for path, size in sizes if path.startswith(("/ballot/", "/api/")))
    return {
        "page_kb": round(sum(size for _, size in sizes) / 1000),
        "page_of_palate_kb": round(ours / 1000),
    }


if __name__ == "__main__":
    main()
