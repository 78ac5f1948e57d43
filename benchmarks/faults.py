"""Labels while servers and networks fail: how many are lost, counted twice, or asked twice.

    python benchmarks/faults.py [--labels 1000] [--kills 10] [--only flaky,hands] [--json]
    python benchmarks/faults.py --killed export,import,deploy,verdict,card,forget --kills 30

Each scenario labels a new project, in the browser or by the page's protocol, with a real Space,
Argilla and Hub. At the end, the ledger is compared with the labels that were acknowledged.

  flaky       30% of the page's requests fail, half of them after the server has done its work
  space       `kill -9` of the Space, ten times
  argilla     `kill -9` of Argilla, ten times
  hub         `kill -9` of the Hub, ten times
  wiped       Space and Argilla are killed and their disks emptied, three times
  devices     one person on three devices and two more people, at the same time
  answers     the Hub gives each kind of bad answers for `--seconds`; labels go on as it lasts
  gone        no Hub for `--seconds`, then Space and Argilla are killed and their disks emptied
  full-hub    the Hub's disk is full for `--seconds`; so are, as root, full-argilla and full-space
  full-export `palate export` finds its disk full, and is run again when it no longer is, as root
  hands       in Chromium: double clicks, a held key, a second tab, offline with the tab closed

`--killed` does something else: it ends commands by `kill -9` at random moments (`--kills` of each),
looks whether anything is half made, runs them again and compares what they made.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))

from bad_hub import BadHub
from support.hands import Hands
from support.killing import WORDS
from support.local import post
from support.troubles import bad_answers, full, full_export, gone
from support.world import DISKS, World


class Device:
    """Labels by the page's protocol: an event is kept and sent again until it is published."""

    def __init__(self, url: str, name: str, failing: float = 0.0, seed: int = 0):
        self.url, self.name, self.failing = url, name, failing
        self.id = uuid.uuid4().hex
        self.chance = random.Random(seed)
        self.outbox: dict[str, dict] = {}
        self.given: set[str] = set()
        self.acknowledged: set[str] = set()
        self.shown: Counter[str] = Counter()
        self.refused: list[dict] = []
        self.pace = 0.0  # seconds between requests for pairs
        self.enough = threading.Event()

    def label(self, wanted: int) -> None:
        """Answer `wanted` pairs and return when all answers are on the Hub."""
        while (len(self.given) < wanted and not self.enough.is_set()) or self.outbox:
            time.sleep(self.pace)
            try:
                have = [e["assignment_id"] for e in self.outbox.values()]
                n = min(4, wanted - len(self.given)) if len(self.outbox) < 60 else 0
                body = {"n": n, "have": have, "device": self.id}
                items = self.post("/api/next", body)["items"]
            except OSError:
                items = []
                time.sleep(0.05)
            for item in items:
                self.answer(item)
            try:
                self.flush()
            except OSError:
                time.sleep(0.05)

    def answer(self, item: dict) -> None:
        event_id = str(uuid.uuid4())
        self.shown[item["id"]] += 1
        self.given.add(event_id)
        self.outbox[event_id] = {
            "event_id": event_id, "assignment_id": item["id"], "kind": "label",
            "choice": self.chance.choice(["left", "right"]), "strength": 3, "milliseconds": 500,
        }  # fmt: skip

    def flush(self) -> None:
        events = list(self.outbox.values())[:20]
        self.chance.shuffle(events)
        for receipt in self.post("/api/events", {"events": events})["results"] if events else ():
            if receipt["state"] == "rejected":
                self.refused.append(receipt)
            if receipt["state"] in ("saved", "published"):
                self.acknowledged.add(receipt["event_id"])
            if receipt["state"] in ("published", "rejected"):
                self.outbox.pop(receipt["event_id"], None)
        if self.outbox and not any(e not in self.acknowledged for e in self.outbox):
            time.sleep(0.1)  # the Hub gets the rest

    def post(self, path: str, body: dict) -> dict:
        trouble = self.chance.random() < self.failing and self.chance.choice(["before", "after"])
        if trouble == "before":
            raise OSError("the request did not arrive")
        result = post(self.url + path, body, self.name, seconds=30)
        if trouble == "after":
            raise OSError("the answer did not arrive")
        return result


