"""Labels through all kinds of trouble: how many are lost, counted twice, or asked twice.

    python benchmarks/faults.py [--labels 1000] [--kills 10] [--only flaky,hands] [--json]

Each scenario labels a project of its own, in the browser or by the page's protocol, against a real
Space, a real Argilla and a real Hub. In the end the ledger is compared with what was acknowledged.

  flaky       30 % of the page's requests fail, half of them after the server has done its work
  space       ten times `kill -9` of the Space
  argilla     ten times `kill -9` of Argilla
  hub         ten times `kill -9` of the Hub
  wiped       three times the Space and Argilla are killed and their disks are emptied
  devices     one person at three devices and two more people, all at once
  hands       in Chromium: double clicks, a held key, a second tab, offline with the tab closed
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from pathlib import Path

FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
    " --disable-sync"
)


class World:
    """Hub, Argilla and, for each scenario, a project with a label Space."""

    def __init__(self, root: Path):
        from palate.argilla.server import EmbeddedArgilla
        from palate.localhub import LocalHub

        self.root = root
        self.hub = LocalHub(root / "hub").start()
        os.environ |= {
            "HF_ENDPOINT": self.hub.endpoint, "HF_TOKEN": self.hub.token,
            "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(root / "hf"),
            "PALATE_DATA": str(root / "data"), "PALATE_PUBLISH_SECONDS": "0.5",
            "PALATE_SECRET": "a secret that outlives the disk",
        }  # fmt: skip
        self.argilla = EmbeddedArgilla(root / "argilla").start()

    def open(self, name: str, labels: int):
        """Make the project and start its Space."""
        from palate.collect import importing
        from palate.collect.importing import Imported
        from palate.core.project import Settings
        from palate.core.schema import Candidate, Prompt
        from palate.web.serving import Space

        self.id = f"me/{name}"
        prompts = [Prompt.of(f"Prompt {i} of {name}") for i in range(labels // 4 + 12)]
        rows = [Candidate.of(p.id, f"{n} on {p.text}") for p in prompts for n in "abcde"]
        importing.start_project(self.id, prompts, Settings(repeats=0.05))
        importing.add(self.id, Imported([], rows, []), "Add candidates")
        env = {"ARGILLA_API_URL": self.argilla.url, "ARGILLA_API_KEY": self.argilla.api_key}
        self.space = Space("label", self.id, env=env, log=self.root / f"{name}.log").start()

    def kill(self, what: str) -> None:
        victim = {"space": self.space, "argilla": self.argilla, "hub": self.hub}[what]
        victim.process.kill()
        victim.process.wait()

    def wipe(self) -> None:
        self.kill("space")
        self.kill("argilla")
        shutil.rmtree(self.root / "argilla")
        shutil.rmtree(self.root / "data", ignore_errors=True)
        self.argilla.start()
        # an Argilla on an empty disk makes itself a new key
        self.space._env["ARGILLA_API_KEY"] = self.argilla.api_key
        self.space.start()

    def stop(self) -> None:
        self.argilla.stop()
        self.hub.stop()


class Device:
    """Speaks the page's protocol: an event is kept, and sent again, until it is published."""

    def __init__(self, url: str, name: str, failing: float = 0.0, seed: int = 0):
        self.url, self.name, self.failing = url, name, failing
        self.id = uuid.uuid4().hex
        self.chance = random.Random(seed)
        self.outbox: dict[str, dict] = {}
        self.said: set[str] = set()
        self.acknowledged: set[str] = set()
        self.shown: Counter[str] = Counter()
        self.refused: list[dict] = []

    def label(self, wanted: int) -> None:
        """Answer `wanted` pairs and return when all of it is on the Hub."""
        while len(self.said) < wanted or self.outbox:
            try:
                have = [e["assignment_id"] for e in self.outbox.values()]
                n = min(4, wanted - len(self.said)) if len(self.outbox) < 60 else 0
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
        self.said.add(event_id)
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
            time.sleep(0.1)  # the rest is on its way to the Hub

    def post(self, path: str, body: dict) -> dict:
        trouble = self.chance.random() < self.failing and self.chance.choice(["before", "after"])
        if trouble == "before":
            raise OSError("the request did not arrive")
        headers = {"content-type": "application/json", "x-annotator": self.name}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            result = json.load(answer)
        if trouble == "after":
            raise OSError("the answer did not arrive")
        return result