def run(world: World, name: str, labels: int, kills: int, seconds: float) -> dict:
    """Run one scenario and return the counts of its labels."""
    proxy = BadHub(world.hub.endpoint) if name == "answers" else None
    world.open(name, labels, **({"HF_ENDPOINT": proxy.url} if proxy else {}))
    started, more = time.monotonic(), {}
    if name in ("answers", "gone") or name in DISKS:
        devices = [Device(world.space.url, "Ada")]
        devices[0].pace = 0.5
        if proxy:
            more = bad_answers(world, devices[0], seconds, proxy)
        elif name == "gone":
            more = gone(world, devices[0], labels, seconds)
        elif name == "full-export":
            devices[0].label(labels)
            more = full_export(world, world.small)
        else:
            more = full(world, devices[0], labels, world.small, seconds)
    elif name == "hands":
        devices = [Hands(world.space.url, "Ada")]
        devices[0].label(labels)
    else:
        devices = crowd(world, name, labels, kills)
    took = time.monotonic() - started
    world.space.stop()
    return {"scenario": name, "seconds": round(took, 1)} | outcome(world, devices) | more


def crowd(world: World, name: str, labels: int, kills: int) -> list:
    people = ["Ada", "Ada", "Ada", "Bo", "Cy"] if name == "devices" else ["Ada"]
    failing = 0.3 if name == "flaky" else 0.0
    devices = [Device(world.space.url, who, failing, i) for i, who in enumerate(people)]
    share = labels // len(people)
    threads = [threading.Thread(target=d.label, args=(share,), daemon=True) for d in devices]
    for thread in threads:
        thread.start()
    troubles = {"space": kills, "argilla": kills, "hub": kills, "wiped": min(3, kills)}.get(name, 0)
    for i in range(troubles):
        until(lambda i=i: len(devices[0].acknowledged) > (i + 1) * labels // (troubles + 2))
        if name == "wiped":
            world.wipe()
        else:
            world.kill(name)
            world.start(name)
    for thread in threads:
        thread.join(1800)
        assert not thread.is_alive(), (name, len(devices[0].acknowledged), len(devices[0].outbox))
    return devices


def until(condition, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "no progress"
        time.sleep(0.01)


def outcome(world: World, devices: list) -> dict:
    """Compare the ledger and Argilla with the labels that people gave."""
    from palate.argilla.store import LabelStore
    from palate.core.project import Project

    events = Project.load(world.id).labels
    store = LabelStore(world.argilla.url, world.argilla.api_key)
    store.open(world.id, question="?")
    in_argilla = {e.event_id for e in store.events()}
    store.close()
    given = set().union(*(d.given for d in devices))
    count = Counter(e.event_id for e in events)
    questions = Counter((e.pair_id, e.purpose) for e in events if e.kind != "undo")
    return {
        "labels": len(given),
        "lost": len(given - set(count)),
        "not_in_argilla": len(given - in_argilla),
        "twice": sum(n - 1 for n in count.values()),
        "never_given": len(set(count) - given),
        "asked_twice": sum(n - 1 for n in questions.values()),
        "refused": sum(len(d.refused) for d in devices),
    }


SCENARIOS = ("flaky", "space", "argilla", "hub", "wiped", "devices", "hands")
LASTING = ("answers", "gone", *DISKS)  # each takes minutes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=1000, help="per scenario")
    parser.add_argument("--kills", type=int, default=10, help="per server")
    parser.add_argument("--only", default=",".join(SCENARIOS), help="scenarios, comma-separated")
    parser.add_argument("--killed", metavar="COMMANDS", help=", ".join(WORDS))
    parser.add_argument("--seconds", type=float, default=5, help="that a trouble lasts")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of --killed")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    names = (arguments.killed or arguments.only).split(",")
    known = tuple(WORDS) if arguments.killed else (*SCENARIOS, *LASTING)
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(unknown)}. There are: {', '.join(known)}")
    results = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        world = World(Path(folder), *(name for name in names if name in DISKS))
        try:
            for name in names:
                if arguments.killed:
                    seen = world.killed(name, arguments.kills, arguments.seed)
                else:
                    seen = run(world, name, arguments.labels, arguments.kills, arguments.seconds)
                results.append(seen)
                out = sys.stderr if arguments.json else sys.stdout
                print("  ".join(f"{k} {v}" for k, v in seen.items()), file=out, flush=True)
        finally:
            world.stop()
    if arguments.json:
        print(json.dumps(results))
    wrong = ("lost", "not_in_argilla", "twice", "never_given", "asked_twice", "refused")
    wrong += ("half_made", "unfinished", "never_red", "never_back", "tracebacks")
    sys.exit(any(r.get(field) for r in results for field in wrong))


if __name__ == "__main__":
    main()