def run(world: World, name: str, labels: int, kills: int) -> dict:
    """Run one scenario and return what became of the labels."""
    world.open(name, labels)
    started = time.monotonic()
    if name == "hands":
        devices = [Hands(world.space.url, "Ada")]
        devices[0].label(labels)
    else:
        devices = crowd(world, name, labels, kills)
    took = time.monotonic() - started
    world.space.stop()
    return {"scenario": name, "seconds": round(took, 1)} | outcome(world, devices)


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
            getattr(world, name).start()
    for thread in threads:
        thread.join(1800)
        assert not thread.is_alive(), (name, len(devices[0].acknowledged), len(devices[0].outbox))
    return devices


def until(condition, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing moved"
        time.sleep(0.01)


def outcome(world: World, devices: list) -> dict:
    """Compare the ledger, Argilla and what was acknowledged; raises if they differ."""
    from palate.argilla.store import LabelStore
    from palate.core.project import Project

    events = Project.load(world.id).labels
    store = LabelStore(world.argilla.url, world.argilla.api_key)
    store.open(world.id, question="?")
    there = {e.event_id for e in store.events()}
    store.close()
    said = set().union(*(d.said for d in devices))
    count = Counter(e.event_id for e in events)
    asked = Counter((e.pair_id, e.purpose) for e in events if e.kind != "undo")
    return {
        "labels": len(said),
        "lost": len(said - set(count)),
        "not_in_argilla": len(said - there),
        "twice": sum(n - 1 for n in count.values()),
        "never_said": len(set(count) - said),
        "asked_twice": sum(n - 1 for n in asked.values()),
        "refused": sum(len(d.refused) for d in devices),
    }


class Hands:
    """A person in Chromium whose hands and network are not steady."""

    def __init__(self, url: str, name: str):
        self.url, self.name = url, name
        self.said: set[str] = set()
        self.refused: list[str] = []

    def label(self, wanted: int) -> None:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS.split())
            self.context = browser.new_context(viewport={"width": 1280, "height": 800})
            self.context.on("request", self.note)
            page = self.visit()
            other = self.visit(wait=False)  # a second tab, which waits for its turn
            for i in range(wanted):
                if i % 50 == 40:
                    page, other = self.reopen(page, other, offline=i % 100 == 40)
                self.press(page, i)
            page.wait_for_function(
                "document.querySelector('.b-sync').textContent === 'on the Hub'", timeout=120_000
            )
            browser.close()

    def note(self, request) -> None:
        if request.url.endswith("/api/events"):
            self.said |= {e["event_id"] for e in request.post_data_json["events"]}

    def visit(self, wait: bool = True):
        page = self.context.new_page()
        page.goto(f"{self.url}/?as={self.name}")
        if wait:
            self.ready(page)
        return page

    def ready(self, page) -> None:
        page.wait_for_function("document.querySelector('.ballot')?.dataset.aid", timeout=60_000)
        page.wait_for_timeout(260)  # the page ignores input while a pair has just appeared

    def press(self, page, i: int) -> None:
        self.ready(page)
        before = page.get_attribute(".ballot", "data-aid")
        if i % 3 == 0:
            page.dblclick(".b-scale[data-side=left] [data-v='3']")
        elif i % 3 == 1:
            for _ in range(5):
                page.keyboard.down("ArrowRight")
            page.keyboard.up("ArrowRight")
        else:
            page.keyboard.press("1")
        page.wait_for_function(
            "b => document.querySelector('.ballot').dataset.aid !== b", arg=before
        )

    def reopen(self, page, other, offline: bool):
        """Close the tab, at times after labels that could not be sent; the other one goes on."""
        if offline:
            self.context.set_offline(True)
            for i in range(5):
                if page.evaluate("document.querySelector('.ballot').dataset.state") == "ready":
                    self.press(page, i)
        page.close()
        self.context.set_offline(False)
        self.ready(other)
        return other, self.visit(wait=False)


SCENARIOS = ("flaky", "space", "argilla", "hub", "wiped", "devices", "hands")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=1000, help="for each scenario")
    parser.add_argument("--kills", type=int, default=10, help="of each server")
    parser.add_argument("--only", default=",".join(SCENARIOS), help="scenarios, by commas")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := set(names) - set(SCENARIOS):
        parser.error(f"there is no scenario {', '.join(unknown)}; all: {', '.join(SCENARIOS)}")
    results = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        world = World(Path(folder))
        try:
            for name in names:
                results.append(run(world, name, arguments.labels, arguments.kills))
                if not arguments.json:
                    print("  ".join(f"{k} {v}" for k, v in results[-1].items()), flush=True)
        finally:
            world.stop()
    if arguments.json:
        print(json.dumps(results))
    wrong = ("lost", "not_in_argilla", "twice", "never_said", "asked_twice", "refused")
    sys.exit(any(r[field] for r in results for field in wrong))


if __name__ == "__main__":
    main()
